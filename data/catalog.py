"""Defines a data set: its videos, their labels and groups, its splits, and where the files of a video lie."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from commands.files import DATASETS
from commands.schema import read_json

# The ways to read displacements from a flow file: the rules of data/optical_flow/levels.py, and files of floats.
FLOATS = "floats"
_RULES = ("centred", "classic", "truncated")
_MOST_FIRST = 10**6


@dataclass(frozen=True)
class Layout:
    """Patterns below the root of a data set; files are numbered from `first`.

    A pattern may contain `{folder}`, `{video}`, `{number}`, and `{next}`, the number after it. All before the number is
    the `prefix` of a video. Numbers of frames are padded to `digits`, those of flow to `flow_digits`; 0 or 1 means no
    padding.
    """

    name: str
    frame: str = "rawframes/{folder}/{video}/img_{number}.jpg"
    flow_x: str = "rawframes/{folder}/{video}/flow_x_{number}.jpg"
    flow_y: str = "rawframes/{folder}/{video}/flow_y_{number}.jpg"
    # Backward flow, if `prepare.py --backward` made it: from the frame after `{number}` back to `{number}`.
    back_x: str = "rawframes/{folder}/{video}/back_x_{number}.jpg"
    back_y: str = "rawframes/{folder}/{video}/back_y_{number}.jpg"
    digits: int = 5
    flow_digits: int = 5
    first: int = 1
    rule: str = "centred"  # "floats", or one of RULES in data/optical_flow/levels.py.

    @property
    def is_float(self) -> bool:
        """Tells whether flow is stored in `.npy` files of `float[H, W, 2]` pixels, x and y together."""
        return self.rule == FLOATS

    def frame_path(self, root: Path, video: Video, index: int) -> Path:
        """Returns the path of frame `index`, counted from 0."""
        return self._path(self.frame, self.digits, root, video, index)

    def flow_paths(self, root: Path, video: Video, index: int) -> tuple[Path, Path]:
        """Returns the paths of the x and y parts of the flow from frame `index` to the next one."""
        x, y = (self._path(pattern, self.flow_digits, root, video, index) for pattern in (self.flow_x, self.flow_y))
        return x, y

    def prefix(self, pattern: str, root: Path, video: Video) -> str:
        """Returns a pattern's path up to the number, which is all that a pipeline stores for a video."""
        below = pattern.split("{number}")[0].format(folder=video.folder or ".", video=video.stored or video.name)
        # A pattern may be absolute, because frames that another tool extracted stay in place. The part of the name
        # after the last slash may be empty, which joining paths would drop.
        folder, stump = below.rsplit("/", 1)
        return f"{root / folder}/{stump}"

    def with_patterns(self, changed: Callable[[str], str]) -> Layout:
        """Returns the layout with its patterns of frames and of forward flow changed."""
        frame, x, y = map(changed, (self.frame, self.flow_x, self.flow_y))
        return dataclasses.replace(self, frame=frame, flow_x=x, flow_y=y)

    def _path(self, pattern: str, digits: int, root: Path, video: Video, index: int) -> Path:
        number, following = (f"{self.first + index + after:0{max(digits, 1)}d}" for after in (0, 1))
        return root / pattern.format(
            folder=video.folder or ".", video=video.stored or video.name, number=number, next=following
        )


OURS = Layout("rawframes")
_FIELDS = ", ".join(field.name for field in dataclasses.fields(Layout))
PACKED = "packed"  # The name of the layout of a packed data set; its members are named as ours.
VIDEOS = "videos"  # Nothing but an index is stored: commands make frames and flow from the videos.
HALF_PACKED = "half packed"  # The name while only some videos are packed. Nothing can read such a data set.


def layout_path(root: Path) -> Path:
    """Returns the path of `layout.json`, which a data set has if its layout is not ours."""
    return root / "layout.json"


def read_layout(root: Path) -> Layout:
    """Returns the layout of the data set in `root`: that of its `layout.json`, or else ours."""
    path = layout_path(root)
    if not path.exists():
        return OURS
    layout = read_json(path, Layout, f"It is JSON with the fields {_FIELDS}.")
    _check_patterns(layout, path)
    return layout


def _check_patterns(layout: Layout, path: Path) -> None:
    """Raises ValueError for impossible patterns and numbers. A pattern is filled in once for each file."""
    for pattern in (layout.frame, layout.flow_x, layout.flow_y, layout.back_x, layout.back_y):
        fields = re.sub(r"{{|}}|{(folder|video|next)}", "", pattern)
        if re.sub("{number}", "", fields) == fields or re.search("[{}]", fields.replace("{number}", "")):
            raise ValueError(
                f"{path} has the pattern {pattern!r}. Patterns contain {{number}}, and maybe {{folder}} and {{video}}."
            )
    if layout.rule not in (*_RULES, FLOATS):
        raise ValueError(f"{path} has the rule {layout.rule!r}. Rules are {', '.join((*_RULES, FLOATS))}.")
    if not all(0 <= number <= most for number, most in ((layout.digits, 12), (layout.flow_digits, 12))):
        raise ValueError(f"{path} has numbers of {layout.digits} and {layout.flow_digits} digits; the most are 12.")
    if not 0 <= layout.first <= _MOST_FIRST:
        raise ValueError(f"{path} begins with number {layout.first}; expected 0 to {_MOST_FIRST:,}.")


@dataclass(frozen=True, slots=True)
class Video:
    """One video: its name, its classes, its group, and the prepared files."""

    name: str  # Unique in its data set: the file's name without its extension.
    folder: str  # Its folder below `videos/` and `rawframes/`, usually the class; empty for the top.
    extension: str  # With its dot. Empty if only frames are known.
    labels: tuple[int, ...]  # One class, or several (or none) in a multi-label data set.
    group: str  # Videos of one group show the same people or place. No split separates them.
    num_frames: int = 0  # On disk, according to the index. 0 if not prepared.
    num_flows: int = 0
    file: str = ""  # Its path below `videos/`, if that does not follow from folder, name and extension.
    stored: str = ""  # The name of its folder below `rawframes/`, if another tool spelt it differently.

    @property
    def label(self) -> int:
        """The one class of a single-label video."""
        (label,) = self.labels
        return label

    @property
    def relative_path(self) -> Path:
        """Path of the video file below `videos/`."""
        return Path(self.file) if self.file else Path(self.folder) / f"{self.name}{self.extension}"

    @property
    def relative_folder(self) -> Path:
        """Path of the folder of its frames below `rawframes/`."""
        return Path(self.folder) / self.name


@dataclass(frozen=True)
class Split:
    """The names of the training videos and of the test videos."""

    train: Sequence[str]
    test: Sequence[str]
    validation: Sequence[str] = ()  # Those videos of `train` that the list itself names for validation.


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
    short_side: int | None = 256  # The default short side of frames. None keeps their size.
    official: Mapping[int, tuple[int, int]] = field(default_factory=dict)  # Training and test videos, as published.
    address: str = ""  # The address before a video's name at which it can be watched, for data sets of links.
    left_out: Mapping[str, str] = field(default_factory=dict)  # Videos of the lists that are not used, and why.
    make_videos: Callable[[Path, int], None] | None = None  # Draws the videos below a root, with a number of processes.
    keep_list: Callable[[DataSet], None] | None = None  # Stores groups and a split, if the list lacks them.
    if_too_many: str = ""  # The audit's hint if a list has more training videos than were published.

    def part(self, split: int, part: str) -> Sequence[Video]:
        """Returns the videos of the `train`, `validation` or `test` part of a split, in the order of its list."""
        if split not in self.splits:
            raise self._no_split(split)
        return tuple(self.videos[name] for name in getattr(self.splits[split], part))

    def frame_folder(self, video: Video) -> Path:
        """Returns the folder for the frames and the flow of a video in our layout."""
        return self.root / "rawframes" / video.relative_folder

    def replace_videos(self, videos: Iterable[Video]) -> DataSet:
        """Returns the data set with these videos instead of those with the same names."""
        return dataclasses.replace(self, videos={**self.videos, **{video.name: video for video in videos}})

    def _no_split(self, split: int) -> ValueError:
        if not self.splits:
            return ValueError(f"{self.name} has no splits, so split {split} can't be used. Name another data set.")
        known, first = ", ".join(map(str, self.splits)), next(iter(self.splits))
        return ValueError(f"{self.name} has no split {split}. Its splits are {known}: pass --split {first}.")


def in_words(name: str, root: Path) -> str:
    """Returns a data set as typed on a command line: its name, and --root if its folder is not the usual one."""
    usual = root.resolve() == (DATASETS / name).resolve()
    return shlex.quote(name) if usual else f"{shlex.quote(name)} --root {shlex.quote(str(root))}"


def half_packed(dataset: DataSet) -> ValueError:
    """Returns the error for a data set in which only some videos are packed."""
    return ValueError(
        f"{dataset.root} is half packed. Type ./run pack {in_words(dataset.name, dataset.root)} to finish "
        "packing (also if prepare.py --pack began it), or the same with --unpack to get loose files again."
    )


@dataclass(frozen=True)
class Archive:
    """A file that the authors of a data set publish, and the folder of the data set in which its content belongs."""

    address: str
    place: str
    size: int = 0  # In bytes; 0 if it is not published.
    sha256: str = ""

    @property
    def file(self) -> str:
        """Its name."""
        return self.address.rsplit("/", 1)[1]
