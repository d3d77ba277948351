"""Downloads the archives of a data set from its authors' site and unpacks them."""

import hashlib
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, TypedDict

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from commands.files import write_json, write_text
from commands.schema import read_json
from data.catalog import Archive
from data.extraction.unpack import require_tool, unpack

BLOCK = 1 << 20
Progressed = Callable[[int, int], None]  # Called with the bytes received so far and the bytes in all.
_FIRST = "first-downloads.json"  # Sizes and checksums of files for which nobody publishes a checksum.
TRIES = 5  # Attempts in a row without progress after which a download is given up.


class _First(TypedDict):
    """A file's size and checksum at its first download."""

    bytes: int
    sha256: str


def download(archives: Sequence[Archive], root: Path) -> None:
    """Downloads and unpacks the archives of a data set, except those that exist already."""
    missing = [archive for archive in archives if not (root / archive.place).exists()]
    # A missing program is reported before gigabytes are downloaded, not after.
    for archive in missing:
        require_tool(archive.file)
    for archive in missing:
        install(archive, root)


def install(archive: Archive, root: Path) -> None:
    """Downloads one archive and unpacks it into its place, completely or not at all."""
    path = fetch(archive, root / "downloads")
    unfinished = root / f".incomplete.{archive.place}"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unpack(path, unfinished)
        unfinished.rename(root / archive.place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # Frees the space that the next attempt needs on a full disk.
    path.unlink()


def fetch(archive: Archive, folder: Path) -> Path:
    """Returns the downloaded and checked file; continues where an earlier attempt stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / archive.file, folder / f"{archive.file}.part"
    if path.exists():
        return path
    with _progress(archive.file) as progress:
        expected, tries = archive.size, TRIES
        while tries:
            before = _size(part)
            try:
                expected = _receive(archive, part, progress) or expected
                if not expected or _size(part) >= expected:
                    break
            except urllib.error.HTTPError as error:
                raise OSError(
                    f"{archive.address} can't be downloaded: the server answers {error.code} {error.reason}. "
                    f"{_by_hand(archive, path)}"
                ) from error
            except OSError as error:
                last = str(error)
            else:
                last = "the connection ended early"
            tries = TRIES if _size(part) > before else tries - 1
        else:
            raise OSError(
                f"{archive.address} could not be downloaded ({last}). Run the same command again to continue from "
                f"{_size(part):,} bytes. {_by_hand(archive, path)}"
            )
    _check(archive, part, expected)
    if not archive.sha256:
        _check_against_first(archive, part)
    part.rename(path)
    _version_of(part).unlink(missing_ok=True)
    return path


def _receive(archive: Archive, part: Path, progress: Progressed) -> int:
    """Appends the missing bytes to the part; returns the size of the whole file, or 0 if the server doesn't say."""
    start, version = _size(part), _version_of(part)
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and version.is_file():  # If the file has changed meanwhile, all of it is sent.
        headers["If-Range"] = version.read_text(encoding="utf-8").strip()
    _check_safe(archive.address)
    request = urllib.request.Request(archive.address, headers=headers)
    try:
        answer = urllib.request.build_opener(_SafeRedirects).open(request, timeout=60)
    except urllib.error.HTTPError as error:
        whole = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if error.code == 416 and whole and int(whole[1]) == start:
            return start  # The part is complete already.
        raise
    with answer:
        continued = answer.status == 206
        if tag := answer.headers.get("ETag") or answer.headers.get("Last-Modified"):
            write_text(version, tag)
        total = int(answer.headers.get("Content-Length") or 0) + (start if continued else 0)
        with part.open("ab" if continued else "wb") as file:
            progress(file.tell(), total)
            while block := answer.read(BLOCK):
                file.write(block)
                progress(file.tell(), total)
    return total if answer.headers.get("Content-Length") else 0


def _check(archive: Archive, part: Path, expected: int) -> None:
    size = archive.size or expected
    if size and _size(part) != size:
        found = _size(part)
        part.unlink()
        raise ValueError(f"{archive.address} has {found:,} bytes; expected {size:,}. It was deleted. Try again.")
    if archive.sha256:
        with part.open("rb") as file:
            found_hash = hashlib.file_digest(file, "sha256").hexdigest()
        if found_hash != archive.sha256:
            part.unlink()
            raise ValueError(
                f"{archive.address} has the SHA-256 {found_hash}; expected {archive.sha256}. It is damaged or not the "
                "published file, so it was deleted. Try again, or download it by hand and compare."
            )


def _check_against_first(archive: Archive, part: Path) -> None:
    """Compares a file without a published checksum with the first download from its address, or records it."""
    kept = part.with_name(_FIRST)
    known = read_json(kept, dict[str, _First], "Delete it to trust the next download.") if kept.is_file() else {}
    with part.open("rb") as file:
        found: _First = {"bytes": _size(part), "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    first = known.setdefault(archive.address, found)
    if first != found:
        part.unlink()
        raise ValueError(
            f"{archive.address} has the SHA-256 {found['sha256']}; when it was first downloaded, it had "
            f"{first['sha256']}. It was deleted. If its authors have changed it, delete {kept} and try again."
        )
    write_json(kept, known)
    print(f"{archive.file} has {found['bytes']:,} bytes and the SHA-256 {found['sha256']}, now noted in {kept}.")


def _check_safe(address: str) -> None:
    """Raises ValueError for addresses to which anybody on the way could answer."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
        raise ValueError(f"{address} is not loaded: only https addresses are.")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections only to https, where nobody on the way could answer."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """Returns the request to the new address."""
        _check_safe(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _version_of(part: Path) -> Path:
    """Returns the file with the server's version mark for a partial download."""
    return part.with_name(f"{part.name}.version")


def _by_hand(archive: Archive, path: Path) -> str:
    return f"Or download it by hand from its authors' page, put it at {path}, and run the same command."


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _progress(name: str) -> Iterator[Progressed]:
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task(name)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
