"""Lets `s3://bucket/folder` and other addresses stand for folders: a local mirror, what is read of it, what is written.

Commands work on files of this machine. A mirror has the small files of its address from the start, such as lists,
indexes and models; archives of frames and flow stay where they are, and only the ranges that a clip needs are read.
What a command writes is uploaded as soon as it is whole. fsspec knows the stores; each needs a package, like s3fs.
"""

import base64
import contextlib
import hashlib
import json
import os
import random
import re
import sys
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from commands import files
from commands.text import printable

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

Answer = TypeVar("Answer")
RangeReader: TypeAlias = Callable[[int, int], bytes]

# A scheme of one letter would be a drive of Windows, and hf: is the hub of models. Path makes one slash of two.
_ADDRESS = re.compile(r"(?!hf:)([a-z][a-z0-9+]+):/+(.+)", re.DOTALL)
_KNOWN = ".remote.json"
# Attempts at one request, and the seconds before the second of them; each wait is twice the one before, at most this.
_ATTEMPTS, _FIRST_WAIT, _LONGEST_WAIT = 7, 0.2, 10.0
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
_SIGNATURE, _HEADER = b"PK\x03\x04", 30


class UnreachableError(OSError):
    """A store that has failed again and again."""


class UnfitError(ValueError):
    """An address that can't stand for a folder: that of a file, or of a data set that is not packed."""


# No use trying again: nobody is there, or nobody may read it. Half an answer may be any other error, of JSON as well.
_FINAL = (UnreachableError, UnfitError, FileNotFoundError, PermissionError, NotImplementedError, ImportError)


def is_remote(path: str | Path) -> bool:
    """Tells whether a path is the address of a store."""
    return _ADDRESS.fullmatch(str(path)) is not None


def local(path: Path) -> Path:
    """Returns a path itself or, for an address, the folder that stands for it in this process."""
    return next((folder for folder, given in _given.items() if given == str(path)), None) or (
        mirrored(path) if is_remote(path) else path
    )


def mirrored(path: Path) -> Path:
    """Returns the local folder that stands for an address, with its small files; what is written there is uploaded."""
    scheme, rest = _ADDRESS.fullmatch(str(path)).groups()  # type: ignore[union-attr]
    address = f"{scheme}://{rest.strip('/')}" if scheme != "file" else f"file:///{rest.strip('/')}"
    folder = _home() / _key(address) / PurePosixPath(rest).name
    if not (folder / _KNOWN).exists():
        _replace(folder / _KNOWN, json.dumps({"address": address, "files": {}}).encode())
    mirror = Mirror(folder)
    count = mirror.fetch()
    print(f"{address}: {count:,} files were fetched to {folder}; archives are read where they are.", file=sys.stderr)
    _open[folder], _given[folder] = mirror, str(path)
    if _upload not in files.after_writing:
        files.after_writing.append(_upload)
    return folder


@contextlib.contextmanager
def uploading() -> Iterator[None]:
    """Uploads what was written otherwise inside the block, such as logs, when it ends or is interrupted."""
    try:
        yield
    finally:
        for mirror in _open.values():
            count = sum(mirror.push(path) for path in mirror.local())
            mirror.drop(mirror.folder)
            if count:
                print(f"{count:,} files were uploaded to {mirror.address}.", file=sys.stderr)


def refresh() -> None:
    """Fetches what other machines have written since the mirrors of this process were opened."""
    for mirror in _open.values():
        mirror.fetch()


def with_mirrors(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """Returns a function that first opens the mirrors of this process where it is called, on whatever machine."""
    given = tuple(mirror.address for mirror in _open.values())
    return partial(_mirrored_first, uuid.uuid4().hex, str(_home()), given, function) if given else function


def _mirrored_first(
    command: str, home: str, addresses: tuple[str, ...], function: Callable[..., Answer], *job: object
) -> Answer:
    """Calls a function once the mirrors that a command reads are here, in the same place, and up to date."""
    if command not in _commands:
        os.environ["TWO_STREAM_CACHE"] = home
        for address in addresses:
            mirrored(Path(address))
        _commands.add(command)
    return function(*job)


def mirror_of(path: Path) -> "Mirror | None":
    """Returns the mirror that a path lies in, also in a process that did not open it."""
    for folder in path.parents:
        if folder in _open:
            return _open[folder]
    # Only where mirrors are made: a data set from elsewhere may hold such a file, and must not say what is read.
    if _home() in path.parents:
        folder = _home().joinpath(*path.relative_to(_home()).parts[:2])
        if folder != path and (folder / _KNOWN).is_file():
            return _opened(folder)
    return None


def fetched(path: Path) -> Path:
    """Returns the path itself, once a file of a mirror that was left where it is has been fetched."""
    if not path.exists() and (mirror := mirror_of(path)):
        with contextlib.suppress(FileNotFoundError):
            mirror.download(mirror.name(path))
    return path


def range_reader(path: str | Path) -> RangeReader | None:
    """Returns a function that reads so many bytes of a remote archive from a place on; None for paths of no mirror."""
    mirror = mirror_of(Path(path))
    if mirror is None:
        return None
    name = mirror.name(Path(path))
    return partial(mirror.read, name)


class Mirror:
    """A local folder, and the address that it stands for."""

    def __init__(self, folder: Path) -> None:
        found = json.loads((folder / _KNOWN).read_text(encoding="utf-8"))
        self.folder, self.address = folder, str(found["address"])
        if folder.parent.name != _key(self.address):
            raise ValueError(f"{folder} is no mirror of {printable(self.address)}: delete it.")
        self._files: dict[str, list[object]] = found["files"]  # Of each: size, tag, and when it was changed here.
        self._system, self._root = _system(self.address)

    def name(self, path: Path) -> str:
        """Returns the name of a file below the address."""
        return path.relative_to(self.folder).as_posix()

    def fetch(self) -> int:
        """Downloads the files that are new or have changed, but for archives of frames; returns how many."""
        there = trying(self.address, self._list)
        changed = [
            name
            for name, (size, tag) in there.items()
            if self._files.get(name, [])[:2] != [size, tag] or not (self.folder / name).exists()
        ]
        for name in self._files.keys() - there.keys():
            if not name.startswith("rawframes/"):  # Somebody has deleted it there.
                del self._files[name]
                (self.folder / name).unlink(missing_ok=True)
        for name in changed:
            with contextlib.suppress(FileNotFoundError):  # Somebody has deleted it meanwhile.
                self.download(name)
        return len(changed)

    def download(self, name: str) -> None:
        """Downloads one file, whole or not at all."""
        path = self.folder / name

        def get() -> tuple[bytes, str]:
            described = self._system.info(self._at(name))
            content = self._system.cat_file(self._at(name))
            _check_whole(content, described)
            return content, _tag(described)

        content, tag = trying(f"{self.address}/{name}", get)
        _replace(path, content)
        self._note(name, tag)

    def read(self, name: str, begin: int, length: int) -> bytes:
        """Returns a range of a file."""

        def get() -> bytes:
            content: bytes = self._system.cat_file(self._at(name), start=begin, end=begin + length)
            if len(content) != length:
                raise OSError(f"{len(content):,} of {length:,} bytes came")
            return content

        return trying(f"{self.address}/{name}", get)

    def push(self, path: Path) -> bool:
        """Uploads a file if it has changed here since it was fetched or uploaded; returns whether it has."""
        name, state = self.name(path), path.stat()
        if self._files.get(name, [None] * 3)[2] == state.st_mtime_ns:
            return False

        def put() -> str:
            self._system.put_file(str(path), self._at(name))
            self._system.invalidate_cache()
            described = self._system.info(self._at(name))
            if described["size"] != path.stat().st_size:
                raise OSError(f"{described['size']:,} of {path.stat().st_size:,} bytes arrived")
            return _tag(described)

        self._note(name, trying(f"{self.address}/{name}", put))
        return True

    def drop(self, folder: Path) -> None:
        """Deletes there what was in a folder and this command has deleted here, such as old checkpoints."""
        gone = [name for name in self._files if folder in (self.folder / name).parents]
        for name in gone:
            if not (self.folder / name).exists():
                with contextlib.suppress(FileNotFoundError):
                    trying(f"{self.address}/{name}", partial(self._system.rm_file, self._at(name)))
                del self._files[name]
                self._save()

    def local(self) -> list[Path]:
        """Returns the files of the mirror, without those that are not finished or only matter here."""
        found = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        return [path for path in found if not any(part.startswith(".") for part in path.relative_to(self.folder).parts)]

    def _list(self) -> dict[str, tuple[int, str]]:
        self._system.invalidate_cache()
        try:
            described = self._system.find(self._root, detail=True)
        except FileNotFoundError:
            return {}
        found = {}
        for place, each in described.items():
            name = place.removeprefix(self._root).lstrip("/")
            parts = PurePosixPath(name).parts
            if not name:
                raise UnfitError(
                    f"{self.address} is a file. Name the folder that it lies in, or copy it to this machine."
                )
            if any(part.startswith(".") for part in parts) or printable(name) != name:
                continue  # Nobody may write outside of the mirror, or over what it knows.
            if parts[0] == "rawframes":
                if not name.endswith(".zip"):
                    raise UnfitError(
                        f"{self.address} holds loose frames, {name} among them, and each would be a request. Pack them "
                        "where they lie, by ./run pack, and upload them again."
                    )
                continue
            found[name] = (int(each["size"]), _tag(each))
        return found

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _note(self, name: str, tag: str) -> None:
        state = (self.folder / name).stat()
        self._files[name] = [state.st_size, tag, state.st_mtime_ns]
        self._save()

    def _save(self) -> None:
        _replace(self.folder / _KNOWN, json.dumps({"address": self.address, "files": self._files}).encode())


_open: dict[Path, Mirror] = {}
_commands: set[str] = set()  # Those that have opened their mirrors in this process, a worker of theirs.
_given: dict[Path, str] = {}  # The addresses of open mirrors, as they were given.


def _home() -> Path:
    """Returns the folder of all mirrors."""
    return Path(os.environ.get("TWO_STREAM_CACHE", Path.home() / ".cache" / "two-stream"))


def _key(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:16]


def _replace(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all. Unlike `files.replacing`, it uploads nothing: the content came from there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".incomplete.{os.getpid()}-{path.name}")
    unfinished.write_bytes(content)
    unfinished.replace(path)


@lru_cache(maxsize=8)
def _opened(folder: Path) -> Mirror:
    return Mirror(folder)


def checked_member(before: bytes, content: bytes, name: str) -> None:
    """Raises OSError if a file of an archive is not what its header, at the end of `before`, says."""
    place = before.rfind(_SIGNATURE)
    if place < 0 or zlib.crc32(content) != int.from_bytes(before[place + 14 : place + 18], "little"):
        raise OSError(f"a file of {name} came with a wrong checksum")


def _upload(path: Path) -> None:
    mirror = mirror_of(path)
    if mirror and mirror.folder in _open:
        mirror.push(path)
        mirror.drop(path.parent)


def _system(address: str) -> tuple["AbstractFileSystem", str]:
    """Returns the file system of an address, and its path there."""
    import fsspec  # Takes a tenth of a second, and only who names an address needs it.

    try:
        system, root = fsspec.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{address} can't be reached: {error}") from error
    return system, str(root).rstrip("/")


def _tag(described: dict[str, object]) -> str:
    """Returns what changes with the content of a file, as far as the store says it."""
    return str(
        described.get("ETag") or described.get("etag") or described.get("mtime") or described.get("created") or ""
    )


def _check_whole(content: bytes, described: dict[str, object]) -> None:
    if len(content) != described["size"]:
        raise OSError(f"{len(content):,} of {described['size']:,} bytes came")
    known = _MD5.fullmatch(str(described.get("ETag", "")))  # S3's, of a file that was uploaded in one piece.
    google = base64.b64decode(str(described.get("md5Hash", ""))).hex()
    expected = known[1] if known else google
    if expected and hashlib.md5(content, usedforsecurity=False).hexdigest() != expected:
        raise OSError("its content has a wrong checksum")


def trying(what: str, action: Callable[[], Answer]) -> Answer:
    """Returns the answer of a store, which may fail for a while: each wait is longer, and of a random length."""
    for attempt in range(_ATTEMPTS):
        try:
            return action()
        except _FINAL:
            raise
        except Exception as error:  # Each store's package has errors of its own.
            if attempt == _ATTEMPTS - 1:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise UnreachableError(
                    f"{what} can't be read or written, after {attempt + 1} attempts: {reason}"
                ) from error
            time.sleep(min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt) * random.uniform(0.5, 1.0))
    raise AssertionError
