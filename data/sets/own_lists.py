"""Reads the videos and classes of your own data set from a CSV, class folders, or train/val/test metadata."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath, PurePosixPath

from commands.files import read_table
from commands.text import of_cell
from data.extraction.video_files import is_of_pictures, is_video, walk_files

TRAIN, VALIDATION, TEST = "train", "val", "test"
# Names of the parts in CSV files and of folders.
PARTS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation"), VALIDATION),
    "test": TEST,
    "": "",
}
VIDEO_COLUMNS = ("video_name", "clip_name", "video", "name", "video_path", "clip_path", "path", "file")
LABEL_COLUMNS = ("class", "class_name", "label", "category", "action")


def read_folders(folder: Path) -> Iterator[dict[str, str]]:
    """Yields the videos below a folder; the class of each is its topmost folder, or the one below `train` and so on."""
    paths = [path.relative_to(folder) for path in walk_files(folder) if is_video(path)]
    yield from _by_folders([path for path in paths if len(path.parts) > 1])


def read_frame_folders(folder: Path) -> Iterator[dict[str, str]]:
    """Yields videos that exist only as frames, in one folder per video within one per class, maybe in parts."""
    tops = [path.name for path in folder.glob("[!.]*/")]
    below = "[!.]*/[!.]*/[!.]*/" if are_parts(tops) else "[!.]*/[!.]*/"
    found = sorted(path.relative_to(folder) for path in folder.glob(below))
    without_class = [path for path in sorted(folder.glob("[!.]*/")) if is_of_pictures(path)]
    if not found and without_class:
        raise ValueError(
            f"{without_class[0]} holds the frames of a video but is in no folder of a class, like {len(without_class)} "
            f"of the folders in {folder}. Put each into a folder that is named after its class, or write the list "
            f"{folder.parent / 'annotations' / 'videos.csv'} with the columns video,label."
        )
    yield from _by_folders(found)


def are_parts(folders: Iterable[str]) -> bool:
    """Tells whether folders are named as the parts of a split, so that those of the classes are below them."""
    return {name.lower() for name in folders} <= PARTS.keys()


def joined(labels: Iterable[str]) -> str:
    r"""Returns the cell of a CSV that holds these classes; a `|` in the name of one is written `\|`."""
    return "|".join(label.replace("|", r"\|") for label in labels)


def separate(cell: str) -> tuple[str, ...]:
    """Returns the classes in a cell of a CSV."""
    return tuple(label.replace(r"\|", "|") for label in re.split(r"(?<!\\)\|", cell) if label)


def _by_folders(paths: Sequence[PurePath]) -> Iterator[dict[str, str]]:
    """Yields videos by their paths below the data set's folder: `class/video`, or `part/class/video`."""
    in_parts = are_parts(path.parts[0] for path in paths) and all(len(path.parts) > 2 for path in paths)
    for path in paths:
        part = {"split": path.parts[0]} if in_parts else {}
        yield {"video": path.as_posix(), "label": joined([path.parts[in_parts]]), **part}


def read_metadata(folder: Path) -> Iterator[dict[str, str]]:
    """Yields the videos of `train.csv`, `val.csv` and `test.csv`, whose columns may have any of the usual names."""
    for part in ("train", "val", "test"):
        path = folder / f"{part}.csv"
        if not path.is_file():
            continue
        columns, rows = read_table(path)
        names = {name.strip().lower(): name for name in columns}
        video = next((names[name] for name in VIDEO_COLUMNS if name in names), None)
        label = next((names[name] for name in LABEL_COLUMNS if name in names), None)
        if video is None or label is None:
            raise ValueError(
                f"{path} must have a column of videos ({', '.join(VIDEO_COLUMNS)}) and one of classes "
                f"({', '.join(LABEL_COLUMNS)}). It has {', '.join(names)}."
            )
        for row in rows:
            yield {
                "video": f"{part}/{row[label]}/{PurePosixPath(row[video]).name}",
                "label": joined([row[label]]),
                "split": part,
            }


def read_csv(path: Path) -> Iterator[dict[str, str]]:
    """Yields the checked rows of a CSV of videos."""
    columns, rows = read_table(path)
    missing = {"video", "label"} - set(columns)
    if missing:
        raise ValueError(
            f"{path} has no column {' and no column '.join(sorted(missing))}. Its first line must be "
            "video,label, optionally followed by group and split."
        )
    # Interned, because hundreds of thousands of rows repeat the same few classes and parts.
    same: dict[str, Callable[[str], str]] = {"label": sys.intern, "split": sys.intern, "group": str, "video": str}
    for number, row in enumerate(rows, start=2):
        values = {name: text(of_cell((row.get(name, "")).strip())) for name, text in same.items()}
        video = values["video"]
        if not video:
            raise ValueError(f"Line {number} of {path} names no video.")
        if video.startswith("/") or ".." in video.split("/"):
            raise ValueError(f"Line {number} of {path}: {video} is outside the folder of the videos.")
        if values.get("split", "").lower() not in PARTS:
            raise ValueError(
                f"Line {number} of {path} has the split {values['split']!r}. "
                f"Expected {', '.join(filter(None, PARTS))}, or nothing."
            )
        yield values
