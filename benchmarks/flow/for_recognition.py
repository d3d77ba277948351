"""Compares flow methods by the accuracy of the temporal stream, with three seeds each.

python benchmarks/flow/for_recognition.py --videos ../shared/data/clips/fights   a folder of videos
python benchmarks/flow/for_recognition.py                                        the built-in data set
python benchmarks/flow/for_recognition.py --videos FOLDER --recipe own --limit 600

With the recipe `own`, whose last layer is solved, all training videos are judged by folds that have not seen them, and
time and disk of the flow are measured. Only the flow differs: videos, split, network, steps and seeds are the same.
Prepared data and finished trainings are kept, so an interrupted run can continue. Prints a table for
docs/background/results.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import numpy as np

from benchmarks.processes import gain_over, run_command
from commands.files import PROJECT
from commands.running import run
from data.ready import ready_dataset
from fusion.methods.by_groups import Part
from fusion.methods.measures import video_accuracy
from streams.runs.run_folder import Run
from streams.runs.score_file import read_scores

KINDS = (
    "tvl1:accurate",
    "tvl1:balanced",
    "tvl1:fast",
    "brox:balanced",
    "warped:balanced",
    "dis:balanced",
    "farneback:balanced",
    "motion-vectors:balanced",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Prepares, trains and scores every kind, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help="a folder of own videos, instead of the built-in data set")
    parser.add_argument("--kinds", nargs="+", default=KINDS, metavar="METHOD:PRESET", help="default: all but OpenCV's")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind (default: 3)")
    parser.add_argument("--epochs", type=int, default=40, help="of each training (default: 40)")
    parser.add_argument("--short-side", type=int, default=128, help="of own videos' frames (default: 128)")
    parser.add_argument("--recipe", choices=("own",), help="solve last layers instead of training the small network")
    parser.add_argument("--limit", type=int, default=0, help="only so many of the videos (default: all)")
    parser.add_argument(
        "--work", type=Path, default=PROJECT / "runs" / "flow_for_recognition", help="kept between runs"
    )
    options = parser.parse_args(argv)
    dataset = options.videos.name if options.videos else "shapes"
    if options.recipe:
        _print_solved(dataset, options)
        return
    print(
        f"| flow ({dataset}, {options.epochs} epochs) | "
        + " | ".join(f"seed {s}" for s in range(options.seeds))
        + " | mean |"
    )
    print("|---|" + "---|" * (options.seeds + 1), flush=True)
    for kind in options.kinds:
        root = options.work / dataset / kind.replace(":", "-")
        _prepare(dataset, root, kind, options)
        accuracies = [_accuracy(dataset, root, seed, options.epochs) for seed in range(options.seeds)]
        cells = " | ".join(f"{100 * accuracy:.1f}" for accuracy in accuracies)
        print(f"| {kind.replace(':', ', ')} | {cells} | {100 * np.mean(accuracies):.1f} |", flush=True)


def _print_solved(dataset: str, options: argparse.Namespace) -> None:
    """Prepares every kind, solves a last layer on it, and prints the table."""
    print(f"| flow ({dataset}) | held out | points | CPU-seconds to prepare | MB of flow |\n|---|---|---|---|---|")
    first = None
    for kind in options.kinds:
        root = options.work / dataset / f"{kind.replace(':', '-')}{options.limit or ''}"
        seconds = _prepare(dataset, root, kind, options)
        place = ["--dataset", dataset, "--root", str(root), "--runs", str(root / "own")]
        held_out = Run.of(root / "own", dataset, "temporal", 1).held_out
        if not held_out.exists():
            run_command(["temporal/train.py", *place, "--recipe", options.recipe])
        videos, scores = ready_dataset(dataset, root).videos, read_scores(held_out)
        part = Part(scores.logits, scores.labels, [videos[name].group for name in scores.videos])
        first, points = first or part, gain_over(part, first) if first else ""
        megabytes = sum(path.stat().st_size for path in root.glob("rawframes/*/*/flow_*.jpg")) / 1e6
        accuracy = f"{100 * video_accuracy(part.scores, part.labels):.1f} % of {len(scores.videos)}"
        print(f"| {kind.replace(':', ', ')} | {accuracy} | {points} | {seconds:.0f} | {megabytes:.1f} |", flush=True)


def _prepare(dataset: str, root: Path, kind: str, options: argparse.Namespace) -> float:
    """Prepares the videos, and returns the processor seconds that it took; that of an earlier run counts."""
    method, preset = kind.split(":")
    words = ["data/prepare.py", dataset, "--root", str(root), "--method", method, "--preset", preset]
    if options.videos:
        words += ["--videos", str(options.videos.resolve()), "--short-side", str(options.short_side)]
    if options.limit:
        words += ["--limit", str(options.limit)]
    noted = root / "seconds.txt"
    started, seconds = time.monotonic(), run_command(words)
    if not noted.exists():
        noted.write_text(f"{seconds}")
    print(f"{kind}: prepared in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return float(noted.read_text())


def _accuracy(dataset: str, root: Path, seed: int, epochs: int) -> float:
    """Returns the video accuracy of the temporal stream on the test list."""
    runs = root / f"seed{seed}"
    found = runs / "evaluation.json"
    if not found.exists():
        place = ["--dataset", dataset, "--root", str(root), "--runs", str(runs)]
        run_command(["temporal/train.py", *place, "--seed", str(seed), "--epochs", str(epochs), "--again"])
        views = ["--stream", "temporal", "--method", "average", "--views", "10", "--crops", "1"]
        run_command(["fusion/evaluate.py", *place, *views, "--json", str(found)])
    return float(json.loads(found.read_text(encoding="utf-8"))["video_accuracy"]["temporal"])


if __name__ == "__main__":
    run(main)
