"""Opens a data set whose index is a table. The table is not read: videos, lists and classes are looked up in it.

Its rows are the videos in the order of their list, but ready ones come first. The lists of splits are row numbers.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast, overload

import numpy as np

from commands.schema import checked
from data.catalog import DataSet, Split, Video, read_layout
from data.store.columns import PART_ROWS, Table
from data.store.index import find_row, is_table, table_folder

PARTS = ("train", "test", "validation")


class About(TypedDict):
    """The entries of a table about its whole data set."""

    classes: list[str]
    multi_label: bool
    short_side: int | None
    splits: list[int]
    states: dict[str, int]  # The numbers of videos that are ready, broken, missing and not prepared.
    sides: dict[str, int]  # For each short side of frames, the number of ready videos that have it; likewise below.
    frames: dict[str, int]
    flows: dict[str, int]
    sizes: dict[str, int]
    lists: list[list[object]]  # The name, bytes and time of each list from which the table was made.


class VideoRows(Sequence[Video]):
    """A list of videos, stored as their rows in a table. A video object is made only when it is used."""

    def __init__(self, whole: "MappedIndex", numbers: np.ndarray) -> None:
        self.whole, self.table, self.numbers = whole, whole.table, numbers

    def __len__(self) -> int:
        """Returns the number of videos."""
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> Video: ...
    @overload
    def __getitem__(self, place: slice) -> "VideoRows": ...
    def __getitem__(self, place: int | slice) -> "Video | VideoRows":
        """Returns the video at a place of the list, or those at some places."""
        if isinstance(place, slice):
            return VideoRows(self.whole, self.numbers[place])
        return self.whole.video(int(self.numbers[place]))

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yields the places and the row numbers of the videos, some at a time."""
        for first in range(0, len(self), PART_ROWS):
            places = slice(first, min(len(self), first + PART_ROWS))
            yield places, np.asarray(self.numbers[places], np.int64)
            self.table.forget()  # What is mapped counts as memory of this process.

    def column(self, name: str) -> np.ndarray:
        """Returns the values of a column of numbers for all of the videos."""
        found = [self.table.numbers(name, numbers) for _, numbers in self.blocks()]
        return np.concatenate(found) if found else np.zeros(0, np.int32)

    def chosen(self, is_chosen: np.ndarray) -> "VideoRows":
        """Returns the videos for which the array is true."""
        return VideoRows(self.whole, np.asarray(self.numbers)[is_chosen])

    def without(self, others: "VideoRows") -> "VideoRows":
        """Returns the videos that are not among others."""
        is_other = np.zeros(len(self.table), bool)
        is_other[others.numbers] = True
        return self.chosen(~is_other[self.numbers])

    def digest(self) -> str:
        """Returns a hash of the row numbers of these videos and of the content of the table."""
        found = hashlib.sha256(self.table.digest.encode())
        for _, numbers in self.blocks():
            found.update(numbers.astype(np.uint32).tobytes())
        return found.hexdigest()


class Names(Sequence[str]):
    """The names of videos of a table."""

    def __init__(self, videos: VideoRows) -> None:
        self.videos = videos

    def __len__(self) -> int:
        """Returns the number of videos."""
        return len(self.videos)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> "Names": ...
    def __getitem__(self, place: int | slice) -> "str | Names":
        """Returns the name at a place, or those at some places."""
        if isinstance(place, slice):
            return Names(self.videos[place])
        return self.videos.table.text("video", int(self.videos.numbers[place]))


class MappedIndex(Mapping[str, Video]):
    """The videos of a table that are ready, by their names."""

    def __init__(self, table: Table) -> None:
        self.table, self.about = table, checked(table.about, About)
        self._folders, self._extensions = table.whole_texts("folders"), table.whole_texts("extensions")

    def __len__(self) -> int:
        """Returns the number of videos."""
        return self.about["states"].get("ready", 0)

    def __iter__(self) -> Iterator[str]:
        """Yields the names of the videos."""
        return iter(Names(self.all()))

    def __getitem__(self, name: str) -> Video:
        """Returns the video of this name."""
        row = find_row(self.table, name)
        if row is None or row >= len(self):
            raise KeyError(name)
        return self.video(row)

    def video(self, number: int) -> Video:
        """Returns the video of a row."""
        count, text = self.table.number, self.table.text
        name, folder, extension = text("video", number), count("folder", number), count("extension", number)
        many = self.about["multi_label"]
        labels = tuple(self.table.row_of("labels", number).tolist()) if many else (count("label", number),)
        return Video(
            *(name, self._folders[folder], self._extensions[extension], labels, text("group", number) or name),
            *(count("frames", number), count("flows", number), text("file", number), text("stored", number)),
        )

    def all(self) -> VideoRows:
        """Returns all of the videos, in order."""
        return VideoRows(self, np.arange(len(self), dtype=np.uint32))

    def part(self, split: int, part: str) -> VideoRows:
        """Returns the videos of a part of a split."""
        return VideoRows(self, self.table.whole(f"split{split}.{part}"))

    def of_class(self, videos: VideoRows, label: int) -> VideoRows:
        """Returns the videos of one class among others."""
        return videos.chosen(videos.column("label") == label)

    @property
    def usual_size(self) -> list[int] | None:
        """The width and height of most frames."""
        sizes = self.about["sizes"]
        return [int(side) for side in max(sizes, key=lambda size: sizes[size]).split("x")] if sizes else None

    def median(self, name: str) -> int:
        """Returns the lower median of the short sides, frames or flows of all videos that are ready; 0 without any."""
        counts = sorted(
            (int(number), times) for number, times in cast(dict[str, dict[str, int]], self.about)[name].items()
        )
        before, half = 0, (sum(times for _, times in counts) + 1) // 2
        for number, times in counts:
            before += times
            if before >= half:
                return number
        return 0


@dataclass(frozen=True)
class MappedDataSet(DataSet):
    """A data set whose videos and lists stay in their table."""

    videos: MappedIndex

    def part(self, split: int, part: str) -> VideoRows:
        """Returns the videos of the `train`, `validation` or `test` part of a split, in the order of its list."""
        if split not in self.splits:
            raise self._no_split(split)
        return cast(Names, getattr(self.splits[split], part)).videos


def mapped_index(root: Path) -> MappedIndex:
    """Returns the videos of the data set in `root`, whose index is a table."""
    return MappedIndex(Table(table_folder(root)))


def open_mapped(name: str, root: Path) -> MappedDataSet | None:
    """Returns the data set in `root`, or None if its index is no table, or its lists have changed since."""
    if not is_table(root):
        return None
    index = mapped_index(root)
    about = index.about
    if about["lists"] != lists_of(root):
        return None
    splits = {number: Split(*(Names(index.part(number, part)) for part in PARTS)) for number in about["splits"]}
    known = tuple(about["classes"]), index, splits, about["multi_label"], read_layout(root)
    return MappedDataSet(name, root, *known, short_side=about["short_side"])


def lists_of(root: Path) -> list[list[object]]:
    """Returns the names, bytes and times of the lists of a data set, by which a change of them is noticed."""
    paths = sorted(path for path in (root / "annotations").rglob("*") if path.is_file())
    return [[path.relative_to(root).as_posix(), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]
