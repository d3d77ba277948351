"""Measures what single choices and tricks of a training bring on real video, by held-out training videos alone.

python data/prepare.py fights --videos ../shared/data/clips/fights --root DIR/fights --preset fast
python benchmarks/accuracy/levers.py fights --root DIR/fights
python benchmarks/accuracy/levers.py fights --root DIR/fights --only tricks

Each row trains one stream with one choice that differs from the first row of its table. The test list is never read.
Solved last layers are judged by the folds over groups that they are solved with. Trained networks are judged at their
best epoch by a quarter of the groups, which each seed draws anew. Gains are paired by clip, with an interval over
groups. Finished trainings are kept, so run the same command again to continue. It prints tables for
docs/background/results.md.
All trainings run in this process, so their CPU-minutes are without the start of Python and TensorFlow.
"""

import argparse
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import h5py
import numpy as np
from scipy.special import softmax

from benchmarks.accuracy.levers_tables import TABLES, VALIDATION, Table
from benchmarks.accuracy.real_baselines import fit_and_predict
from benchmarks.processes import gain_over
from commands.files import RUNS, write_json
from commands.running import quiet_tensorflow, run
from commands.waiting import Now
from data.catalog import DataSet
from data.ready import ready_dataset
from data.sets.lists import training_lists
from fusion.methods.by_groups import Part
from fusion.methods.measures import video_accuracy
from fusion.scores.of_models import stream_scores
from fusion.scores.protocol import Scoring
from streams.last_layer.mixing import choose_weights
from streams.runs.run_folder import Run
from streams.runs.score_file import read_scores


def main(argv: Sequence[str] | None = None) -> None:
    """Trains every row that is missing, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="the name of a prepared data set")
    parser.add_argument("--root", type=Path, required=True, help="its folder")
    parser.add_argument("--seeds", type=int, default=3, help="of networks that are trained (default: %(default)s)")
    parser.add_argument("--only", default="", help="how the titles of the wanted tables begin (default: all tables)")
    parser.add_argument("--work", type=Path, default=RUNS / "levers", help="keeps trainings (default: %(default)s)")
    options = parser.parse_args(argv)
    quiet_tensorflow()
    dataset = ready_dataset(options.dataset, options.root)
    for table in TABLES:
        if table.title.startswith(options.only):
            _print(table, options, dataset)
    if not options.only:
        _print_fusion(options, dataset)


def _print(table: Table, options: argparse.Namespace, dataset: DataSet) -> None:
    judged = "folds over groups" if table.is_solved else f"a quarter of the groups, {options.seeds} seeds"
    print(f"\n| {dataset.name}: {table.title} | held out: {judged} | points | published | CPU-minutes |")
    print("|---|---|---|---|---|")
    first = None
    for number, name in enumerate(table.rows):
        Now.doing = f"{table.title}: {name}"
        part, minutes = _result(table, number, name, options, dataset)
        gain = gain_over(part, first) if first else ""
        first = first or part
        published = table.published.get(name, "")
        print(f"| {name} | {_accuracy(part)} | {gain} | {published} | {minutes:.2f} |", flush=True)


def _result(table: Table, number: int, name: str, options: argparse.Namespace, dataset: DataSet) -> tuple[Part, float]:
    """Returns the scores of what each seed held out, and the minutes of all processors, mean over seeds."""
    folder, parts, minutes = _folder(table, number, options), list[Part](), list[float]()
    for seed in range(1 if table.is_solved else options.seeds):
        runs = folder / str(seed)
        minutes.append(_trained(table, table.rows[name], options, runs, seed))
        if table.is_solved:
            scores = read_scores(Run.of(runs, dataset.name, table.stream, 1).held_out)
        else:
            _, held_out = training_lists(dataset, 1, "validation", VALIDATION, seed)
            scoring = Scoring(runs=runs, views=3, crops="1")
            scores = stream_scores(dataset, 1, "validation", held_out, table.stream, scoring)
        parts.append(Part(scores.logits, scores.labels, [dataset.videos[each].group for each in scores.videos]))
    return Part(*(np.concatenate([each[place] for each in parts]) for place in range(3))), float(np.mean(minutes))


def _print_fusion(options: argparse.Namespace, dataset: DataSet) -> None:
    """Prints the ways to fuse both streams of `own`; those that learn do so from the other folds over groups."""
    runs = [Run.of(_folder(table, 0, options) / "0", options.dataset, table.stream, 1) for table in TABLES[:2]]
    from streams.last_layer.solving import group_folds  # This takes seconds to import.

    scores = [read_scores(run.held_out) for run in runs]
    labels, of_video = scores[0].labels, [dataset.videos[name].group for name in scores[0].videos]
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
    parts = {name: Part(each, labels, of_video) for name, each in ways.items()}
    first = next(iter(parts.values()))
    for name, part in parts.items():
        print(f"| {name} | {_accuracy(part)} | {gain_over(part, first) if part is not first else ''} |", flush=True)


def _features(run: Run) -> np.ndarray:
    with h5py.File(run.features("train")) as file:
        found: np.ndarray = file["features"][()].mean(axis=1)
    return found


def _folder(table: Table, number: int, options: argparse.Namespace) -> Path:
    folder: Path = options.work / options.dataset / f"{table.title.replace('`', '')}, {number}"
    return folder


def _accuracy(part: Part) -> str:
    return f"{100 * video_accuracy(part.scores, part.labels):.1f} %"


def _trained(table: Table, words: Sequence[str], options: argparse.Namespace, folder: Path, seed: int) -> float:
    """Returns the CPU-minutes of a training; one that is finished isn't repeated."""
    kept = folder / "minutes.json"
    if not kept.exists():
        place = ["--dataset", options.dataset, "--root", str(options.root), "--runs", str(folder), "--seed", str(seed)]
        train = importlib.import_module(f"{table.stream}.train").main
        before = sum(os.times()[:4])
        with contextlib.redirect_stdout(io.StringIO()):
            train([*place, *table.options, *words])
        write_json(kept, (sum(os.times()[:4]) - before) / 60)
        _forget()
    return float(kept.read_text(encoding="utf-8"))


def _forget() -> None:
    """Frees what Keras keeps of a network, so that many trainings fit in one process."""
    import keras  # This takes seconds to import.

    keras.utils.clear_session()


if __name__ == "__main__":
    run(main)
