"""Where the video files of a data set really lie: archives are unpacked in class folders, flat, or deeper."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from data.catalog import DataSet

# Of a file that may be a video, for all commands.
VIDEO_EXTENSIONS = (
    *(".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)


# Numbers and what is between them, in turn.
_PARTS = re.compile(r"(\d+)")
PICTURE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def walk_files(folder: Path) -> Iterator[Path]:
    """Yields all files below a folder in the order of their names; links are followed, each folder once.

    A folder of pictures is one video, and yielded itself.
    """
    seen: set[tuple[int, int]] = set()

    def below(place: Path) -> Iterator[Path]:
        identity = (status := place.stat()).st_dev, status.st_ino
        if identity in seen:  # A link that leads back up would be walked for ever.
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
    except OSError:  # A link that leads to itself; whoever reads it as a file will say so.
        return False


def is_video(path: Path) -> bool:
    """Tells whether a file's extension is that of a video, or a folder holds the frames of one."""
    return path.suffix.lower() in VIDEO_EXTENSIONS or is_of_pictures(path)


def is_of_pictures(path: Path) -> bool:
    """Tells whether a folder holds pictures, two at least, and nothing else that counts: the frames of a video."""
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
    """Returns the pictures of a folder in the order of the numbers in their names: 2 comes before 10."""
    found = [path for path in folder.iterdir() if path.name.lower().endswith(PICTURE_EXTENSIONS)]
    return sorted(found, key=lambda path: [int(part) if part.isdecimal() else part for part in _PARTS.split(path.name)])


def find_sources(dataset: DataSet, folder: Path) -> dict[str, Path]:
    """Returns the file of each video that is there by the video's name.

    A file is a video's if it lies where the lists say; else if its name is the video's, in the class folder or
    alone; else if that holds without case, or with the name in brackets at its end, as downloaders write.
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


def _is_named(dataset: DataSet, path: Path) -> bool:
    """Tells whether a file of unknown extension has the name of a video, as ids saved without one have."""
    return path.name in dataset.videos and not path.suffix


def _only(candidates: list[Path], class_folder: str) -> Path | None:
    """Returns the candidate in the folder of the class, or the one there is; two are no answer."""
    fitting = [path for path in candidates if class_folder and path.parent.name.casefold() == class_folder.casefold()]
    if len(fitting) == 1:
        return fitting[0]
    return candidates[0] if len(candidates) == 1 else None


def _bracketed(stem: str) -> str:
    """Returns what stands in the last brackets of a name: `Title [id]` is how downloaders keep an id."""
    return stem[stem.rfind("[") + 1 : -1] if stem.endswith("]") and "[" in stem else stem
