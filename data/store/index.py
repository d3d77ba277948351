"""What is on disk: a row a video in `index.csv`, with its counts and its state, and in `flow.json` how it was made."""

import csv
import dataclasses
import io
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from commands.files import write_text
from data.catalog import DataSet, Video, in_words, read_layout
from data.optical_flow.compute import FlowDescription

# A missing video has no file; one that was stopped is no fault of the video's, and never comes into the index.
READY, BROKEN, MISSING, STOPPED = "ready", "broken", "missing", "stopped"


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one video."""

    video: str
    folder: str
    frames: int = 0
    flows: int = 0
    width: int = 0
    height: int = 0
    bytes: int = 0
    state: str = READY
    reason: str = ""
    stored: str = ""  # The name of its folder where other tools spelt it differently.


# A file without the others is none of ours; the name that other tools gave a folder came later.
NEEDED = tuple(field.name for field in dataclasses.fields(Row) if field.name != "stored")


class Description(FlowDescription, total=False):
    """What `flow.json` says of all that is stored of a data set; files of earlier versions say less."""

    step: int
    backward: bool
    engine: str
    layout: str  # That of another tool which made the flow.
    short_side: int | None
    size: list[int] | None
    fps: float | None
    every: int
    jpeg_quality: int
    usual_size: list[int]  # Only in the files of models: the width and height of most frames.


def index_path(root: Path) -> Path:
    """Returns where the index of the data set in `root` lies."""
    return root / "index.csv"


def shard_path(root: Path, number: int, count: int) -> Path:
    """Returns where the index of one of `count` shards lies until they are merged."""
    return root / f"index.{number}-of-{count}.csv"


def write_index(path: Path, rows: Iterable[Row]) -> None:
    """Writes the index, sorted by folder and name, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in dataclasses.fields(Row))
    writer.writerows(dataclasses.astuple(row) for row in sorted(rows, key=lambda row: (row.folder, row.video)))
    write_text(path, text.getvalue())


def read_index(path: Path) -> dict[str, Row]:
    """Returns the rows of an index by the name of the video."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: the data set is not prepared. Run: python data/prepare.py")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(f"it has no column {missing[0]}")
            return {row["video"]: _row(row) for row in reader}
    except (ValueError, TypeError, csv.Error) as error:
        raise ValueError(
            f"{path} can't be read as an index ({error}): another version or another tool wrote it, or it was changed "
            "by hand. Delete it and run data/prepare.py again; what is prepared already is found, and not made twice."
        ) from error


def with_counts(dataset: DataSet, rows: Mapping[str, Row] | None = None) -> DataSet:
    """Returns the data set with the counts of its index in its videos, and its layout; unprepared ones keep 0."""
    rows = read_index(index_path(dataset.root)) if rows is None else rows
    known = (video for video in dataset.videos.values() if rows.get(video.name, _MISSING).state == READY)
    placed = dataclasses.replace(dataset, layout=read_layout(dataset.root))
    return placed.replace_videos(_with_counts(video, rows[video.name]) for video in known)


def _with_counts(video: Video, row: Row) -> Video:
    # Spelt out: dataclasses.replace takes four times as long, and there may be hundreds of thousands.
    known = video.name, row.folder, video.extension, video.labels, video.group
    return Video(*known, row.frames, row.flows, video.file, row.stored)


_MISSING = Row("", "", state=MISSING)


def _row(fields: Mapping[str, str]) -> Row:
    names = ("frames", "flows", "width", "height", "bytes")
    frames, flows, width, height, size = (int(fields[name]) for name in names)
    state, reason, stored = fields["state"], fields["reason"], fields.get("stored", "")
    if state not in (READY, BROKEN, MISSING):
        raise ValueError(f"the state of {fields['video']} is {state!r}")
    folder = sys.intern(fields["folder"])  # One text for all videos of a class.
    return Row(fields["video"], folder, frames, flows, width, height, size, state, reason, stored)


def description_path(root: Path) -> Path:
    """Returns where it is written how the frames and the flow of a data set were made."""
    return root / "flow.json"


def find_description(root: Path) -> Description:
    """Returns what `flow.json` says of the frames and the flow in `root`, or nothing where there is none."""
    path = description_path(root)
    try:
        description: Description = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}). Delete it and prepare again.") from error
    return description


def read_description(root: Path) -> Description:
    """Returns what `flow.json` says of the frames and the flow in `root`."""
    if not description_path(root).exists():
        raise FileNotFoundError(
            f"{root} has no flow.json: it is not prepared. Run: python data/prepare.py {in_words(root.name, root)}"
        )
    return find_description(root)
