"""Labelled segments of long videos: a CSV with the columns `video,label,start,end`, or Label Studio's JSON export.

Starts and ends are seconds, or a clock like 1:02:03.5. A CSV may also have the columns `group` and `split`; its
`label` may be called `class`, as in the segments that predict.py writes.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypedDict

from commands.files import read_file, read_table
from commands.schema import parsed
from commands.text import of_cell

# The prefix that Label Studio adds to the name of an uploaded file.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
NOTHING = "nothing"


@dataclass(frozen=True)
class Segment:
    """A stretch of time of one video, in seconds."""

    video: str  # The name by which the reader knows the file.
    start: float
    end: float
    label: str
    confidence: float = 1.0
    group: str = ""
    split: str = ""

    def overlap(self, other: "Segment") -> float:
        """Returns the temporal intersection over union with another segment."""
        shared = min(self.end, other.end) - max(self.start, other.start)
        union = max(self.end, other.end) - min(self.start, other.start)
        return max(0.0, shared) / union if self.video == other.video and union > 0 else 0.0


class _Range(TypedDict):
    """A range of frames, counted from 1, including the last one."""

    start: int
    end: int


class _Value(TypedDict, total=False):
    """The content of a region in Label Studio."""

    ranges: list[_Range]
    timelinelabels: list[str]


class _Region(TypedDict, total=False):
    """One region of a timeline."""

    type: str
    value: _Value


class _Annotation(TypedDict, total=False):
    """The annotations by one person."""

    was_cancelled: bool
    result: list[_Region]


class _Task(TypedDict):
    """One video of an export."""

    data: dict[str, object]
    annotations: list[_Annotation]


def read_segments(path: Path, videos: Mapping[str, Path], rate_of: Callable[[Path], float]) -> list[Segment]:
    """Returns the labelled segments of a file. `videos` has the files that it may refer to, by name.

    Label Studio counts frames. `rate_of` gives the frame rate of a file, which turns them into seconds.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no table of segments {path}. It has the columns video,label,start,end.")
    found = _of_export(path, videos, rate_of) if path.suffix.lower() == ".json" else _of_csv(path, videos)
    if not found:
        raise ValueError(f"{path} has no labelled segments.")
    return found


def _of_csv(path: Path, videos: Mapping[str, Path]) -> list[Segment]:
    columns, rows = read_table(path)
    label = "class" if "class" in columns and "label" not in columns else "label"
    missing = [name for name in ("video", label, "start", "end") if name not in columns]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}. Its first line must be video,label,start,end.")
    segments = []
    for number, row in enumerate(rows, start=2):
        where = f"Line {number} of {path}"
        try:
            start, end = _seconds(row["start"]), _seconds(row["end"])
        except ValueError:
            raise ValueError(
                f"{where} has the start {row['start']!r} and the end {row['end']!r}. Expected seconds, or a clock like "
                "1:02:03.5."
            ) from None
        name = _file_of(of_cell(row["video"].strip()), videos, where)
        group, split = (row.get(each, "").strip() for each in ("group", "split"))
        found = Segment(name, start, end, of_cell(row[label].strip()), group=group, split=split)
        segments.append(_checked(found, where))
    return segments


def _of_export(path: Path, videos: Mapping[str, Path], rate_of: Callable[[Path], float]) -> list[Segment]:
    try:
        tasks = parsed(read_file(path), list[_Task])
    except ValueError as error:
        raise ValueError(
            f"{path} is no export of Label Studio: {error}. Choose JSON (not JSON-MIN) in its export of a project with "
            "TimelineLabels."
        ) from None
    segments = []
    for number, task in enumerate(tasks, start=1):
        done = [each for each in task["annotations"] if not each.get("was_cancelled", False)]
        regions = [region for region in (done[0].get("result", []) if done else []) if "value" in region]
        timeline = [each["value"] for each in regions if "timelinelabels" in each["value"]]
        if not timeline:
            continue
        where = f"Task {number} of {path}"
        name = _file_of(_named_in(task["data"], where), videos, where)
        rate = rate_of(videos[name])
        for value in timeline:
            for label in value["timelinelabels"]:
                for part in value.get("ranges", []):
                    stretch = Segment(name, (part["start"] - 1) / rate, part["end"] / rate, label)
                    segments.append(_checked(stretch, where))
    return segments


def _named_in(data: Mapping[str, object], where: str) -> str:
    named = data.get("video", next((value for value in data.values() if isinstance(value, str)), None))
    if not isinstance(named, str):
        raise ValueError(f"{where} names no video in its data.")
    return named


def _file_of(name: str, videos: Mapping[str, Path], where: str) -> str:
    """Returns the known name of a file, from its path, its name, or its name in Label Studio."""
    last = PurePosixPath(name.replace("\\", "/")).name
    wanted = (name, last, _UPLOADED.sub("", last))
    for each in wanted:
        if each in videos:
            return each
    fitting = [known for known in videos if PurePosixPath(known).name in wanted or PurePosixPath(known).stem in wanted]
    if len(fitting) != 1:
        what = f"fits {len(fitting)} of the videos" if fitting else f"is none of the {len(videos)} videos"
        raise ValueError(f"{where} names the video {name!r}, which {what}, like {next(iter(videos), 'none')}.")
    return fitting[0]


def _checked(segment: Segment, where: str) -> Segment:
    if not segment.label:
        raise ValueError(f"{where} has no label.")
    if not 0 <= segment.start < segment.end < float("inf"):
        raise ValueError(
            f"{where}: {segment.label} lasts from {segment.start:g} to {segment.end:g} seconds. The start must be 0 or "
            "more, and the end after it."
        )
    return segment


def _seconds(word: str) -> float:
    seconds = 0.0
    for part in word.strip().split(":"):
        seconds = 60 * seconds + float(part)
    return seconds
