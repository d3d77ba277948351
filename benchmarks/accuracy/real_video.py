"""Compares a recipe with simple baselines on real video: any folder of clips with a `videos.csv`.

python benchmarks/accuracy/real_video.py ../shared/data/clips/fights                    five folds by group, three seeds
python benchmarks/accuracy/real_video.py ../shared/data/clips/grid_words --given-split  the split that videos.csv names

It prepares frames and flow, computes the features of both streams once, solves their last layers on the training part
of each fold, and fuses them by held-out scores of that training part. The test part is only scored. Results are kept in
the folder --work, so run the same command again to continue. It uses the recipe `own`, unless --recipe names another
one with a solved last layer. ImageNet weights are searched as by the training commands. It prints tables for
docs/background/results.md.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import numpy as np

from commands.files import RUNS, write_json
from commands.running import quiet_tensorflow, run
from data.catalog import DataSet, Video
from data.prepare import main as prepare
from data.ready import ready_dataset
from data.store.index import index_path
from fusion.methods.by_groups import Part, drawn_accuracies, interval
from fusion.methods.measures import video_accuracy
from pipelines.inputs import Input
from spatial.train import SpatialConfig
from streams.command import hash_of_data, training_options
from streams.config import EXACT, TrainConfig
from streams.runs.run_folder import Run
from temporal.train import TemporalConfig

STREAMS: Mapping[str, type[TrainConfig]] = {"spatial": SpatialConfig, "temporal": TemporalConfig}
COMMONEST, MIDDLE, ALL_FRAMES, FLOW, BOTH, FUSED = "commonest", "middle", "frames", "flow", "both", "fused"
# What is compared, in the order of the table.
ROWS = {
    COMMONEST: "the commonest class of the training part",
    MIDDLE: "baseline: frozen features of the middle frame",
    ALL_FRAMES: "baseline: frozen features, mean over all frames",
    FLOW: "baseline: histograms of flow directions in time bins",
    BOTH: "baseline: mean of the last two's probabilities",
    "spatial": "spatial",
    "temporal": "temporal",
    FUSED: "both streams, fused",
}
BASELINES = (MIDDLE, ALL_FRAMES, FLOW, BOTH)


@dataclass(frozen=True)
class Clips:
    """The clips and how they are divided into folds."""

    dataset: DataSet
    videos: Sequence[Video]
    labels: np.ndarray
    groups: Sequence[str]


@dataclass(frozen=True)
class Fold:
    """The rows of the clips to learn from and of those to evaluate on, for one seed."""

    seed: int
    number: int
    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Row:
    """The accuracy and cost of one method."""

    accuracy: float  # Over all tests together, each clip counted as often as it was tested.
    low: float  # Of the 95 % interval, over groups.
    high: float
    folds: Sequence[float]
    cpu_minutes: float  # Of the features of all clips and one fit; preparing is apart.


@dataclass(frozen=True)
class Report:
    """All results."""

    rows: Mapping[str, Row]
    gains: Mapping[str, tuple[float, float, float]]  # Of fusing over each other row, with its interval.
    weights: Mapping[str, Mapping[str, float]]  # Of the parts of each stream, and of the streams: means over tests.
    seconds: Mapping[str, float]
    tests: int


def main(argv: Sequence[str] | None = None) -> None:
    """Prepares, computes missing results, and prints them all."""
    options = _parse(argv)
    folder: Path = options.folder.resolve()
    work: Path = (options.work or RUNS / "real_video") / folder.name
    seconds = _prepare(folder, work, options.preset)
    quiet_tensorflow()
    dataset = ready_dataset(folder.name, work / "dataset")
    videos = [video for video in dataset.videos.values() if len(video.labels) == 1]
    clips = Clips(dataset, videos, np.array([video.label for video in videos]), [video.group for video in videos])
    streams = {name: Stream(name, clips, work, options.recipe) for name in STREAMS}
    for name, stream in streams.items():
        seconds[name] = stream.make_features()
    histograms, seconds[FLOW] = _histograms(clips, work)
    key = _key(clips, streams, histograms)
    found: list[tuple[Fold, dict[str, np.ndarray]]] = []
    for fold in _folds(clips, options):
        path = work / "folds" / key / f"{_scheme(options)}_seed{fold.seed}_fold{fold.number}.npz"
        was_there = path.exists()
        found.append((fold, _look(fold, clips, streams, histograms, path)))
        if not was_there:
            _say_fold(*found[-1], clips.labels)
    report = _report(clips, found, seconds, streams["spatial"].num_items)
    counts = f"{len(videos):,} clips in {len(set(clips.groups)):,} groups, {len(found)} tests"
    _print(report, f"{folder.name}, recipe {options.recipe}: {counts} ({_scheme(options)}).")
    if options.json:
        write_json(options.json, dataclasses.asdict(report))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of clips, with a videos.csv")
    parser.add_argument("--folds", type=int, default=5, help="over groups (default: %(default)s)")
    parser.add_argument("--given-split", action="store_true", help="judge by the split of videos.csv, not by folds")
    parser.add_argument("--seeds", type=int, default=3, help="each with other folds (default: %(default)s)")
    parser.add_argument("--recipe", default="own", help="of both streams (default: %(default)s)")
    parser.add_argument("--preset", default="fast", help="of the flow that is prepared (default: %(default)s)")
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="keeps what was made (default: below runs); take another one when the code has changed",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser.parse_args(argv)


def _scheme(options: argparse.Namespace) -> str:
    return "split" if options.given_split else f"folds{options.folds}"


def _prepare(folder: Path, work: Path, preset: str) -> dict[str, float]:
    """Makes missing frames and flow; returns the CPU-seconds for this, if it was done here."""
    costs = Costs(work / "costs.json")
    if not index_path(work / "dataset").exists():
        with costs.counted("prepare"):
            prepare([folder.name, "--videos", str(folder), "--root", str(work / "dataset"), "--preset", preset])
    return {"prepare": costs.of("prepare")}


class Costs:
    """The CPU-seconds of work that may be interrupted, kept in a file."""

    def __init__(self, path: Path) -> None:
        """Keeps them in `path`."""
        self._path = path

    def of(self, name: str) -> float:
        """Returns the CPU-seconds of the work of this name so far; 0 if it was done elsewhere."""
        return self._read().get(name, 0.0)

    @contextlib.contextmanager
    def counted(self, name: str) -> Iterator[None]:
        """Counts the work in this block, even if it is interrupted, including processes that end in it."""
        start = _processor_seconds()
        try:
            yield
        finally:
            write_json(self._path, {**self._read(), name: self.of(name) + _processor_seconds() - start})

    def _read(self) -> dict[str, float]:
        found: dict[str, float] = json.loads(self._path.read_text("utf-8")) if self._path.exists() else {}
        return found


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Stream:
    """The network of a stream by its recipe, and the features of its frozen layers for all clips."""

    def __init__(self, name: str, clips: Clips, work: Path, recipe: str) -> None:
        """Reads the recipe, but no pixels."""
        self.name, self._clips = name, clips
        words = ["--dataset", clips.dataset.name, "--root", str(clips.dataset.root), "--recipe", recipe]
        self._config = training_options(STREAMS[name], words, __doc__ or "", name)
        if self._config.optimizer != EXACT:
            raise ValueError(f"The recipe {recipe} trains the {name} stream; this benchmark solves last layers.")
        self._clip = Input(self._config.input, self._config.length)  # type: ignore[attr-defined]
        data_hash = hash_of_data(self._clip, (clips.dataset, (clips.videos,)))
        self._run, self._costs = Run(work / name, data_hash=data_hash), Costs(work / "costs.json")
        self.num_items: int = self._config.length  # type: ignore[attr-defined]
        self.features, self.parts = np.zeros((0, 0)), dict[str, int]()

    def make_features(self) -> float:
        """Builds the network and computes the features of all clips that are not kept yet."""
        from spatial.model import spatial_network  # These take seconds to import.
        from streams.networks.frames_in_time import parts_of
        from streams.training.kept_features import kept_features
        from streams.training.stage import building, clips_of, strategy_for
        from temporal.model import temporal_network

        build = spatial_network if self.name == "spatial" else temporal_network
        with building(self._config, strategy_for(self._config)):
            self.network = build(self._config, self._clip, self._clips.dataset)
        stream = clips_of(self._config, self._clips.dataset, self._clip, self._clips.videos)
        is_there, name = self._run.features("all").exists(), f"features of {self.name}"
        with self._costs.counted(name if not is_there or self._is_growing() else "reading features"):
            features, _ = kept_features(self.network, stream, self._clips.videos, self._run, self._config, "all")
        self.features, self.parts = features.mean(axis=1), parts_of(self.network)
        return self._costs.of(name)

    def solve(self, fold: Fold) -> dict[str, np.ndarray]:
        """Solves the last layer on the training part; returns logits, held-out logits, and weights of the features."""
        import keras

        from streams.last_layer.moments import predicted
        from streams.last_layer.solving import solve_last_layer

        groups = [self._clips.groups[place] for place in fold.train]
        train, labels = self.features[fold.train], self._clips.labels[fold.train]
        solution = solve_last_layer(self.network, train, labels, groups, fold.seed)
        head = keras.Model(self.network.get_layer("features").output, self.network.output)
        weights = np.array([solution.weights[part] for part in self.parts])
        return {
            "logits": predicted(head, self.features[fold.test]),
            "held_out": solution.held_out,
            "weights": weights,
        }

    def _is_growing(self) -> bool:
        """Tells whether features of some clips are missing."""
        import h5py

        try:
            with h5py.File(self._run.features("all")) as file:
                return len(file["labels"]) < len(self._clips.videos)
        except (OSError, KeyError):
            return True


def _histograms(clips: Clips, work: Path) -> tuple[np.ndarray, float]:
    from benchmarks.accuracy.real_baselines import flow_histograms

    names = "\n".join(video.name for video in clips.videos)
    key = hashlib.sha256(names.encode()).hexdigest()[:12]
    return flow_histograms(clips.dataset, clips.videos, work / "baselines", key)


def _folds(clips: Clips, options: argparse.Namespace) -> Iterator[Fold]:
    """Yields the folds of each seed in turn; with the given split, seeds only change the randomness of training."""
    if options.given_split:
        test = {video.name for video in clips.dataset.part(1, "test")}
        is_test = np.array([video.name in test for video in clips.videos])
        for seed in range(options.seeds):
            yield Fold(seed, 1, np.flatnonzero(~is_test), np.flatnonzero(is_test))
        return
    from sklearn.model_selection import StratifiedGroupKFold

    for seed in range(options.seeds):
        folds = StratifiedGroupKFold(options.folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings(action="ignore"):  # Of classes that have fewer videos than there are folds.
            parts = list(folds.split(clips.labels, clips.labels, clips.groups))
        for number, (train, test) in enumerate(parts, 1):
            yield Fold(seed, number, train, test)


def _key(clips: Clips, streams: Mapping[str, Stream], histograms: np.ndarray) -> str:
    """Returns a key that depends on all inputs of the folds, but not on the code."""
    digest = hashlib.sha256(json.dumps([clips.dataset.classes, clips.labels.tolist(), list(clips.groups)]).encode())
    for values in (histograms, *(stream.features for stream in streams.values())):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:12]


def _look(
    fold: Fold, clips: Clips, streams: Mapping[str, Stream], histograms: np.ndarray, path: Path
) -> dict[str, np.ndarray]:
    """Returns the scores of all methods for the test part of a fold, and their cost; kept in a file."""
    from benchmarks.accuracy.real_baselines import fit_and_predict, kept
    from streams.last_layer.mixing import choose_weights

    def compute() -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        start = time.process_time()

        def add(row: str, scores: np.ndarray) -> None:
            nonlocal start
            now = time.process_time()
            found[row], found[f"{row}_seconds"], start = scores, np.array(now - start), now

        shares = np.bincount(clips.labels[fold.train], minlength=len(clips.dataset.classes)) / len(fold.train)
        add(COMMONEST, np.tile(shares, (len(fold.test), 1)))
        inputs = {**_frames(streams["spatial"]), FLOW: histograms}
        for row, features in inputs.items():
            add(row, fit_and_predict(features, clips.labels, clips.groups, fold.train, fold.test))
        if ALL_FRAMES in found:
            add(BOTH, (found[ALL_FRAMES] + found[FLOW]) / 2)
        solved = {}
        for name, stream in streams.items():
            solved[name] = stream.solve(fold)
            add(name, solved[name]["logits"])
            found[f"{name}_weights"], found[f"{name}_parts"] = solved[name]["weights"], np.array(list(stream.parts))
        held_out = [each["held_out"] for each in solved.values()]
        groups = [clips.groups[place] for place in fold.train]
        weights = choose_weights(held_out, clips.labels[fold.train], groups)
        logits = [each["logits"] for each in solved.values()]
        add(FUSED, np.tensordot(weights, np.stack(logits), 1))
        return {**found, "fused_weights": weights, "fused_parts": np.array(list(solved))}

    return kept(path, compute)


def _frames(spatial: Stream) -> dict[str, np.ndarray]:
    """Returns the features of single frames for the baselines; nothing if the recipe makes none."""
    if not {"look", "order"} <= spatial.parts.keys():
        return {}
    starts = dict(zip(spatial.parts, np.cumsum([0, *spatial.parts.values()]), strict=False))
    width = spatial.parts["look"]
    in_order = spatial.parts["order"] // width
    middle = starts["order"] + in_order // 2 * width
    return {
        MIDDLE: spatial.features[:, middle : middle + width],
        ALL_FRAMES: spatial.features[:, starts["look"] : starts["look"] + width],
    }


def _say_fold(fold: Fold, found: Mapping[str, np.ndarray], labels: np.ndarray) -> None:
    numbers = [f"{row} {video_accuracy(found[row], labels[fold.test]):.3f}" for row in ROWS if row in found]
    print(f"seed {fold.seed}, fold {fold.number}, {len(fold.test)} clips: {', '.join(numbers)}", flush=True)


def _report(
    clips: Clips, found: Sequence[tuple[Fold, Mapping[str, np.ndarray]]], seconds: Mapping[str, float], items: int
) -> Report:
    """Returns the results of all methods; intervals are over groups, each with all scores of its clips."""
    test = np.concatenate([fold.test for fold, _ in found])
    labels, groups = clips.labels[test], np.asarray(clips.groups)[test]
    names = [row for row in ROWS if row in found[0][1]]
    costs = _costs(
        {row: float(np.mean([each[f"{row}_seconds"] for _, each in found])) for row in names}, seconds, items
    )
    rows, drawn = {}, {}
    for row in names:
        scores = np.concatenate([each[row] for _, each in found])
        drawn[row] = drawn_accuracies(Part(scores, labels, groups))
        of_fold = [video_accuracy(each[row], clips.labels[fold.test]) for fold, each in found]
        rows[row] = Row(video_accuracy(scores, labels), *interval(drawn[row]), of_fold, costs[row] / 60)
    gains = {
        row: (rows[FUSED].accuracy - rows[row].accuracy, *interval(drawn[FUSED] - drawn[row]))
        for row in (*BASELINES, *STREAMS)
        if row in rows
    }
    weights = {}
    for name in (*STREAMS, FUSED):
        means = np.mean([each[f"{name}_weights"] for _, each in found], axis=0)
        weights[name] = dict(zip(found[0][1][f"{name}_parts"].tolist(), means.tolist(), strict=True))
    return Report(rows, gains, weights, dict(seconds), len(found))


def _costs(fit: Mapping[str, float], seconds: Mapping[str, float], items: int) -> dict[str, float]:
    """Returns the CPU-seconds of each method: the features of all clips, and one fit."""
    costs = {COMMONEST: 0.0, FLOW: seconds[FLOW] + fit[FLOW]}
    costs |= {name: seconds[name] + fit[name] for name in STREAMS}
    costs[FUSED] = costs["spatial"] + costs["temporal"] + fit[FUSED]
    if ALL_FRAMES in fit:
        costs |= {MIDDLE: seconds["spatial"] / items + fit[MIDDLE], ALL_FRAMES: seconds["spatial"] + fit[ALL_FRAMES]}
        costs[BOTH] = costs[ALL_FRAMES] + costs[FLOW]
    return costs


def _print(report: Report, title: str) -> None:
    """Prints tables for docs/background/results.md."""
    print(f"\n{title}\n")
    print("| | video accuracy | 95 % interval | mean of folds | CPU-minutes |")
    print("|---|---|---|---|---|")
    for name, row in report.rows.items():
        mean, between = np.mean(row.folds), f"{100 * row.low:.1f} to {100 * row.high:.1f}%"
        print(
            f"| {ROWS[name]} | {row.accuracy:.1%} | {between} | {mean:.1%} | {row.cpu_minutes:.1f} |".replace("%", " %")
        )
    print("\n| both streams, fused, against | points | 95 % interval |\n|---|---|---|")
    for name, (gain, low, high) in report.gains.items():
        print(f"| {ROWS[name]} | {100 * gain:+.1f} | {100 * low:+.1f} to {100 * high:+.1f} |")
    print("\nWeights of logits, mean over the tests:")
    for name, parts in report.weights.items():
        print(f"  {name}: {', '.join(f'{part} {weight:.2f}' for part, weight in parts.items())}")
    minutes = report.seconds["prepare"] / 60
    print(f"Preparing: {minutes:.1f} CPU-minutes." if minutes else "Frames and flow were prepared before.")


if __name__ == "__main__":
    run(main)
