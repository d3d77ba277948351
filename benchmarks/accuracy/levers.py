"""Measures what single choices of a training bring on real video, by held-out training videos alone.

python data/prepare.py fights --videos ../shared/data/clips/fights --root DIR/fights --preset fast
python benchmarks/accuracy/levers.py fights --root DIR/fights

Each row trains one stream with one choice that differs from the first row of its table. The test list is never read.
Solved last layers are judged by the folds over groups that they are solved with, and gains are paired by clip, with an
interval over groups. Trained networks are judged by a quarter of the groups, once for each seed, at their best epoch.
Finished trainings are kept, so run the same command again to continue. It prints tables for docs/results.md.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import h5py
import numpy as np
from scipy.special import softmax

from benchmarks.accuracy.real_baselines import fit_and_predict
from benchmarks.processes import gain_over, run_command
from commands.files import RUNS, write_json
from commands.running import run
from commands.waiting import Now
from data.ready import ready_dataset
from fusion.methods.by_groups import Part
from fusion.methods.measures import video_accuracy
from streams.last_layer.mixing import choose_weights
from streams.runs.run_folder import Run
from streams.runs.score_file import read_scores


@dataclass(frozen=True)
class Table:
    """Trainings of one stream that differ in one choice each."""

    title: str
    stream: str
    options: Sequence[str]  # Of all rows.
    rows: Mapping[str, Sequence[str]]  # The first one is what the others are compared with.

    @property
    def is_solved(self) -> bool:
        """Tells whether last layers are solved, so that all training videos are held out by some fold."""
        return "own" in self.options


# Networks that are trained see crops of 112 pixels, which two cores can afford.
_TRAINED = ("--crop-size", "112", "--shown", "most", "--batch-size", "16", "--validation", "0.25", "--warmup", "1")
# So few steps don't settle the statistics of batch normalisation, so fine-tuning keeps those of ImageNet.
_TUNED = (
    *("--backbone", "mobilenet", "--weights", "imagenet", "--epochs", "16", "--learning-rate", "2e-4"),
    *("--freeze-bn", "all"),
)
_SMALL = ("--backbone", "small", "--weights", "none", "--epochs", "40")
TABLES = (
    Table(
        "the recipe `own`, spatial",
        "spatial",
        ("--recipe", "own"),
        {
            "as it is": (),
            "`mobilenet_v2` instead of `mobilenet`": ("--backbone", "mobilenet_v2"),
            "224 pixels": ("--crop-size", "224"),
            "160 pixels": ("--crop-size", "160"),
            "112 pixels": ("--crop-size", "112"),
            "7/8 of the short side instead of whole frames": ("--shown", "most"),
            "8 frames": ("--length", "8"),
            "4 frames": ("--length", "4"),
        },
    ),
    Table(
        "the recipe `own`, temporal",
        "temporal",
        ("--recipe", "own"),
        {
            "as it is": (),
            "12 fields": ("--length", "12"),
            "6 fields": ("--length", "6"),
            "7/8 of the short side instead of whole fields": ("--shown", "most"),
        },
    ),
    Table(
        "single frames, `mobilenet` from ImageNet",
        "spatial",
        _TRAINED,
        {
            "all layers": _TUNED,
            "the last layer alone": (*_TUNED, "--train", "last-layer", "--augment", "none", "--freeze-bn", "none"),
            "the last layer, then all": (
                *(*_TUNED, "--stage", "last-layer:8:adam:3e-3", "--stage", "all:8:adam:2e-4"),
            ),
            "all layers of `small`, from scratch": _SMALL,
            "not mirrored, crops in the middle": (*_TUNED, "--augment", "none"),
            "crops in many sizes": (*_TUNED, "--augment", "multi-scale"),
            "dropout .5": (*_TUNED, "--dropout", "0.5"),
        },
    ),
    Table(
        "stacks of flow, trained",
        "temporal",
        _TRAINED,
        {
            "`small`, from scratch, L = 10": _SMALL,
            "L = 5": (*_SMALL, "--length", "5"),
            "not mirrored, crops in the middle": (*_SMALL, "--augment", "none"),
            "3 segments of L = 5, joined by attention": (
                *(*_SMALL, "--length", "5", "--segments", "3", "--consensus", "attention"),
            ),
            "`mobilenet` from ImageNet (cross-modality)": (*_TUNED, "--freeze-bn", "all-but-first"),
        },
    ),
    Table(
        "three stacks of flow, `resnet18` from scratch",
        "temporal",
        (
            *(
                "--input",
                "flow_stacks",
                "--length",
                "3",
                "--backbone",
                "resnet18",
                "--weights",
                "none",
                "--epochs",
                "12",
            ),
            *("--crop-size", "64", "--shown", "most", "--batch-size", "16", "--validation", "0.25", "--warmup", "1"),
        ),
        {"joined by attention": (), "averaged, with temporal shift": ("--shift", "0.125")},
    ),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Trains every row that is missing, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="the name of a prepared data set")
    parser.add_argument("--root", type=Path, required=True, help="its folder")
    parser.add_argument("--seeds", type=int, default=2, help="of networks that are trained (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=RUNS / "levers", help="keeps trainings (default: %(default)s)")
    options = parser.parse_args(argv)
    groups = {video.name: video.group for video in ready_dataset(options.dataset, options.root).videos.values()}
    for table in TABLES:
        _print(table, options, groups)
    _print_fusion(options, groups)


@dataclass(frozen=True)
class Result:
    """What a row of a table reached."""

    accuracy: float
    minutes: float  # Of all processors, mean over seeds.
    part: Part | None  # The held-out scores of all training videos, if there are such.


def _print(table: Table, options: argparse.Namespace, groups: Mapping[str, str]) -> None:
    judged = "folds over groups" if table.is_solved else f"a quarter of the groups, {options.seeds} seeds"
    print(f"\n| {options.dataset}: {table.title} | held out: {judged} | points | CPU-minutes |\n|---|---|---|---|")
    first = None
    for number, name in enumerate(table.rows):
        result = _result(table, number, name, options, groups)
        gain = _gain(result, first) if first else ""
        first = first or result
        print(f"| {name} | {100 * result.accuracy:.1f} % | {gain} | {result.minutes:.1f} |", flush=True)


def _result(table: Table, number: int, name: str, options: argparse.Namespace, groups: Mapping[str, str]) -> Result:
    Now.doing = f"{table.title}: {name}"
    folder = _folder(table, number, options)
    words = table.rows[name]
    trained = [
        _trained(table, words, options, folder / str(seed), seed)
        for seed in range(1 if table.is_solved else options.seeds)
    ]
    minutes = float(np.mean([each["minutes"] for each in trained]))
    if not table.is_solved:
        return Result(float(np.mean([each["accuracy"] for each in trained])), minutes, None)
    scores = read_scores(Run.of(folder / "0", options.dataset, table.stream, 1).held_out)
    return _judged(Part(scores.logits, scores.labels, [groups[name] for name in scores.videos]), minutes)


def _print_fusion(options: argparse.Namespace, groups: Mapping[str, str]) -> None:
    """Prints the ways to fuse both streams of `own`; those that learn do so from the other folds over groups."""
    runs = [Run.of(_folder(table, 0, options) / "0", options.dataset, table.stream, 1) for table in TABLES[:2]]
    from streams.last_layer.solving import group_folds  # This takes seconds to import.

    scores = [read_scores(run.held_out) for run in runs]
    labels, of_video = scores[0].labels, [groups[name] for name in scores[0].videos]
    logits = [each.logits for each in scores]
    shares = [softmax(each, axis=1) for each in logits]
    weighted, joint = np.zeros_like(shares[0]), np.zeros_like(shares[0])
    features = np.concatenate([_features(run) for run in runs], axis=1)
    for rows, others in group_folds(labels, of_video):
        weights = choose_weights([each[rows] for each in logits], labels[rows], [of_video[row] for row in rows])
        weighted[others] = np.tensordot(weights, [each[others] for each in logits], 1)
        joint[others] = fit_and_predict(features, labels, of_video, rows, others)
    ways = {
        "weighted logits, as the recipe does": weighted,
        "the spatial stream alone": logits[0],
        "the temporal stream alone": logits[1],
        "mean of probabilities": np.mean(shares, axis=0),
        "sum of logits": np.sum(logits, axis=0),
        "one classifier on the features of both streams": joint,
    }
    print(f"\n| {options.dataset}: both streams of `own` | held out: folds over groups | points |\n|---|---|---|")
    results = {name: _judged(Part(each, labels, of_video)) for name, each in ways.items()}
    first = next(iter(results.values()))
    for name, result in results.items():
        gain = _gain(result, first) if result is not first else ""
        print(f"| {name} | {100 * result.accuracy:.1f} % | {gain} |", flush=True)


def _features(run: Run) -> np.ndarray:
    with h5py.File(run.features("train")) as file:
        found: np.ndarray = file["features"][()].mean(axis=1)
    return found


def _folder(table: Table, number: int, options: argparse.Namespace) -> Path:
    folder: Path = options.work / options.dataset / f"{table.title.replace('`', '')}, {number}"
    return folder


def _judged(part: Part, minutes: float = 0.0) -> Result:
    return Result(video_accuracy(part.scores, part.labels), minutes, part)


def _trained(
    table: Table, words: Sequence[str], options: argparse.Namespace, folder: Path, seed: int
) -> dict[str, float]:
    """Returns the validation accuracy of a training and its CPU-minutes; one that is finished isn't repeated."""
    kept = folder / "lever.json"
    if not kept.exists():
        place = ["--dataset", options.dataset, "--root", str(options.root), "--runs", str(folder), "--seed", str(seed)]
        result = folder / "result.json"
        seconds = run_command([f"{table.stream}/train.py", *place, *table.options, *words, "--json", str(result)])
        accuracy = json.loads(result.read_text(encoding="utf-8"))["val_accuracy"]
        write_json(kept, {"accuracy": accuracy, "minutes": seconds / 60})
    found: dict[str, float] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def _gain(result: Result, first: Result) -> str:
    """Returns the points above the first row, with their 95 % interval over groups where clips can be paired."""
    if result.part and first.part:
        return gain_over(result.part, first.part)
    return f"{100 * (result.accuracy - first.accuracy):+.1f}"


if __name__ == "__main__":
    run(main)
