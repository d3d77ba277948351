"""Compiles numba kernels and caches the machine code, in a new folder for every version of the sources.

numba's own cache checks only the file of a kernel, so after a change of a constant in another file it would load old
code. Here the name of the folder is a hash of everything that decides the machine code: all sources of the kernels,
versions, and the processor. Old folders are never read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import platform
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import llvmlite.binding
import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, UserProvidedCacheLocator
from numba.core.codegen import get_host_cpu_features
from numba.core.runtime import rtsys

from commands.files import INSTALLED
from commands.running import hidden
from commands.waiting import Now

# numba imports it at the first kernel, in a tenth of a second. No kernel multiplies matrices.
with hidden("scipy.linalg"):
    import numba.np.arraymath

Function = TypeVar("Function", bound=Callable[..., object])

# error_model: a division by zero gives infinity, as in NumPy, without a branch. nogil: threads run side by side.
# No fastmath: it let LLVM reorder sums differently in the process that compiled and in those that loaded.
OPTIONS: dict[str, bool | str] = {"nogil": True, "error_model": "numpy"}

SEAL_BYTES = hashlib.sha256().digest_size
_PROJECT = Path(__file__).resolve().parents[3]
# The sources of the kernels: a change in any of them starts a new folder.
SOURCES = ("data/optical_flow/tvl1/*.py", "data/optical_flow/motion_vectors/cells.py", "pipelines/resizing.py")


def inner(function: Function) -> Function:
    """Compiles a function that only kernels call."""
    compiled: Function = numba.njit(**OPTIONS)(function)
    return compiled


def kernel(function: Function) -> Function:
    """Makes a kernel of a function that Python calls; it is compiled on its first call, or loaded from the cache."""
    dispatcher = numba.njit(**OPTIONS)(function)
    if _FOLDER is not None:
        dispatcher._cache = _Cache(function)
    compiled: Function = dispatcher
    return compiled


class _Locator(UserProvidedCacheLocator):
    """Makes numba look for kernels in our folder, even if it is read-only."""

    def __init__(self, function: Callable[..., object], file: str) -> None:
        super().__init__(function, file)
        self._cache_path = str(_FOLDER / self.get_suitable_cache_subpath(file)) if _FOLDER else ""

    @classmethod
    def from_function(cls, function: Callable[..., object], file: str) -> _Locator:
        """Returns the locator of a kernel."""
        return cls(function, file)


class _Implementation(CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class _SealedFile(IndexDataCacheFile):
    """Stores each signature of a kernel in its own file, which begins with a hash of its content.

    The hash keeps damaged machine code from LLVM, which would end the process. Separate files are needed because numba
    has one index for all signatures, in which two processes that compile at once can give two of them the same name.
    """

    def load(self, key: object) -> object:
        """Returns the content that was saved under a key, or None."""
        try:
            content = self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        seal, kept = content[:SEAL_BYTES], content[SEAL_BYTES:]
        if hashlib.sha256(kept).digest() != seal:
            return None
        found, data = pickle.loads(kept)
        return data if found == key else None

    def save(self, key: object, data: object) -> None:
        """Saves content under a key."""
        kept = self._dump((key, data))
        with self._open_for_write(str(self._path(key))) as file:
            file.write(hashlib.sha256(kept).digest() + kept)

    def _path(self, key: object) -> Path:
        return Path(self._data_path(self._data_name(int(hashlib.sha256(repr(key).encode()).hexdigest()[:12], 16))))


class _Cache(FunctionCache):
    """numba's cache, except that a damaged file counts as missing, and a full disk is not an error."""

    _impl_class = _Implementation

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function)
        locator = self._impl.locator
        self._cache_file = _SealedFile(self._cache_path, self._impl.filename_base, locator.get_source_stamp())

    def load_overload(self, signature: object, target: object) -> object:
        """Returns the code that was compiled before, or None."""
        with contextlib.suppress(Exception):  # Unreadable or of unknown form: it is compiled and saved again.
            # numba's own method first fills the tables that it compiles with, which takes a tenth of a second.
            rtsys.initialize(target)
            found = self._load_overload(signature, target)
            if found is not None:
                return found
        Now.doing = "Compiling the kernels of optical flow, once on this machine"
        return None

    def save_overload(self, signature: object, compiled: object) -> None:
        """Saves compiled code, if the folder can be written."""
        with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
            super().save_overload(signature, compiled)


def target_features() -> str:
    """Returns the processor features that numba compiles for; a setting may be empty, which means none."""
    return get_host_cpu_features() if numba.config.CPU_FEATURES is None else numba.config.CPU_FEATURES


def cache_key(sources: Path) -> str:
    """Returns a hash of everything that decides the machine code of the kernels below a folder of sources."""
    key = hashlib.sha256()
    for source in sorted(path for pattern in SOURCES for path in sources.glob(pattern)):
        key.update(source.name.encode() + source.read_bytes())
    target = numba.config.CPU_NAME or llvmlite.binding.get_host_cpu_name()
    versions = (numba.__version__, llvmlite.__version__, platform.python_version(), platform.machine())
    key.update(repr((*versions, target, target_features())).encode())
    return key.hexdigest()[:16]


def cache_folder(roots: Iterable[Path]) -> Path | None:
    """Returns the folder of these kernels in the first root that holds them or can be written, or None."""
    for root in roots:
        folder = root / f"kernels-{cache_key(_PROJECT)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            if not _holds_kernels(folder):
                continue
        return folder
    return None


def _holds_kernels(folder: Path) -> bool:
    try:
        return any(folder.glob("*/*.nbc"))
    except OSError:
        return False


def _roots() -> Iterator[Path]:
    """Yields numba's own setting first, then the folder of a clone, then the user's."""
    if numba.config.CACHE_DIR:
        yield Path(numba.config.CACHE_DIR)
    if not INSTALLED:
        yield _PROJECT / ".numba_cache"
    with contextlib.suppress(RuntimeError):  # A user of a container may have no home.
        yield Path.home() / ".cache" / "two-stream"


# Without any folder, each process compiles for itself.
_FOLDER = cache_folder(_roots())
