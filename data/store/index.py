"""Reads and writes the index of prepared videos, and how frames and flow were made (`flow.json`).

The index is `index.csv`. That of very many videos is a table in the folder `index`, which mapped_index.py writes.
"""

import contextlib
import csv
import dataclasses
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from commands.files import check_file, write_text
from commands.schema import read_json
from commands.text import as_cell, is_printable, of_cell, printable
from data.catalog import DataSet, Video, in_words, read_layout
from data.optical_flow.compute import FlowDescription
from data.store.columns import Table, first_place, key_of, table_path

# The most frames of a video, and the most pixels of a side: a hundred hours, and more than JPEG allows.
MOST_COUNTED = 10_000_000
# A missing video has no file. A stopped one is not at fault, and never gets into the index.
READY, BROKEN, MISSING, STOPPED = "ready", "broken", "missing", "stopped"
STATES = READY, BROKEN, MISSING  # Those that an index may hold, by the number that a table has for each.


@dataclass(frozen=True, slots=True)
class Row:
    """The state of one video, and the counts of its files."""

    video: str
    folder: str
    frames: int = 0
    flows: int = 0
    width: int = 0
    height: int = 0
    bytes: int = 0
    state: str = READY
    reason: str = ""
    stored: str = ""  # The name of its folder, if another tool spelt it differently.


# A file that lacks one of these is not an index of ours. `stored` is missing in indexes of earlier versions.
NEEDED = tuple(field.name for field in dataclasses.fields(Row) if field.name != "stored")
_NUMBERS = ("frames", "flows", "width", "height", "bytes")


class Description(FlowDescription, total=False):
    """The content of `flow.json`, which describes all stored data of a data set. Earlier versions wrote less."""

    step: int
    backward: bool
    engine: str
    layout: str  # The layout of another tool, if it made the flow.
    short_side: int | None
    enlarge: bool
    size: list[int] | None
    fps: float | None
    every: int
    jpeg_quality: int | None  # None if frames and flow don't go through JPEG.
    usual_size: list[int]  # Only in the files of models: the width and height of most frames.


# What prepare.py writes into `flow.json`, by name and type; it is smaller than this.
_USUAL = {
    *((name, str) for name in ("method", "preset", "rule", "engine", "layout")),
    *((name, float) for name in ("bound", "fps")),
    *((name, int) for name in ("step", "short_side", "every", "jpeg_quality")),
    *((name, bool) for name in ("backward", "enlarge")),
    *((name, type(None)) for name in ("short_side", "size", "fps", "jpeg_quality")),
    *((name, dict) for name in ("parameters", "made_by")),
}
_MOST_DESCRIBED = 2**20


def index_path(root: Path) -> Path:
    """Returns the path of the index of the data set in `root`."""
    return root / "index.csv"


def table_folder(root: Path) -> Path:
    """Returns the folder of the index of a data set of very many videos."""
    return root / "index"


def is_table(root: Path) -> bool:
    """Tells whether the index of the data set in `root` is a table."""
    return (root / "index" / "table.json").is_file()


def index_file(root: Path) -> Path:
    """Returns the file of the index of a data set, whether there is one or not."""
    return table_path(table_folder(root)) if is_table(root) else index_path(root)


def is_indexed(root: Path) -> bool:
    """Tells whether the data set in `root` has an index, of whatever form."""
    return index_path(root).exists() or is_table(root)


def shard_path(root: Path, number: int, count: int) -> Path:
    """Returns the path of the index of one of `count` shards, until they are merged."""
    return root / f"index.{number}-of-{count}.csv"


def write_index(path: Path, rows: Iterable[Row]) -> None:
    """Writes the index, sorted by folder and name, completely or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in dataclasses.fields(Row))
    ordered = sorted(rows, key=lambda row: (row.folder, row.video))
    writer.writerows([as_cell(value) for value in dataclasses.astuple(row)] for row in ordered)
    write_text(path, text.getvalue())


def read_index(path: Path) -> Mapping[str, Row]:
    """Returns the rows of an index by the name of the video; `path` is that of `index.csv`, or of a shard."""
    if path == index_path(path.parent) and is_table(path.parent):
        return IndexedRows(Table(table_folder(path.parent)))
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: the data set is not prepared. Run: ./run prepare")
    try:
        check_file(path)
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
        missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"it has no column {missing[0]}")
        return {row.video: row for row in map(_row, reader)}
    except (ValueError, TypeError, csv.Error) as error:
        raise _unreadable(path, error) from error


class IndexedRows(Mapping[str, Row]):
    """The rows of a table by the names of their videos; each is read when it is asked for."""

    def __init__(self, table: Table) -> None:
        self.table, self._folders = table, table.whole_texts("folders")

    def __len__(self) -> int:
        """Returns the number of videos."""
        return len(self.table)

    def __iter__(self) -> Iterator[str]:
        """Yields the names of the videos."""
        return (self.table.text("video", row) for row in range(len(self)))

    def __getitem__(self, name: str) -> Row:
        """Returns the row of a video."""
        row = find_row(self.table, name)
        if row is None:
            raise KeyError(name)
        return self.at(row)

    def values(self) -> ValuesView[Row]:
        """Returns the rows in order, without looking up their names."""
        return _Values(self)

    def at(self, row: int) -> Row:
        """Returns a row by its number."""
        number, text = self.table.number, self.table.text
        frames, flows, width, height, size = (number(name, row) for name in _NUMBERS)
        state, reason, stored = STATES[number("state", row)], text("reason", row), text("stored", row)
        folder = self._folders[number("folder", row)]
        return Row(text("video", row), folder, frames, flows, width, height, size, state, reason, stored)


class _Values(ValuesView[Row]):
    def __init__(self, rows: IndexedRows) -> None:
        super().__init__(rows)
        self._rows = rows

    def __iter__(self) -> Iterator[Row]:
        return map(self._rows.at, range(len(self._rows)))


def find_row(table: Table, name: str) -> int | None:
    """Returns the number of a video's row in a table, or None if it has none."""
    keys, rows, key = table.whole("keys"), table.whole("key_rows"), key_of(name)
    place = first_place(keys, key)
    while place < len(keys) and keys[place] == key:
        row = int(rows[place])
        if table.text("video", row) == name:
            return row
        place += 1
    return None


def with_counts(dataset: DataSet, rows: Mapping[str, Row] | None = None) -> DataSet:
    """Returns the data set with the counts of its index in its videos, and its layout; unprepared ones keep 0."""
    rows = read_index(index_path(dataset.root)) if rows is None else rows
    videos = {name: _counted(video, rows.get(name)) for name, video in dataset.videos.items()}
    return dataclasses.replace(dataset, layout=read_layout(dataset.root), videos=videos)


def _counted(video: Video, row: Row | None) -> Video:
    if row is None or row.state != READY:
        return video
    # dataclasses.replace would take four times as long, and there may be hundreds of thousands of videos.
    known = video.name, row.folder, video.extension, video.labels, video.group
    return Video(*known, row.frames, row.flows, video.file, row.stored)


def _row(fields: Mapping[str, str]) -> Row:
    frames, flows, width, height, size = numbers = [int(fields[name]) for name in _NUMBERS]
    if fields["state"] not in STATES:
        raise ValueError(f"the state of {fields['video']} is {fields['state']!r}")
    texts = [fields.get(name) or "" for name in ("video", "folder", "reason", "stored")]
    # Nearly all cells need no change, and there may be hundreds of thousands of rows.
    odd = any(text.startswith("'") or not text.isprintable() for text in texts)
    video, folder, reason, stored = map(_text, texts) if odd else texts
    if min(numbers) < 0 or max(numbers[:4]) > MOST_COUNTED:
        raise ValueError(f"the numbers of {video!r} can't be right")
    # All videos of a class share one string.
    return Row(video, sys.intern(folder), frames, flows, width, height, size, fields["state"], reason, stored)


def _text(cell: str) -> str:
    """Returns the text of a cell, without the mark that keeps spreadsheets from running it."""
    if not is_printable(cell, keep="\n"):
        raise ValueError(f"{printable(cell)} holds control characters")
    return of_cell(cell)


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} can't be read as an index ({error}): another version or another tool wrote it, or it was changed "
        "by hand. Delete it and type ./run prepare again; prepared videos are kept."
    )


def description_path(root: Path) -> Path:
    """Returns the path of `flow.json`, which describes how frames and flow of a data set were made."""
    return root / "flow.json"


def find_description(root: Path) -> Description:
    """Returns the content of `flow.json` in `root`, or nothing if there is none."""
    path = description_path(root)
    if not path.exists():
        return {}
    with contextlib.suppress(ValueError, RecursionError):  # What prepare.py wrote needs no further checks.
        found = json.loads(path.read_bytes()) if path.is_file() and path.stat().st_size < _MOST_DESCRIBED else None
        if isinstance(found, dict) and {(name, type(value)) for name, value in found.items()} <= _USUAL:
            return cast(Description, found)
    return read_json(path, Description, "Delete it and prepare again.")


def read_description(root: Path) -> Description:
    """Returns the content of `flow.json` in `root`; raises FileNotFoundError if there is none."""
    if not description_path(root).exists():
        raise FileNotFoundError(
            f"{root} has no flow.json: it is not prepared. Run: ./run prepare {in_words(root.name, root)}"
        )
    return find_description(root)
