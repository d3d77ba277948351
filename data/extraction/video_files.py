"""Finds the video files of a data set, in class folders, in one folder, or deeper."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from data.catalog import DataSet, Video

# Files with these extensions are videos for all commands.
VIDEO_EXTENSIONS = (
    *(".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
# Codecs that OpenCV's wheels can write. Browsers play VP9 in .webm. No wheel contains H.264.
WRITABLE_CODECS = {".webm": "VP90", ".mp4": "mp4v", ".avi": "MJPG"}
# Splits a name into numbers and the text between them.
_PARTS = re.compile(r"(\d+)")
PICTURE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def walk_files(folder: Path) -> Iterator[Path]:
    """Yields all files below a folder, sorted by name; links are followed, but each folder is visited once.

    A folder of pictures counts as one video: it is yielded itself, not its files.
    """
    seen: set[tuple[int, int]] = set()

    def below(place: Path) -> Iterator[Path]:
        identity = (status := place.stat()).st_dev, status.st_ino
        if identity in seen:  # A link to a parent folder would never end.
            return
        seen.add(identity)
        if place != folder and is_of_pictures(place):
            yield place
            return
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                yield from below(place / entry.name)
            else:
                yield place / entry.name

    yield from below(folder)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself. Reading it as a file will report that.
        return False


def is_video(path: Path) -> bool:
    """Tells whether a file has the extension of a video, or a folder contains the frames of one."""
    return path.suffix.lower() in VIDEO_EXTENSIONS or is_of_pictures(path)


def is_of_pictures(path: Path) -> bool:
    """Tells whether a folder contains at least two pictures and nothing else: the frames of a video."""
    if not path.is_dir():
        return False
    count = 0
    for entry in os.scandir(path):
        if entry.name.startswith(".") or entry.name == "Thumbs.db":
            continue
        if not entry.name.lower().endswith(PICTURE_EXTENSIONS) or _is_folder(entry):
            return False
        count += 1
    return count > 1


def pictures_in(folder: Path) -> list[Path]:
    """Returns the pictures of a folder, sorted by the numbers in their names: 2 comes before 10."""
    found = [path for path in folder.iterdir() if path.name.lower().endswith(PICTURE_EXTENSIONS)]
    return sorted(found, key=lambda path: [int(part) if part.isdecimal() else part for part in _PARTS.split(path.name)])


def find_sources(dataset: DataSet, folder: Path) -> dict[str, Path]:
    """Returns the file of each video that was found, by the video's name.

    A file belongs to a video if it is where the lists say; or else if it has the video's name and is in the class
    folder, or is the only file of that name. Failing that, case is ignored, and the name may stand in brackets at the
    end of the file's, as download programs write it.
    """
    if not folder.is_dir():
        return {}
    files: dict[str, list[Path]] = {}
    paths = [path for path in walk_files(folder) if is_video(path) or _is_named(dataset, path)]
    for path in paths:
        files.setdefault(path.stem, []).append(path)
    without_case: dict[str, list[Path]] = {}
    for path in paths:
        for name in {path.stem.casefold(), _bracketed(path.stem).casefold()}:
            without_case.setdefault(name, []).append(path)
    there = set(paths)
    found = {}
    for video in dataset.videos.values():
        listed = folder / video.relative_path
        candidates = files.get(video.name) or without_case.get(video.name.casefold(), [])
        source = listed if listed in there else _only(candidates, video.folder)
        if source:
            found[video.name] = source
    return found


def source_of_video(dataset: DataSet, video: Video) -> Path:
    """Returns the file of a video, or the path where it should be if it is missing."""
    listed = dataset.root / "videos" / video.relative_path
    return listed if listed.exists() else find_sources(dataset, dataset.root / "videos").get(video.name, listed)


def _is_named(dataset: DataSet, path: Path) -> bool:
    """Tells whether a file without an extension has the name of a video, as videos saved by their id have."""
    return path.name in dataset.videos and not path.suffix


def _only(candidates: list[Path], class_folder: str) -> Path | None:
    """Returns the only candidate in the class folder, or the only one at all; None if several fit."""
    fitting = [path for path in candidates if class_folder and path.parent.name.casefold() == class_folder.casefold()]
    if len(fitting) == 1:
        return fitting[0]
    return candidates[0] if len(candidates) == 1 else None


def _bracketed(stem: str) -> str:
    """Returns the text in the last brackets of a name, since download programs write `Title [id]`; else the name."""
    return stem[stem.rfind("[") + 1 : -1] if stem.endswith("]") and "[" in stem else stem
