"""Compiling numba kernels, and keeping what was compiled in a folder of its own for every version of the sources.

numba's own cache knows only the file of the kernel, so a constant changed in another file could be served
from stale machine code. Here the folder's name holds a hash of all that decides the machine code:
every source of the kernels, the versions, the processor. Old folders are simply never read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import platform
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
from numba.core.caching import FunctionCache
from numba.core.codegen import get_host_cpu_features

# error_model: a division by zero gives infinity, as in NumPy, without a branch. nogil: threads run side by side.
# No fastmath: it let LLVM reorder sums differently in the process that compiled and in those that loaded.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

_PROJECT = Path(__file__).resolve().parents[1]
# What is compiled: a change in any of these starts a new folder.
SOURCES = ("data/kernel_cache.py", "data/vectors*.py", "data/tvl1_*.py", "pipelines/cutting.py")


def inner(function: Callable[..., Any]) -> Any:
    """Compiles a function that only kernels call."""
    return numba.njit(**OPTIONS)(function)


def kernel(function: Callable[..., Any]) -> Any:
    """Compiles a function that Python calls: on its first call, or from the cache folder."""
    if _FOLDER is None:
        return numba.njit(**OPTIONS)(function)
    before = numba.config.CACHE_DIR
    try:
        # numba reads this setting when the cache is made, and has no argument for it.
        numba.config.CACHE_DIR = str(_FOLDER)
        dispatcher = numba.njit(**OPTIONS)(function)
        dispatcher._cache = _Cache(function)
        return dispatcher
    finally:
        numba.config.CACHE_DIR = before


class _Cache(FunctionCache):
    """numba's cache, but a damaged file counts as a missing one, and a full disk only costs the next process time."""

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Returns what was compiled before, or None."""
        try:
            return super().load_overload(signature, target)
        except Exception:  # Reading part of a pickle may raise anything.
            with contextlib.suppress(OSError):
                self.flush()  # Else the damaged index would be read again before it's written.
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keeps what was compiled, if that can be."""
        with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
            super().save_overload(signature, compiled)


def target_features() -> str:
    """Returns the processor features that numba compiles for, as it decides itself: none is a setting, too."""
    return get_host_cpu_features() if numba.config.CPU_FEATURES is None else numba.config.CPU_FEATURES


def cache_key(sources: Path) -> str:
    """Returns a hash of all that decides the machine code of the kernels below a folder of sources."""
    key = hashlib.sha256()
    for source in sorted(path for pattern in SOURCES for path in sources.glob(pattern)):
        key.update(source.name.encode() + source.read_bytes())
    target = numba.config.CPU_NAME or llvmlite.binding.get_host_cpu_name()
    versions = (numba.__version__, llvmlite.__version__, platform.python_version(), platform.machine())
    key.update(repr((*versions, target, target_features())).encode())
    return key.hexdigest()[:16]


def cache_folder(roots: Iterable[Path]) -> Path | None:
    """Returns the folder of the present kernels below the first root that can be written, or None."""
    for root in roots:
        folder = root / f"kernels-{cache_key(_PROJECT)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    return None


def _roots() -> Iterator[Path]:
    """Yields numba's own setting first, then the project's folder, then the user's."""
    if numba.config.CACHE_DIR:
        yield Path(numba.config.CACHE_DIR)
    yield _PROJECT / ".numba_cache"
    with contextlib.suppress(RuntimeError):  # A user of a container may have no home.
        yield Path.home() / ".cache" / "two-stream"


# Without any folder, each process compiles for itself.
_FOLDER = cache_folder(_roots())
