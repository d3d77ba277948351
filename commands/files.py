"""Knows the project's folders, reads files safely, and writes files that appear completely or not at all."""

import contextlib
import csv
import errno
import io
import json
import os
import re
import shutil
import socket
import stat
import tempfile
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such locks, so two processes in one folder are not noticed there.
    fcntl = None  # type: ignore[assignment]

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
# Called with the path of each file that has appeared; see remote.py.
after_writing: list[Callable[[Path], None]] = []
# The locks of folders that this process shares with others.
_locks: dict[Path, int] = {}

PROJECT = Path(__file__).resolve().parents[1]
# In a wheel, this module is two_stream.commands.files. Nothing is written where its code is.
INSTALLED = __name__ != "commands.files"
HOME = Path.cwd() if INSTALLED else PROJECT
DATASETS, RUNS = HOME / "datasets", HOME / "runs"
# The folder from which `import` finds this code.
IMPORTED_FROM = Path(__file__).resolve().parents[__name__.count(".")]
# The first characters in the names of unfinished files and folders, and of temporary folders.
_UNFINISHED, _SCRATCH = ".incomplete.", "two-stream-"
# The largest text or description that we read. A larger file would only fill the memory.
MOST_BYTES = 256 * 2**20
_HOST = re.sub(r"\W", "_", socket.gethostname())


def project_on_path() -> dict[str, str]:
    """Returns an environment in which a process can import this project, in whatever folder it is started."""
    paths = [str(IMPORTED_FROM), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def read_file(path: Path, most: int = MOST_BYTES) -> bytes:
    """Returns the content of a file. Refuses a pipe, because it may never end, and a file that is too large."""
    check_file(path)
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path} is larger than {most:,} bytes, the most for such a file")
    return content


def check_file(path: Path) -> None:
    """Raises ValueError for a pipe, a device or a folder: to open a pipe would wait until somebody writes into it."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path} is a folder, a pipe or a device; expected a file")


def read_text(path: Path) -> str:
    """Returns the content of a text file in UTF-8, with or without a byte order mark."""
    try:
        return read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 (byte {error.start:,} is wrong). Save it as UTF-8.") from None


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Returns the columns of a CSV file and its rows. A missing cell is empty."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), restval="")
    try:
        return [name or "" for name in reader.fieldnames or ()], list(reader)
    except csv.Error as error:
        raise ValueError(f"{path} can't be read as a CSV: line {reader.line_num}: {error}.") from None


def read_member(path: Path, name: str, most: int = MOST_BYTES) -> bytes | None:
    """Returns one file of a ZIP archive, or None if there is none of this name. Refuses a damaged archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            if name not in archive.namelist():
                return None
            if archive.getinfo(name).file_size > most:
                raise ValueError(f"its {name} is larger than {most:,} bytes")
            return archive.read(name)
    except FileNotFoundError:
        raise
    except Exception as error:  # For a damaged archive, Python may raise almost any exception.
        raise ValueError(f"{path} is not a readable archive, or a damaged one: {error}") from None


def write_text(path: Path, text: str) -> None:
    """Writes a file completely or not at all: first beside its place, then synced and renamed."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Writes a value as readable JSON, completely or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder. It becomes `path` if the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".incomplete.{owner()}-{uuid.uuid4().hex}{path.suffix}")
    try:
        temporary.touch()
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        for each in after_writing:
            each(path)
        if os.name == "posix":  # Only a synced folder keeps the new name after a power cut.
            _sync(path.parent)
    except OSError as error:
        if error.filename in (None, str(temporary)) and error.strerror:  # The user knows the file by its final name.
            error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):  # Where nothing can be written, nothing can be removed either.
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def scratch_folder(place: Path | None = None) -> Iterator[Path]:
    """Yields a temporary folder. Also removes those that killed processes left in the same place."""
    prefix = _UNFINISHED if place else _SCRATCH  # Hidden, if it is among the user's own files.
    place = place or Path(tempfile.gettempdir())
    sweep(place, prefix, own=False)
    with tempfile.TemporaryDirectory(prefix=f"{prefix}{owner()}-", dir=place, ignore_cleanup_errors=True) as name:
        yield Path(name)


def sweep(folder: Path, prefix: str = _UNFINISHED, *, own: bool = True) -> None:
    """Removes unfinished files and folders of processes that have ended, and with `own` also those of this process."""
    for path in folder.glob(f"{prefix}*") if folder.is_dir() else ():
        if is_abandoned(path, prefix) and (own or not path.name.startswith(f"{prefix}{owner()}-")):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(root: Path, *, alone: bool = True) -> Iterator[None]:
    """Locks a folder until the block ends: for this process `alone`, or shared with other readers."""
    file = _lock(root, alone=alone)
    try:
        yield
    finally:
        if root.resolve() in _locks:  # This process shares the folder already, and continues to do so.
            _lock(root, alone=False)
        else:
            os.close(file)


def share(root: Path) -> None:
    """Holds a shared lock on a folder until this process ends, so that no other process packs or unpacks it."""
    with contextlib.suppress(PermissionError):  # A read-only folder can't be locked, but can't be changed either.
        _locks[root.resolve()] = _lock(root, alone=False)


def _lock(root: Path, *, alone: bool) -> int:
    """Locks a folder by a file in it. The file is not changed, and a link in its place is not followed."""
    try:
        held = _locks.get(root.resolve())
        file = os.open(root / ".lock", os.O_RDWR | os.O_CREAT | _NO_LINKS, 0o666) if held is None else held
        if fcntl is not None:
            fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        return file
    except OSError as error:
        raise _not_locked(root, error, alone=alone) from None


def _not_locked(root: Path, error: OSError, *, alone: bool) -> Exception:
    if error.errno == errno.ELOOP:
        return ValueError(f"{root / '.lock'} is a link, but locks never are. Somebody has put it there: delete it.")
    if error.errno in (errno.EROFS, errno.EACCES):
        return PermissionError(error.errno, error.strerror, str(root))
    if not isinstance(error, BlockingIOError):
        return error
    what = "is used by another command" if alone else "is being packed, unpacked or changed by another command"
    return RuntimeError(f"{root} {what}. Wait for that, then run this command again.")


def owner() -> str:
    """Returns the machine and the process, which are in the names of unfinished files and folders."""
    return f"{_HOST}-{os.getpid()}"


def is_abandoned(unfinished: Path, prefix: str = _UNFINISHED) -> bool:
    """Tells whether nobody will finish a file or folder: its process is this one, or has ended on this machine."""
    host, _, rest = unfinished.name.removeprefix(prefix).partition("-")
    process = rest.partition("-")[0]
    return host == _HOST and (process == str(os.getpid()) or not _is_alive(process))


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are written to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
