"""Judges segments of long videos that are joined of test clips, of which it is known who does what from when to when.

python benchmarks/accuracy/long_videos.py fights --root DIR/fights --runs DIR/runs

It needs both streams of a data set of short clips (`./run own FOLDER`). Each video is made of so many test clips in
random order, all at the size and the rate of its first one; neighbours of one class are one labelled segment. Then it
runs predict.py with --segments and --truth for windows of several lengths, and for decisions without delay, as for a
camera. It prints a table for docs/background/results.md.
"""

import argparse
import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import cv2
import numpy as np

from commands.files import PROJECT, RUNS, scratch_folder
from commands.options import positive
from commands.running import run
from commands.waiting import Now
from data.extraction.decoder import read_frames, write_video
from data.ready import ready_dataset
from data.sets.cutting import CODEC, EXTENSION, rate_of

# How decisions are made, by name.
WAYS = {
    "windows of 1 s": ("--window", "1"),
    "windows of 2 s": ("--window", "2"),
    "windows of 4 s": ("--window", "4"),
    "windows of 2 s, without delay": ("--window", "2", "--delay", "0"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Joins the videos, judges their segments, and prints the table."""
    options = _parse(argv)
    dataset = ready_dataset(options.dataset, options.root)
    clips = [
        (dataset.root / "videos" / each.relative_path, dataset.classes[each.label]) for each in dataset.part(1, "test")
    ]
    order = np.random.default_rng(options.seed).permutation(len(clips))[: options.videos * options.clips]
    with scratch_folder(options.work) as folder:
        truth = []
        for number, places in enumerate(np.array_split(order, options.videos)):
            Now.doing = f"Joining video {number + 1} of {options.videos}"
            truth += _joined([clips[place] for place in places], folder / f"{number}{EXTENSION}")
        with (folder / "truth.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("video", "label", "start", "end"), *truth])
        seconds = sum(end for _, _, end in _last_of_each(truth))
        print(f"{options.videos} videos of {options.clips} clips, {seconds:.0f} s with {len(truth)} segments.\n")
        print(f"| {dataset.name}, decided by | mean average precision at tIoU .5 | segments found |\n|---|---|---|")
        for name, words in WAYS.items():
            Now.doing = f"Predicting by {name}"
            precision, found = _judged(folder, words, options)
            print(f"| {name} | {precision} | {found} |", flush=True)


def _joined(clips: Sequence[tuple[Path, str]], path: Path) -> list[tuple[str, str, float, float]]:
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
    rows: list[tuple[str, str, float, float]] = []
    for (_, label), start, end in zip(clips, [0.0, *ends[:-1]], ends, strict=True):
        if rows and rows[-1][1] == label:
            rows[-1] = (*rows[-1][:3], float(end))
        else:
            rows.append((path.name, label, float(start), float(end)))
    return rows


def _last_of_each(rows: Sequence[tuple[str, str, float, float]]) -> list[tuple[str, float, float]]:
    return list({name: (name, start, end) for name, _, start, end in rows}.values())


def _judged(folder: Path, words: Sequence[str], options: argparse.Namespace) -> tuple[str, int]:
    """Returns the mean average precision that predict.py prints, and how many segments it writes."""
    videos = sorted(str(path) for path in folder.glob(f"*{EXTENSION}"))
    place = ["--dataset", options.dataset, "--runs", str(options.runs.resolve()), "--crops", "1"]
    output = ["--segments", str(folder / "found.json"), "--truth", str(folder / "truth.csv")]
    command = [sys.executable, "fusion/predict.py", *videos, *place, *output, *words]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    said = re.search(r"Mean average precision (\S+?%)", done.stdout)
    assert said, done.stdout
    return said[1].replace("%", " %"), len(json.loads((folder / "found.json").read_text(encoding="utf-8")))


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
