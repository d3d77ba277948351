"""Judges segments of long videos that are joined of test clips, of which it is known who does what from when to when.

python benchmarks/accuracy/long_videos.py fights --root DIR/fights --runs DIR/runs

It needs both streams of a data set of short clips (`./run own FOLDER`). Each video is made of so many test clips in
random order, all at the size and the rate of its first one; neighbours of one class are one labelled segment. Each
video is predicted once, with a view every half second. Then its segments are found with windows of several lengths, and
by decisions without delay, as for a camera: what `predict --hop 0.5 --window SECONDS --truth FILE` judges. It prints a
table for docs/background/results.md.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import cv2
import numpy as np

from commands.files import RUNS, scratch_folder
from commands.options import positive
from commands.running import quiet_tensorflow, run
from commands.waiting import Now
from data.extraction.decoder import read_frames, write_video
from data.ready import ready_dataset
from data.sets.cutting import CODEC, EXTENSION, rate_of
from data.sets.segments import Segment
from fusion.prediction.over_time.judged import judged
from fusion.prediction.over_time.segments import segment_of
from fusion.prediction.over_time.timeline import timeline

# How decisions are made, by name: the window and the delay, in seconds.
WAYS: dict[str, tuple[float, float | None]] = {
    "windows of 1 s": (1, None),
    "windows of 2 s": (2, None),
    "windows of 4 s": (4, None),
    "windows of 2 s, without delay": (2, 0),
}
HOP = 0.5


def main(argv: Sequence[str] | None = None) -> None:
    """Joins the videos, finds and judges their segments, and prints the table."""
    options = _parse(argv)
    dataset = ready_dataset(options.dataset, options.root)
    clips = [
        (dataset.root / "videos" / each.relative_path, dataset.classes[each.label]) for each in dataset.part(1, "test")
    ]
    order = np.random.default_rng(options.seed).permutation(len(clips))[: options.videos * options.clips]
    quiet_tensorflow()
    from fusion import TwoStream

    two_stream = TwoStream.load(options.runs / options.dataset)
    found: dict[str, list[Segment]] = {name: [] for name in WAYS}
    truth = []
    with scratch_folder(options.work) as folder:
        for number, places in enumerate(np.array_split(order, options.videos)):
            Now.doing = f"Joining and predicting video {number + 1} of {options.videos}"
            path = folder / f"{number}{EXTENSION}"
            truth += _joined([clips[place] for place in places], path)
            prediction = two_stream.predict(path, hop=HOP, crops=1)
            for name, (window, delay) in WAYS.items():
                stretches = timeline(prediction, window, delay).stretches()
                found[name] += [segment_of(path, stretch) for stretch in stretches]
    seconds = sum(each.end - each.start for each in truth)
    print(f"{options.videos} videos of {options.clips} clips, {seconds:.0f} s with {len(truth)} segments.\n")
    print(f"| {dataset.name}, decided by | mean average precision at tIoU .5 | segments found |\n|---|---|---|")
    for name, segments in found.items():
        print(f"| {name} | {100 * judged(segments, truth)['mean_average_precision']:.1f} % | {len(segments)} |")


def _joined(clips: Sequence[tuple[Path, str]], path: Path) -> list[Segment]:
    """Writes the clips as one video, and returns its segments."""
    rate = rate_of(clips[0][0])
    size = next(read_frames(clips[0][0])).shape[1::-1]
    lengths: list[int] = []

    def frames() -> Iterator[np.ndarray]:
        for file, _ in clips:
            lengths.append(0)
            for frame in read_frames(file):
                lengths[-1] += 1
                yield frame if frame.shape[1::-1] == size else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)

    write_video(path, frames(), rate, CODEC)
    ends = np.cumsum(lengths) / rate
    segments: list[Segment] = []
    for (_, label), start, end in zip(clips, [0.0, *ends[:-1]], ends, strict=True):
        if segments and segments[-1].label == label:
            start = segments.pop().start
        segments.append(Segment(path.name, float(start), float(end), label))
    return segments


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="the name of a data set whose streams were trained")
    parser.add_argument("--root", type=Path, metavar="DIR", help="its folder (default: datasets/<data set>)")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="DIR", help="where runs are kept")
    parser.add_argument("--videos", type=positive, default=4, metavar="N", help="default: %(default)s")
    parser.add_argument("--clips", type=positive, default=15, metavar="N", help="of a video (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of their order (default: %(default)s)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where the videos are made, for the moment")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
