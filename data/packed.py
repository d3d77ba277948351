"""One file a video instead of hundreds: the same JPEG files in an uncompressed ZIP archive that opens with a table.

Any ZIP tool unpacks it. Its first member, `offsets`, says where each of the others begins and how long it is, as pairs
of little-endian int32, so that a clip is read with two short reads and no directory is parsed. Members stand
in the order of `member_of_frame` and `member_of_flow`: all frames, then x and y of each field, forward, then backward.
"""

import os
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from commands.files import write_json
from data.catalog import DataSet, Video, in_words
from data.layouts import OURS, layout_path, read_layout

PACKED = "packed"  # The name of the layout of a packed data set; its members are named as ours.
HALF_PACKED = "half packed"  # The same while only some videos are packed, which nothing can read.
TABLE = "offsets"
# A member's header is 30 bytes and its name. The table is the first member, so that it begins here.
_HEADER = 30
TABLE_BEGIN = _HEADER + len(TABLE)
_ENTRY = 8  # Bytes of a row of the table.


def archive_path(dataset: DataSet, video: Video) -> Path:
    """Returns the archive of a video, which lies where its folder lay."""
    return archive_of(dataset.frame_folder(video))


def archive_of(folder: Path) -> Path:
    """Returns the archive that takes the place of a video's folder."""
    return folder.with_name(f"{folder.name}.zip")


def check_stored(dataset: DataSet, videos: Iterable[Video]) -> None:
    """Refuses a data set of which a video lies neither in an archive nor in a folder that looks whole."""
    mend = f"Run: python data/doctor.py {in_words(dataset.name, dataset.root)} --fix, then this again."
    for video in videos:
        folder = dataset.frame_folder(video)
        if archive_of(folder).exists():
            continue
        if not folder.is_dir():
            raise ValueError(f"{folder} is missing, and there is no archive of it either. {mend}")
        if not all((folder / name).exists() for name in _last_members(video)):
            raise ValueError(f"{folder} holds less than index.csv counts. {mend}")


def pack_video(dataset: DataSet, video: Video) -> Path:
    """Writes the archive of a video, whole or not at all, and removes its folder once the archive reads well."""
    folder, path = dataset.frame_folder(video), archive_path(dataset, video)
    if not folder.is_dir():
        return path  # Packed before.
    if not path.exists():  # Else removing the folder was interrupted.
        unfinished = path.with_name(f".incomplete.{path.name}")
        pack_folder(folder, unfinished)
        unfinished.replace(path)
    _remove(folder)
    return path


def pack_folder(folder: Path, path: Path) -> None:
    """Writes the archive of a folder, and reads it to be sure of it."""
    sizes = {entry.name: entry.stat().st_size for entry in folder.iterdir()}
    write_archive(path, sizes, lambda name: (folder / name).read_bytes())
    with zipfile.ZipFile(path) as archive:
        packed = {info.filename: info.file_size for info in archive.infolist() if info.filename != TABLE}
    damaged = damaged_member(path)
    if damaged or packed != sizes:
        raise OSError(f"{path} does not hold what {folder} holds ({damaged or 'sizes differ'}). Is the disk full?")


def write_archive(path: Path, sizes: Mapping[str, int], read: Callable[[str], bytes]) -> None:
    """Writes an archive of files of these names and sizes, the same bytes whenever and from wherever it is written."""
    names = _in_order(sizes)
    others = sorted(sizes.keys() - set(names))
    lonely = next((name for name in others if name.endswith(".jpg")), None)
    if lonely:
        raise ValueError(f"{lonely} can't be packed into {path}: files that belong before it are missing.")
    table = np.zeros((len(names), 2), "<i4")
    begin = TABLE_BEGIN + table.nbytes
    if begin + sum(_HEADER + len(name) + size for name, size in sizes.items()) >= 2**31:
        raise ValueError("Its archive would be larger than 2 GiB, the most that a table can tell. Keep it loose.")
    for row, name in enumerate(names):
        table[row] = begin + _HEADER + len(name), sizes[name]
        begin += _HEADER + len(name) + sizes[name]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        # ZipInfo's own date, 1980, keeps the bytes the same whenever they are written.
        archive.writestr(zipfile.ZipInfo(TABLE), table.tobytes())
        for name in names + others:
            archive.writestr(zipfile.ZipInfo(name), read(name))
    with path.open("rb") as file:
        os.fsync(file.fileno())


def unpack_video(dataset: DataSet, video: Video) -> Path:
    """Makes the folder of a video from its archive again, whole or not at all, and removes the archive."""
    folder, path = dataset.frame_folder(video), archive_path(dataset, video)
    if not path.exists():
        return folder
    unfinished = folder.with_name(f".incomplete.{folder.name}")
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(unfinished, [name for name in archive.namelist() if name != TABLE])
    except (zipfile.BadZipFile, EOFError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        mend = f"python data/doctor.py {in_words(dataset.name, dataset.root)} --full --fix"
        raise ValueError(f"{path} is damaged ({error}). Run: {mend}, then this again.") from error
    if folder.exists():
        _remove(folder)  # It was being removed when packing it was interrupted.
    unfinished.rename(folder)
    path.unlink()
    return folder


def read_members(path: str | Path, members: Sequence[int]) -> list[bytes]:
    """Returns files by their places in the table: one short read of it, and one of each stretch of neighbours.

    Plain numbers and calls: a clip may be of one small file, which arrays and file objects would take longer to tell.
    """
    wanted = sorted(set(members))
    first, last = wanted[0], wanted[-1]
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
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


def _read(file: int, begin: int, length: int, path: str | Path) -> bytes:
    os.lseek(file, begin, os.SEEK_SET)
    contents = os.read(file, length)
    if len(contents) != length:
        raise OSError(f"{path} ends before what its table tells.")
    return contents


def _stretches(wanted: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yields the first and the last of each stretch of neighbours among sorted numbers."""
    start = before = wanted[0]
    for member in wanted[1:]:
        if member != before + 1:
            yield start, before
            start = member
        before = member
    yield start, before


def damaged_member(path: Path) -> str | None:
    """Returns the first file in an archive whose checksum is wrong, or None."""
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()


def check_whole(dataset: DataSet) -> None:
    """Refuses a data set of which only some videos are packed."""
    if dataset.layout.name == HALF_PACKED:
        raise ValueError(
            f"{dataset.root} is half packed. Run python data/pack.py {in_words(dataset.name, dataset.root)} to finish "
            "packing it (or what prepare.py --pack began), or the same with --unpack to have loose files again."
        )


def begin_storing(root: Path, name: str, *, packed: bool) -> None:
    """Refuses to make loose files where archives lie, and notes that a data set is about to be packed."""
    layout = read_layout(root).name
    if packed and layout not in (OURS.name, PACKED, HALF_PACKED):
        raise ValueError(f"Only data prepared by prepare.py can be packed; {root} is {layout}.")
    if packed and layout == OURS.name:
        write_json(layout_path(root), {"name": HALF_PACKED})
    if not packed and layout in (PACKED, HALF_PACKED):
        raise ValueError(
            f"{root} is {layout}, and loose files would be made beside the archives. Add --pack to make archives of "
            f"these videos, too, or have loose files again by: python data/pack.py {in_words(name, root)} --unpack"
        )


def end_storing(root: Path, folders: Iterable[Path]) -> None:
    """Notes that a data set is packed, once these folders of its videos all are."""
    if read_layout(root).name == HALF_PACKED and not any(folder.is_dir() for folder in folders):
        write_json(layout_path(root), {"name": PACKED})


def read_stored(path: Path) -> bytes:
    """Returns the content of a file of a video, out of its folder or out of the archive in the folder's place."""
    archive = archive_of(path.parent)
    if path.parent.is_dir() or not archive.exists():
        return path.read_bytes()
    try:
        return _opened(archive, archive.stat().st_mtime_ns).read(path.name)
    except (KeyError, zipfile.BadZipFile) as error:
        raise FileNotFoundError(f"{archive} holds no whole {path.name}.") from error


def stored_paths(folder: Path) -> set[Path]:
    """Returns the paths of all files of a video as if they lay loose in its folder."""
    archive = archive_of(folder)
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
    """Returns an archive, opened once for all of its files that are read one after the other."""
    return zipfile.ZipFile(path)


def _in_order(names: Iterable[str]) -> list[str]:
    """Returns the names that have a place in the table, as `member_of_frame` and `member_of_flow` count them."""
    there = set(names)
    order = [*_numbered(there, OURS.frame)]
    for patterns in ((OURS.flow_x, OURS.flow_y), (OURS.back_x, OURS.back_y)):
        order += _numbered(there, *patterns)
    return order


def _numbered(there: set[str], *patterns: str) -> Iterable[str]:
    index = 0
    while all(_name(pattern, index) in there for pattern in patterns):
        yield from (_name(pattern, index) for pattern in patterns)
        index += 1


def _last_members(video: Video) -> list[str]:
    frames = [_name(OURS.frame, video.num_frames - 1)] if video.num_frames else []
    return [*frames, _name(OURS.flow_x, video.num_flows - 1)] if video.num_flows else frames


def _name(pattern: str, index: int) -> str:
    return pattern.rsplit("/", 1)[1].format(number=f"{OURS.first + index:0{OURS.digits}d}")


def _remove(folder: Path) -> None:
    for entry in folder.iterdir():
        entry.unlink()
    folder.rmdir()
