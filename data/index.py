"""What is on disk: `index.csv` has one row a video with its counts and its state."""

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from commands.running import write_text
from data.catalog import DataSet
from data.layouts import read_layout

READY, BROKEN = "ready", "broken"


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one video."""

    video: str
    folder: str
    frames: int = 0
    flows: int = 0
    width: int = 0
    height: int = 0
    state: str = READY
    reason: str = ""


def index_path(root: Path) -> Path:
    """Returns where the index of the data set in `root` lies."""
    return root / "index.csv"


def write_index(root: Path, rows: Iterable[Row]) -> None:
    """Writes the index, sorted by folder and name, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in dataclasses.fields(Row))
    writer.writerows(dataclasses.astuple(row) for row in sorted(rows, key=lambda row: (row.folder, row.video)))
    write_text(index_path(root), text.getvalue())


def read_index(root: Path) -> dict[str, Row]:
    """Returns the rows of the index by the name of the video."""
    path = index_path(root)
    if not path.exists():
        raise FileNotFoundError(f"{root} has no index.csv: it is not prepared. Run: python data/prepare.py")
    with path.open(newline="", encoding="utf-8") as file:
        return {row["video"]: _row(row) for row in csv.DictReader(file)}


def with_counts(dataset: DataSet) -> DataSet:
    """Returns the data set with the counts of its index in its videos, and its layout; unprepared ones keep 0."""
    rows = read_index(dataset.root)
    known = (video for video in dataset.videos.values() if rows.get(video.name, _MISSING).state == READY)
    placed = dataclasses.replace(dataset, layout=read_layout(dataset.root))
    return placed.replace_videos(
        dataclasses.replace(video, num_frames=rows[video.name].frames, num_flows=rows[video.name].flows)
        for video in known
    )


_MISSING = Row("", "", state="missing")


def _row(fields: Mapping[str, str]) -> Row:
    frames, flows, width, height = (int(fields[name]) for name in ("frames", "flows", "width", "height"))
    return Row(fields["video"], fields["folder"], frames, flows, width, height, fields["state"], fields["reason"])
