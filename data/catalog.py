"""What a data set is: its videos, their labels and groups, its splits; and the table of those we know."""

import dataclasses
import difflib
import importlib
import random
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from commands.files import DATASETS
from data.layouts import OURS, Layout

# Name on the command line, and where its `open_dataset(root) -> DataSet` is. Any other name is a folder of own videos.
KNOWN = {
    "shapes": "data.shapes",
    "ucf101": "data.ucf101",
    "hmdb51": "data.hmdb51",
    "ccv": "data.ccv",
    "ccv-single": "data.ccv_single",
    "folder": "data.folders",
}
OWN = "folder"


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

    def part(self, split: int, part: str) -> tuple[Video, ...]:
        """Returns the videos of the `train` or `test` part of a split, in the order of its list."""
        if split not in self.splits:
            known = ", ".join(str(number) for number in self.splits)
            raise ValueError(f"{self.name} has no split {split}. Its splits are {known}: pass --split {known[0]}.")
        return tuple(self.videos[name] for name in getattr(self.splits[split], part))

    def replace_videos(self, videos: Iterable[Video]) -> "DataSet":
        """Returns the same data set with these videos in place of those of the same name."""
        return dataclasses.replace(self, videos={**self.videos, **{video.name: video for video in videos}})


def open_dataset(name: str, root: Path) -> DataSet:
    """Returns the data set of this name that lies in `root`, from its lists alone: no video is opened."""
    if name not in KNOWN and not root.is_dir():
        guess = difflib.get_close_matches(name, KNOWN, n=1)
        raise ValueError(
            f"There is no data set named {name!r}"
            + (f"; did you mean {guess[0]!r}? " if guess else ". ")
            + f"Those known are {', '.join(sorted(KNOWN))}. A folder of own videos, one folder a class, "
            f"becomes one by: python data/prepare.py {shlex.quote(name)} --videos FOLDER"
        )
    opened: DataSet = importlib.import_module(KNOWN.get(name, KNOWN[OWN])).open_dataset(root)
    # The name that was asked for is the one that runs and score files carry.
    return dataclasses.replace(opened, name=name)


def in_words(name: str, root: Path) -> str:
    """Returns what names a data set on a command line: its name, and its folder where that isn't the usual one."""
    usual = root.resolve() == (DATASETS / name).resolve()
    return shlex.quote(name) if usual else f"{shlex.quote(name)} --root {shlex.quote(str(root))}"


def is_own(name: str) -> bool:
    """Tells whether a name is that of a folder of own videos rather than of a published data set."""
    return name not in KNOWN or name == OWN


def cut_validation(
    videos: Sequence[Video], fraction: float = 0.1, seed: int = 0
) -> tuple[tuple[Video, ...], tuple[Video, ...]]:
    """Cuts whole groups off a training list, some of every class, as `(training, validation)`.

    Groups are drawn at random, and taken while that brings the classes nearer to the wanted share,
    so that no group is on both sides and every class that can spare a group has videos to validate on.
    """
    groups: dict[str, list[Video]] = {}
    for video in videos:
        groups.setdefault(video.group, []).append(video)
    drawn = sorted(groups)
    random.Random(seed).shuffle(drawn)
    total, taken = _count_labels(videos), dict.fromkeys(range(1 + max(_labels(videos), default=0)), 0)
    chosen: set[str] = set()
    for group in drawn:
        counts = _count_labels(groups[group])
        # What taking the group gains in classes that are short of videos, less what it takes of those that are not.
        gain = sum(min(count, max(0.0, fraction * total[label] - taken[label])) for label, count in counts.items())
        if gain > sum(counts.values()) / 2 and all(taken[label] + counts[label] < total[label] for label in counts):
            chosen.add(group)
            for label, count in counts.items():
                taken[label] += count
    training = tuple(video for video in videos if video.group not in chosen)
    validation = tuple(video for video in videos if video.group in chosen)
    if not validation:
        raise ValueError(
            f"No validation part can be cut from {len(videos)} videos in {len(groups)} groups without parting a group. "
            "Add groups, or train on the whole list with --protocol paper."
        )
    return training, validation


def _labels(videos: Iterable[Video]) -> list[int]:
    return [label for video in videos for label in video.labels]


def _count_labels(videos: Iterable[Video]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for label in _labels(videos):
        counts[label] = counts.get(label, 0) + 1
    return counts
