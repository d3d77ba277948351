"""Writes the index of a data set: a CSV file that people can read, a table for very many videos, or both."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from data.catalog import DataSet, Video
from data.store.columns import PART_ROWS, Column, Ragged, TableWriter, keys_of, table_path
from data.store.index import (
    READY,
    STATES,
    Row,
    index_path,
    is_table,
    table_folder,
    write_index,
)
from data.store.mapped_index import PARTS, lists_of

# From this many videos on, the index is a table unless the user decides otherwise: a CSV would take seconds to read.
LARGE = 100_000
# The forms of the index. "auto" keeps a table if there is one, and otherwise chooses by the number of videos.
FORMS = AS_FITS, CSV, TABLE, BOTH = "auto", "csv", "table", "both"
_NOT_PREPARED = "not prepared"


def keep_index(dataset: DataSet, rows: Iterable[Row], form: str = AS_FITS) -> None:
    """Writes the index of a data set in one of FORMS, in place of the one that it has."""
    root, rows = dataset.root, list(rows)
    if form == AS_FITS:
        form = CSV if len(dataset.videos) < LARGE else TABLE
        if is_table(root):
            form = BOTH if index_path(root).exists() else TABLE
    if form != CSV:
        _write_table(dataset, {row.video: row for row in rows})
    if form != TABLE:
        write_index(index_path(root), rows)
    else:
        index_path(root).unlink(missing_ok=True)
    if form == CSV:
        table_path(table_folder(root)).unlink(missing_ok=True)


def _write_table(dataset: DataSet, rows: Mapping[str, Row]) -> None:
    """Writes the rows of the videos of a data set, ready ones first, and its lists."""
    known = [video for video in dataset.videos.values() if video.name in rows]
    ordered = sorted(known, key=lambda video: rows[video.name].state != READY)
    writer, words = MappedWriter(dataset.root), {"folder": _Words(), "extension": _Words()}
    videos = iter(ordered)
    while chunk := list(islice(videos, PART_ROWS)):
        writer.add(_columns(chunk, [rows[video.name] for video in chunk], words, multi_label=dataset.multi_label))
    missing = len(dataset.videos) - len(known)
    writer.states.update({_NOT_PREPARED: missing} if missing else {})
    place = {video.name: number for number, video in enumerate(ordered) if rows[video.name].state == READY}
    splits = {
        f"split{number}.{part}": np.array([place[name] for name in getattr(split, part) if name in place], np.uint32)
        for number, split in dataset.splits.items()
        for part in PARTS
    }
    about = {
        "classes": list(dataset.classes),
        "multi_label": dataset.multi_label,
        "short_side": dataset.short_side,
        "splits": sorted(dataset.splits),
    }
    writer.close(about, splits, folders=words["folder"].all, extensions=words["extension"].all)


class MappedWriter:
    """Writes the table of a data set from columns, some videos at a time; those that are ready must come first."""

    def __init__(self, root: Path) -> None:
        self.root, self.states = root, Counter[str]()
        self._table, self._keys = TableWriter(table_folder(root)), list[np.ndarray]()
        self._counts = {name: Counter[str]() for name in ("sides", "frames", "flows", "sizes")}

    def add(self, columns: Mapping[str, Column]) -> None:
        """Writes some videos, at most as many as a part has. Missing columns are zero or empty."""
        names, group = columns["video"], columns.get("group")
        assert isinstance(names, Ragged)
        keys = keys_of(names)
        # Groups are drawn by their keys. A video without a group counts as a group.
        of_group = (
            np.where(np.diff(group.ends, prepend=0) > 0, keys_of(group), keys) if isinstance(group, Ragged) else keys
        )
        self._keys.append(keys)
        self._table.add(len(keys), {**columns, "group_key": of_group})
        self._count(
            {name: np.asarray(column) for name, column in columns.items() if not isinstance(column, Ragged)}, len(keys)
        )

    def close(
        self,
        about: Mapping[str, object],
        splits: Mapping[str, np.ndarray],
        *,
        folders: Sequence[str],
        extensions: Sequence[str],
    ) -> None:
        """Writes the lists, row numbers by names such as `split1.train`, and puts the table in its place."""
        keys = np.concatenate(self._keys) if self._keys else np.zeros(0, np.uint64)
        order = np.argsort(keys).astype(np.uint32)
        whole: dict[str, Column] = {"keys": keys[order], "key_rows": order}
        whole |= {"folders": Ragged.of_texts(folders), "extensions": Ragged.of_texts(extensions), **splits}
        counted = {name: dict(counts) for name, counts in self._counts.items()}
        self._table.close({"states": dict(self.states), "lists": lists_of(self.root), **counted, **about}, whole)

    def _count(self, columns: Mapping[str, np.ndarray], count: int) -> None:
        """Counts the states of videos and, of those that are ready, frames, fields and sizes."""
        state, width, height, frames, flows = (
            columns.get(name, np.zeros(count, np.int32)) for name in ("state", "width", "height", "frames", "flows")
        )
        for number, times in zip(*np.unique(state, return_counts=True), strict=True):
            self.states[STATES[number]] += int(times)
        ready, sides = state == 0, np.minimum(width, height)
        sized = ready & (sides > 0)
        of_size = width.astype(np.int64) << 32 | height
        counted = ("sides", sides[sized]), ("frames", frames[ready]), ("flows", flows[ready]), ("sizes", of_size[sized])
        for name, values in counted:
            for number, times in zip(*np.unique(values, return_counts=True), strict=True):
                words = f"{number >> 32}x{number & 0xFFFFFFFF}" if name == "sizes" else str(number)
                self._counts[name][words] += int(times)


class _Words:
    """Numbers the words that many videos share, such as their classes."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, word: str) -> int:
        return self._numbers.setdefault(word, len(self._numbers))

    @property
    def all(self) -> list[str]:
        return list(self._numbers)


def _columns(
    videos: Sequence[Video], rows: Sequence[Row], words: Mapping[str, _Words], *, multi_label: bool
) -> dict[str, Column]:
    """Returns the columns of some videos."""
    found: dict[str, Column] = {
        "video": Ragged.of_texts(video.name for video in videos),
        "group": Ragged.of_texts("" if video.group == video.name else video.group for video in videos),
        "file": Ragged.of_texts(video.file for video in videos),
        "stored": Ragged.of_texts(row.stored for row in rows),
        "reason": Ragged.of_texts(row.reason for row in rows),
        "folder": np.array([words["folder"].number(row.folder) for row in rows], np.int32),
        "extension": np.array([words["extension"].number(video.extension) for video in videos], np.int32),
        "state": np.array([STATES.index(row.state) for row in rows], np.uint8),
        "bytes": np.array([row.bytes for row in rows], np.int64),
    }
    found |= {
        name: np.array([getattr(row, name) for row in rows], np.int32)
        for name in ("frames", "flows", "width", "height")
    }
    if multi_label:
        return found | {"labels": Ragged.of_numbers([video.labels for video in videos])}
    return found | {"label": np.array([video.label for video in videos], np.int32)}
