"""One file a video instead of hundreds: the same JPEG files in an uncompressed ZIP archive that opens with a table.

Any ZIP tool unpacks it. Its first member, `offsets`, says where each of the others begins and how long it is, as pairs
of little-endian int32, so that a clip is read with two short reads and no directory is parsed. Members stand
in the order of `member_of_frame` and `member_of_flow`: all frames, then x and y of each field, forward, then backward.
"""

import os
import zipfile
from pathlib import Path

import numpy as np

from data.catalog import DataSet, Video
from data.layouts import OURS, frame_folder, read_layout

PACKED = "packed"  # The name of the layout of a packed data set; its members are named as ours.
HALF_PACKED = "half packed"  # The same while only some videos are packed, which nothing can read.
TABLE = "offsets"
# A member's header is 30 bytes and its name. The table is the first member, so that it begins here.
_HEADER = 30
TABLE_BEGIN = _HEADER + len(TABLE)


def archive_path(dataset: DataSet, video: Video) -> Path:
    """Returns the archive of a video, which lies where its folder lay."""
    folder = frame_folder(dataset, video)
    return folder.with_name(f"{folder.name}.zip")


def num_members(video: Video, *, is_backward_stored: bool = False) -> int:
    """Returns how many files of a video have a place in its table."""
    return video.num_frames + video.num_flows * (4 if is_backward_stored else 2)


def pack_video(dataset: DataSet, video: Video, *, is_backward_stored: bool = False) -> Path:
    """Writes the archive of a video, whole or not at all, and removes its folder once the archive reads well."""
    folder, path = frame_folder(dataset, video), archive_path(dataset, video)
    if not folder.is_dir():
        return path  # Packed before.
    names = _member_names(video, is_backward_stored)
    others = sorted(entry.name for entry in folder.iterdir() if entry.name not in set(names))
    unfinished = path.with_name(f".incomplete.{path.name}")
    _write(unfinished, folder, names, others)
    _check(unfinished, folder)
    unfinished.replace(path)
    _remove(folder)
    return path


def unpack_video(dataset: DataSet, video: Video) -> Path:
    """Makes the folder of a video from its archive again, whole or not at all, and removes the archive."""
    folder, path = frame_folder(dataset, video), archive_path(dataset, video)
    if not path.exists():
        return folder
    unfinished = folder.with_name(f".incomplete.{folder.name}")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(unfinished, [name for name in archive.namelist() if name != TABLE])
    if folder.exists():
        _remove(folder)  # It was being removed when packing it was interrupted.
    unfinished.rename(folder)
    path.unlink()
    return folder


def damaged_member(path: Path) -> str | None:
    """Returns the first file in an archive whose checksum is wrong, or None."""
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()


def check_whole(dataset: DataSet) -> None:
    """Refuses a data set of which only some videos are packed."""
    if dataset.layout.name == HALF_PACKED:
        raise ValueError(
            f"{dataset.root} is half packed. Run python data/pack.py {dataset.name} to finish packing it, "
            "or the same with --unpack to have loose files again."
        )


def check_loose(root: Path, name: str) -> None:
    """Refuses to prepare videos where archives lie: files would be made a second time beside them."""
    layout = read_layout(root).name
    if layout in (PACKED, HALF_PACKED):
        raise ValueError(
            f"{root} is {layout}, and prepare.py works on loose files. Run: python data/pack.py {name} --unpack"
        )


def _member_names(video: Video, is_backward_stored: bool) -> list[str]:
    patterns = [(OURS.flow_x, OURS.flow_y), *([(OURS.back_x, OURS.back_y)] if is_backward_stored else [])]
    names = [_name(OURS.frame, index) for index in range(video.num_frames)]
    for pair in patterns:
        names += [_name(pattern, index) for index in range(video.num_flows) for pattern in pair]
    return names


def _name(pattern: str, index: int) -> str:
    return pattern.rsplit("/", 1)[1].format(number=f"{OURS.first + index:0{OURS.digits}d}")


def _write(path: Path, folder: Path, names: list[str], others: list[str]) -> None:
    sizes = [(folder / name).stat().st_size for name in names]
    table = np.zeros((len(names), 2), "<i4")
    begin = TABLE_BEGIN + table.nbytes
    for row, (name, size) in enumerate(zip(names, sizes, strict=True)):
        table[row] = begin + _HEADER + len(name), size
        begin += _HEADER + len(name) + size
    if begin >= 2**31:
        raise ValueError(f"{folder} holds {begin / 2**30:.1f} GiB, and an archive at most 2. Leave it as it is.")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        # ZipInfo's own date, 1980, keeps the bytes the same whenever they are written.
        archive.writestr(zipfile.ZipInfo(TABLE), table.tobytes())
        for name in names + others:
            archive.writestr(zipfile.ZipInfo(name), (folder / name).read_bytes())
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _check(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        packed = {info.filename: info.file_size for info in archive.infolist() if info.filename != TABLE}
    loose = {entry.name: entry.stat().st_size for entry in folder.iterdir()}
    damaged = damaged_member(path)
    if damaged or packed != loose:
        raise OSError(f"{path} does not hold what {folder} holds ({damaged or 'sizes differ'}). Is the disk full?")


def _remove(folder: Path) -> None:
    for entry in folder.iterdir():
        entry.unlink()
    folder.rmdir()
