"""What is on disk: `index.csv` has one row a video with its counts and its state."""

import csv
import dataclasses
import io
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from commands.files import write_text
from data.catalog import DataSet, Video, read_layout

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
    return Video(
        video.name,
        row.folder,
        video.extension,
        video.labels,
        video.group,
        row.frames,
        row.flows,
        video.file,
        row.stored,
    )


_MISSING = Row("", "", state=MISSING)


def _row(fields: Mapping[str, str]) -> Row:
    names = ("frames", "flows", "width", "height", "bytes")
    frames, flows, width, height, size = (int(fields[name]) for name in names)
    state, reason, stored = fields["state"], fields["reason"], fields.get("stored", "")
    if state not in (READY, BROKEN, MISSING):
        raise ValueError(f"the state of {fields['video']} is {state!r}")
    folder = sys.intern(fields["folder"])  # One text for all videos of a class.
    return Row(fields["video"], folder, frames, flows, width, height, size, state, reason, stored)
