"""What a data set is: its videos, their labels and groups, and its splits."""

import dataclasses
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from commands.files import DATASETS
from data.layouts import OURS, Layout


@dataclass(frozen=True, slots=True)
class Video:
    """One video: who it is, what it shows, and what of it lies on disk."""

    name: str  # Unique in its data set: the file's name without its extension.
    folder: str  # Where it lies below `videos/` and `rawframes/`, usually the class; empty for the top.
    extension: str  # With its dot; empty where only frames are known.
    labels: tuple[int, ...]  # One class, or several (or none) in a multi-label data set.
    group: str  # Videos of one group show the same people or place: never parted by a split.
    num_frames: int = 0  # On disk, according to the index; 0 when not prepared.
    num_flows: int = 0
    file: str = ""  # Where it lies below `videos/`, where folder, name and extension don't say so.
    stored: str = ""  # The name of its folder below `rawframes/`, where other tools spelt it differently.

    @property
    def label(self) -> int:
        """The one class of a single-label video."""
        (label,) = self.labels
        return label

    @property
    def relative_path(self) -> Path:
        """Where the video file lies below `videos/`."""
        return Path(self.file) if self.file else Path(self.folder) / f"{self.name}{self.extension}"

    @property
    def relative_folder(self) -> Path:
        """Where its frames lie below `rawframes/`."""
        return Path(self.folder) / self.name


@dataclass(frozen=True)
class Split:
    """The names of the videos to train on and to test on."""

    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class DataSet:
    """The videos of a data set, its classes and its splits, numbered from 1."""

    name: str
    root: Path
    classes: tuple[str, ...]
    videos: Mapping[str, Video]
    splits: Mapping[int, Split]
    multi_label: bool = False
    layout: Layout = OURS
    short_side: int | None = 256  # What frames are resized to unless told otherwise; None keeps their size.
    official: Mapping[int, tuple[int, int]] = field(default_factory=dict)  # Training and test videos, as published.
    address: str = ""  # What comes before a video's name where it can be watched, for data sets that are collected.
    left_out: Mapping[str, str] = field(default_factory=dict)  # Videos of the lists that are not used, and why.
    make_videos: Callable[[Path, int], None] | None = None  # Draws the videos below a root with so many processes.
    keep_list: "Callable[[DataSet], None] | None" = None  # Stores the groups and the split that its list lacked.
    if_too_many: str = ""  # What the audit says where a list trains on more videos than were published.

    def part(self, split: int, part: str) -> tuple[Video, ...]:
        """Returns the videos of the `train` or `test` part of a split, in the order of its list."""
        if not self.splits:
            raise ValueError(f"{self.name} has no splits, so that split {split} can't be used. Name another data set.")
        if split not in self.splits:
            known = ", ".join(str(number) for number in self.splits)
            first = next(iter(self.splits))
            raise ValueError(f"{self.name} has no split {split}. Its splits are {known}: pass --split {first}.")
        return tuple(self.videos[name] for name in getattr(self.splits[split], part))

    def frame_folder(self, video: Video) -> Path:
        """Returns the folder that holds the frames and the flow of a video in our layout."""
        return self.root / "rawframes" / video.relative_folder

    def replace_videos(self, videos: Iterable[Video]) -> "DataSet":
        """Returns the same data set with these videos in place of those of the same name."""
        return dataclasses.replace(self, videos={**self.videos, **{video.name: video for video in videos}})


def in_words(name: str, root: Path) -> str:
    """Returns what names a data set on a command line: its name, and its folder where that isn't the usual one."""
    usual = root.resolve() == (DATASETS / name).resolve()
    return shlex.quote(name) if usual else f"{shlex.quote(name)} --root {shlex.quote(str(root))}"


@dataclass(frozen=True)
class Archive:
    """A file that the authors of a data set publish, and the folder of the data set in which its content belongs."""

    address: str
    place: str
    size: int = 0  # In bytes; 0 where it is not published.
    sha256: str = ""

    @property
    def file(self) -> str:
        """Its name."""
        return self.address.rsplit("/", 1)[1]
