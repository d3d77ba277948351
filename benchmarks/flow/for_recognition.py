"""Compares flow methods by the accuracy of the temporal stream, with three seeds each.

python benchmarks/flow/for_recognition.py --videos ../shared/data/clips/fights   a folder of videos
python benchmarks/flow/for_recognition.py                                        the built-in data set

Only the flow differs: videos, split, network, steps and seeds are the same. Prepared data and finished trainings are
kept, so an interrupted run can continue. It prints a table for docs/results.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import numpy as np

from commands.files import PROJECT
from commands.running import run

KINDS = (
    "tvl1:accurate",
    "tvl1:balanced",
    "tvl1:fast",
    "brox:balanced",
    "warped:balanced",
    "dis:balanced",
    "farneback:balanced",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Prepares, trains and scores every kind, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help="a folder of own videos, instead of the built-in data set")
    parser.add_argument("--kinds", nargs="+", default=KINDS, metavar="METHOD:PRESET", help="default: all but OpenCV's")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind (default: 3)")
    parser.add_argument("--epochs", type=int, default=40, help="of each training (default: 40)")
    parser.add_argument("--short-side", type=int, default=128, help="of own videos' frames (default: 128)")
    parser.add_argument(
        "--work", type=Path, default=PROJECT / "runs" / "flow_for_recognition", help="kept between runs"
    )
    options = parser.parse_args(argv)
    dataset = options.videos.name if options.videos else "shapes"
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


def _prepare(dataset: str, root: Path, kind: str, options: argparse.Namespace) -> None:
    method, preset = kind.split(":")
    words = ["data/prepare.py", dataset, "--root", str(root), "--method", method, "--preset", preset]
    if options.videos:
        words += ["--videos", str(options.videos.resolve()), "--short-side", str(options.short_side)]
    started = time.monotonic()
    _command(words)
    print(f"{kind}: prepared in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _accuracy(dataset: str, root: Path, seed: int, epochs: int) -> float:
    """Returns the video accuracy of the temporal stream on the test list."""
    runs = root / f"seed{seed}"
    found = runs / "evaluation.json"
    if not found.exists():
        place = ["--dataset", dataset, "--root", str(root), "--runs", str(runs)]
        _command(["temporal/train.py", *place, "--seed", str(seed), "--epochs", str(epochs), "--again"])
        views = ["--stream", "temporal", "--method", "average", "--views", "10", "--crops", "1"]
        _command(["fusion/evaluate.py", *place, *views, "--json", str(found)])
    return float(json.loads(found.read_text(encoding="utf-8"))["video_accuracy"]["temporal"])


def _command(words: Sequence[str]) -> None:
    done = subprocess.run([sys.executable, *words], cwd=PROJECT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"python {' '.join(words)} failed:\n{done.stderr.strip()}")


if __name__ == "__main__":
    run(main)
