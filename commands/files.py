"""Says where things lie, and writes files that appear whole or not at all."""

import contextlib
import json
import os
import re
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
DATASETS = PROJECT / "datasets"
RUNS = PROJECT / "runs"
_HOST = re.sub(r"\W", "_", socket.gethostname())


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
    temporary = path.with_name(f".incomplete.{owner()}-{uuid.uuid4().hex}{path.suffix}")
    temporary.touch()
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        if os.name == "posix":  # Only there can folders be opened, which lets a new name outlive a power cut.
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def owner() -> str:
    """Returns the machine and the process that unfinished files and folders carry in their names."""
    return f"{_HOST}-{os.getpid()}"


def is_abandoned(unfinished: Path) -> bool:
    """Tells whether nobody will finish a file or folder: its process is this one, or has ended on this machine."""
    host, _, rest = unfinished.name.removeprefix(".incomplete.").partition("-")
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
    """Waits until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
