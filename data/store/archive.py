"""Stores the JPEG files of one video in a single uncompressed ZIP archive, with a table of their offsets.

Any ZIP tool can unpack it. The first member, `offsets`, has the start and length of each other file as pairs of
little-endian int32. So two short reads fetch a clip, and the ZIP directory is never parsed. The order is: all frames,
then x and y of each forward flow field, then x and y of each backward field.
"""

import os
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from commands.remote import RangeReader, checked_member, fetched, range_reader, trying
from data.catalog import OURS

TABLE = "offsets"
# The header of a member is 30 bytes and its name. The table is the first member, so it begins at this offset.
_HEADER = 30
TABLE_BEGIN = _HEADER + len(TABLE)
# More than the header of any of our files.
_LONGEST_HEADER = _HEADER + len("flow_x_00001.jpg") + 3
_ENTRY = 8  # Bytes of a row of the table.


def archive_of(folder: Path) -> Path:
    """Returns the archive that takes the place of a video's folder."""
    return folder.with_name(f"{folder.name}.zip")


def pack_folder(folder: Path, path: Path) -> None:
    """Writes the archive of a folder, then reads it back to check it."""
    sizes = {entry.name: entry.stat().st_size for entry in folder.iterdir()}
    write_archive(path, sizes, lambda name: (folder / name).read_bytes())
    with zipfile.ZipFile(path) as archive:
        packed = {info.filename: info.file_size for info in archive.infolist() if info.filename != TABLE}
    damaged = damaged_member(path)
    if damaged or packed != sizes:
        raise OSError(f"{path} differs from {folder} ({damaged or 'sizes differ'}). Is the disk full?")


def write_archive(path: Path, sizes: Mapping[str, int], read: Callable[[str], bytes]) -> None:
    """Writes an archive of files with these names and sizes; the same files always give the same bytes."""
    names = _in_order(sizes)
    others = sorted(sizes.keys() - set(names))
    lonely = next((name for name in others if name.endswith(".jpg")), None)
    if lonely:
        raise ValueError(f"{lonely} can't be packed into {path}, because files with lower numbers are missing.")
    table = np.zeros((len(names), 2), "<i4")
    begin = TABLE_BEGIN + table.nbytes
    if begin + sum(_HEADER + len(name) + size for name, size in sizes.items()) >= 2**31:
        raise ValueError("Its archive would be larger than 2 GiB, the limit of the table. Keep loose files instead.")
    for row, name in enumerate(names):
        table[row] = begin + _HEADER + len(name), sizes[name]
        begin += _HEADER + len(name) + sizes[name]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        # ZipInfo's default date, 1980, keeps the bytes the same whenever they are written.
        archive.writestr(zipfile.ZipInfo(TABLE), table.tobytes())
        for name in names + others:
            archive.writestr(zipfile.ZipInfo(name), read(name))
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read_members(path: str | Path, members: Sequence[int]) -> list[bytes]:
    """Returns files by their rows in the table, with one read of the table and one per run of neighbouring files.

    It uses plain integers and os calls: for a clip of one small file, arrays and file objects would cost more than
    the reading.
    """
    wanted = sorted(set(members))
    first, last = wanted[0], wanted[-1]
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        if remote := range_reader(path):
            return trying(str(path), partial(_read_remote, remote, path, members))
        raise
    try:
        entries = _read(file, TABLE_BEGIN + _ENTRY * first, _ENTRY * (last + 1 - first), path)
        numbers = struct.unpack(f"<{2 * (last + 1 - first)}i", entries)
        begins, lengths = numbers[0::2], numbers[1::2]
        read: dict[int, bytes] = {}
        for start, end in _stretches(wanted):
            begin = begins[start - first]
            contents = _read(file, begin, begins[end - first] + lengths[end - first] - begin, path)
            for member in range(start, end + 1):
                at = begins[member - first] - begin
                read[member] = contents[at : at + lengths[member - first]]
    finally:
        os.close(file)
    return [read[member] for member in members]


def _read_remote(read: RangeReader, path: str | Path, members: Sequence[int]) -> list[bytes]:
    """Returns the same of an archive in a store, by the same two ranges; each file is checked against its header."""
    wanted = sorted(set(members))
    first, last = wanted[0], wanted[-1]
    entries = read(TABLE_BEGIN + _ENTRY * first, _ENTRY * (last + 1 - first))
    numbers = struct.unpack(f"<{2 * (last + 1 - first)}i", entries)
    begins, lengths = numbers[0::2], numbers[1::2]
    if min(begins) < TABLE_BEGIN or min(lengths) < 0 or list(begins) != sorted(begins):
        raise OSError(f"{path} came with a table that can't be right")
    found: dict[int, bytes] = {}
    for start, end in _stretches(wanted):
        begin = begins[start - first] - _LONGEST_HEADER
        content = read(begin, begins[end - first] + lengths[end - first] - begin)
        for member in range(start, end + 1):
            at = begins[member - first] - begin
            found[member] = content[at : at + lengths[member - first]]
            checked_member(content[at - _LONGEST_HEADER : at], found[member], str(path))
    return [found[member] for member in members]


def _read(file: int, begin: int, length: int, path: str | Path) -> bytes:
    os.lseek(file, begin, os.SEEK_SET)
    contents = os.read(file, length)
    if len(contents) != length:
        raise OSError(f"{path} is cut off: it ends before a file that its table lists.")
    return contents


def _stretches(wanted: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yields the first and last of each run of consecutive numbers; the numbers are sorted."""
    start = before = wanted[0]
    for member in wanted[1:]:
        if member != before + 1:
            yield start, before
            start = member
        before = member
    yield start, before


def damaged_member(path: Path) -> str | None:
    """Returns the first file in an archive whose checksum is wrong, or None."""
    with zipfile.ZipFile(fetched(path)) as archive:
        return archive.testzip()


def read_stored(path: Path) -> bytes:
    """Returns the content of a file of a video, from its folder or from the archive that replaced the folder."""
    archive = fetched(archive_of(path.parent))
    if path.parent.is_dir() or not archive.exists():
        return path.read_bytes()
    try:
        return _opened(archive, archive.stat().st_mtime_ns).read(path.name)
    except (KeyError, zipfile.BadZipFile) as error:
        raise FileNotFoundError(f"{archive} has no readable {path.name}.") from error


def stored_paths(folder: Path) -> set[Path]:
    """Returns the paths of all files of a video, written as if they were loose in its folder."""
    archive = fetched(archive_of(folder))
    if folder.is_dir():
        return set(folder.iterdir())
    if not archive.exists():
        return set()
    try:
        return {folder / name for name in _opened(archive, archive.stat().st_mtime_ns).namelist()}
    except zipfile.BadZipFile:
        return set()


@lru_cache(maxsize=1)
def _opened(path: Path, _changed: int) -> zipfile.ZipFile:
    """Returns an open archive, kept open while files of the same archive are read."""
    return zipfile.ZipFile(path)


def _in_order(names: Iterable[str]) -> list[str]:
    """Returns the names that the table lists, in its order."""
    there = set(names)
    order = [*_numbered(there, OURS.frame)]
    for patterns in ((OURS.flow_x, OURS.flow_y), (OURS.back_x, OURS.back_y)):
        order += _numbered(there, *patterns)
    return order


def _numbered(there: set[str], *patterns: str) -> Iterable[str]:
    index = 0
    while all(member_name(pattern, index) in there for pattern in patterns):
        yield from (member_name(pattern, index) for pattern in patterns)
        index += 1


def member_name(pattern: str, index: int) -> str:
    """Returns the name of a file in an archive: its name in our layout without the folder."""
    return pattern.rsplit("/", 1)[1].format(number=f"{OURS.first + index:0{OURS.digits}d}")
