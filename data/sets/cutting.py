"""Cuts labelled segments out of long videos, as clips with exactly the same pixels."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from commands.files import scratch_folder, write_text
from commands.text import as_cell, printable
from data.extraction.decoder import RATE_OF_PICTURES, Decoder
from data.extraction.video_files import is_video, walk_files
from data.sets.own_lists import joined
from data.sets.segments import NOTHING, Segment

# A lossless codec in OpenCV's wheels.
CODEC, EXTENSION = "FFV1", ".mkv"
# A clip of a single frame has no motion.
_LEAST_FRAMES = 2
LIST = "videos.csv"


def videos_below(folder: Path) -> dict[str, Path]:
    """Returns the video files below a folder, by their path in it."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder.")
    return {path.relative_to(folder).as_posix(): path for path in walk_files(folder) if is_video(path)}


def rate_of(video: Path) -> float:
    """Returns the frames per second of a video file."""
    rate = Decoder(video).frame_rate
    return rate if 0 < rate < 1000 else RATE_OF_PICTURES


def cut_clips(
    videos: Mapping[str, Path], segments: Sequence[Segment], folder: Path, *, with_nothing: bool
) -> Counter[str]:
    """Writes a clip of each segment into a folder of its class, and the list of all; returns their number by class.

    All clips of a video have the same group, so no split separates them. `with_nothing` also cuts unlabelled stretches,
    as long as the median segment, and at most as many as the commonest class has. Existing clips are not cut again.
    """
    of_video = {name: [each for each in segments if each.video == name] for name in videos}
    if with_nothing:
        _add_nothing(of_video, videos, segments)
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, Segment]] = []
    for name, wanted in of_video.items():
        if wanted:
            rows += _cut(name, videos[name], wanted, folder)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "label", "group", "split"])
    for place, each in rows:
        writer.writerow(map(as_cell, (place, joined([each.label]), each.group or each.video, each.split)))
    write_text(folder / LIST, text.getvalue())
    return Counter(each.label for _, each in rows)


def _add_nothing(of_video: dict[str, list[Segment]], videos: Mapping[str, Path], segments: Sequence[Segment]) -> None:
    """Adds unlabelled stretches of the videos that have labels, spread evenly over all of them."""
    length = median(each.end - each.start for each in segments)
    found = [
        piece for name, labelled in of_video.items() if labelled for piece in _gaps(videos[name], labelled, length)
    ]
    most = max(Counter(each.label for each in segments).values())
    for place in np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int)):
        of_video[found[place].video].append(found[place])


def _gaps(video: Path, labelled: Sequence[Segment], length: float) -> Iterator[Segment]:
    decoder = Decoder(video)
    end = decoder.declared_frames / (decoder.frame_rate if 0 < decoder.frame_rate < 1000 else RATE_OF_PICTURES)
    first, reached = labelled[0], 0.0
    for start, after in [*sorted((each.start, each.end) for each in labelled), (end, end)]:
        while reached + length <= start:
            yield Segment(first.video, reached, reached + length, NOTHING, group=first.group, split=first.split)
            reached += length
        reached = max(reached, after)


def _cut(name: str, video: Path, wanted: Sequence[Segment], folder: Path) -> list[tuple[str, Segment]]:
    """Cuts the clips of one video in one pass. Returns the place of each."""
    stem, rate = Path(name).with_suffix("").as_posix().replace("/", "_"), rate_of(video)
    places = {f"{_folder_name(each.label)}/{stem}_{each.start:.2f}-{each.end:.2f}{EXTENSION}": each for each in wanted}
    with scratch_folder(folder) as scratch:
        waiting = [
            _Clip(scratch / str(number), folder / place, rate, round(each.start * rate), round(each.end * rate))
            for number, (place, each) in enumerate(places.items())
            if not (folder / place).is_file()
        ]
        waiting.sort(key=lambda clip: -clip.first)
        under_way: list[_Clip] = []
        for number, (_, frame) in enumerate(Decoder(video).frames() if waiting else ()):
            while waiting and waiting[-1].first <= number:
                under_way.append(waiting.pop())
            for clip in under_way:
                clip.write(frame)
            for clip in [clip for clip in under_way if clip.after <= number + 1]:
                clip.finish()
                under_way.remove(clip)
            if not waiting and not under_way:
                break
        for clip in under_way:
            clip.finish()
    for place, each in places.items():
        if not (folder / place).is_file():
            print(f"{printable(name)} has no two frames from {each.start:g} to {each.end:g} seconds: left out.")
    return [(place, each) for place, each in places.items() if (folder / place).is_file()]


@dataclass
class _Clip:
    """A clip while it is written."""

    unfinished: Path  # Without its extension.
    place: Path
    rate: float
    first: int
    after: int  # The first frame that is no longer in it.
    count: int = 0
    writer: cv2.VideoWriter | None = None

    def write(self, frame: np.ndarray) -> None:
        """Adds a frame."""
        if self.writer is None:
            file, size = str(self.unfinished.with_suffix(EXTENSION)), (frame.shape[1], frame.shape[0])
            self.writer = cv2.VideoWriter(file, cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*CODEC), self.rate, size)
            if not self.writer.isOpened():
                raise OSError(f"OpenCV can't write {self.place} with the codec {CODEC}.")
        self.writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        self.count += 1

    def finish(self) -> None:
        """Moves the clip to its place, unless it has too few frames."""
        if self.writer is not None:
            self.writer.release()
        if self.count >= _LEAST_FRAMES:
            self.place.parent.mkdir(parents=True, exist_ok=True)
            self.unfinished.with_suffix(EXTENSION).replace(self.place)


def _folder_name(label: str) -> str:
    return label.replace("/", "_").strip(".") or "_"
