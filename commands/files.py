"""Where things lie, and files that appear whole or not at all."""

import contextlib
import json
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
DATASETS = PROJECT / "datasets"
RUNS = PROJECT / "runs"


def project_on_path() -> dict[str, str]:
    """Returns the environment of a process that imports this project from wherever it is started."""
    paths = [str(PROJECT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all: beside its place, synced, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Writes a value as readable JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path` that takes its place once the block ends well."""
    handle, name = tempfile.mkstemp(prefix=f".incomplete.{owner()}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # The temporary file is the owner's alone; what takes its place has the rights that any new file would have.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def owner() -> str:
    """Returns what the names of unfinished files and folders say of whose they are: machine and process."""
    return f"{_host()}-{os.getpid()}"


def is_abandoned(unfinished: Path) -> bool:
    """Tells whether nobody will finish it: it is this process's, after its work, or of a dead one of this machine."""
    host, _, rest = unfinished.name.removeprefix(".incomplete.").partition("-")
    process = rest.partition("-")[0]
    return host == _host() and (process == str(os.getpid()) or not _is_alive(process))


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    return re.sub(r"\W", "_", socket.gethostname())


def _sync_folder(folder: Path) -> None:
    """Lets a new name outlive a power cut; only POSIX lets folders be opened for that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
