"""What says which own videos there are, and their classes: a CSV, folders of videos or of frames, or metadata."""

import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from data.extraction.video_files import is_video, walk_files

TRAIN, TEST = "train", "test"
# What CSVs call the parts; the validation part is cut from the training list by the training commands.
PARTS = {"train": TRAIN, "training": TRAIN, "val": TRAIN, "valid": TRAIN, "validation": TRAIN, "test": TEST, "": ""}
VIDEO_COLUMNS = ("video_name", "clip_name", "video", "name", "video_path", "clip_path", "path", "file")
LABEL_COLUMNS = ("class", "class_name", "label", "category", "action")


def read_folders(folder: Path) -> Iterator[dict[str, str]]:
    """Yields the video files below a folder, each with the folder at the top as its class."""
    for path in walk_files(folder):
        relative = path.relative_to(folder)
        if is_video(path) and len(relative.parts) > 1:
            yield {"video": relative.as_posix(), "label": relative.parts[0]}


def read_frame_folders(folder: Path) -> Iterator[dict[str, str]]:
    """Yields the videos of which only frames are there, one folder each in the folder of a class."""
    for path in sorted(folder.glob("[!.]*/[!.]*/")):
        yield {"video": path.relative_to(folder).as_posix(), "label": path.parent.name}


def read_metadata(folder: Path) -> Iterator[dict[str, str]]:
    """Yields the videos of `train.csv`, `val.csv` and `test.csv`, whose columns have more than one name."""
    for part in ("train", "val", "test"):
        path = folder / f"{part}.csv"
        if not path.is_file():
            continue
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            video = next((names[name] for name in VIDEO_COLUMNS if name in names), None)
            label = next((names[name] for name in LABEL_COLUMNS if name in names), None)
            if video is None or label is None:
                raise ValueError(
                    f"{path} must have a column of videos ({', '.join(VIDEO_COLUMNS)}) and one of classes "
                    f"({', '.join(LABEL_COLUMNS)}). It has {', '.join(names)}."
                )
            for row in reader:
                yield {
                    "video": f"{part}/{row[label]}/{PurePosixPath(row[video]).name}",
                    "label": row[label],
                    "split": part,
                }


def read_csv(path: Path) -> Iterator[dict[str, str]]:
    """Yields the rows of a list of own videos, checked."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = {"video", "label"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(
                f"{path} has no column {' and no column '.join(sorted(missing))}. Its first line must be "
                "video,label and may go on with group and split."
            )
        # Of hundreds of thousands of rows: classes and parts are the same text, and paths take longer than text.
        same: dict[str, Callable[[str], str]] = {"label": sys.intern, "split": sys.intern, "group": str, "video": str}
        for row in reader:
            values = {name: text((row.get(name) or "").strip()) for name, text in same.items()}
            video = values["video"]
            if not video:
                raise ValueError(f"Line {reader.line_num} of {path} names no video.")
            if video.startswith("/") or ".." in video.split("/"):
                raise ValueError(f"Line {reader.line_num} of {path}: {video} leads out of the folder of the videos.")
            if values.get("split", "").lower() not in PARTS:
                raise ValueError(
                    f"Line {reader.line_num} of {path} has the split {values['split']!r}. "
                    f"Expected {', '.join(filter(None, PARTS))} or nothing."
                )
            yield values
