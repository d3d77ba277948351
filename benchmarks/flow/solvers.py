"""Compares flow methods in one run on one core: milliseconds per pair, errors against ground truth, hours for UCF-101.

python benchmarks/flow/solvers.py                    5 synthetic pairs of each kind, and Middlebury's if they exist
python benchmarks/flow/solvers.py --methods tvl1 dis --pairs 2

All methods compute one pair before the next one begins, so other work on the machine affects all of them equally. Time
is the processor time of one thread, from two frames to flow, without compiling.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import cv2
import numpy as np

from benchmarks.flow.pairs import KINDS, FlowPair, end_point_error, made_up_pair, middlebury_pairs, read_grey
from commands.files import PROJECT, write_json
from commands.running import run
from data.flow import METHODS, flow_between
from data.optical_flow.methods import PRESET_NAMES

REFERENCE = ("opencv-tvl1", "balanced")
# Seeds from this one on were not used to choose the presets.
FIRST_SEED = 21_000
UCF101_PAIRS = 2_400_000
# What each preset is to reach: times faster than OpenCV (half of it without AVX-512), its mean error over
# OpenCV's in all, and in the worst group.
EXPECTED = {"accurate": (90, 1.0, 1.0), "balanced": (130, 1.0, 1.1), "fast": (250, 1.1, 1.5)}


class Trial(NamedTuple):
    """One method on one pair."""

    method: str
    preset: str
    group: str
    pair: str
    milliseconds: float
    error: float
    mirrored: float
    """Distance between the flow of the mirrored frames and the mirrored flow; it needs no ground truth."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs every method on every pair and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="made-up pairs of each kind (default: 5)")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help=f"of the first of them (default: {FIRST_SEED})")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="default: all")
    parser.add_argument(
        "--truth", type=Path, default=PROJECT.parent / "shared/data/flow_truth", help="Middlebury pairs"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every trial here too")
    options = parser.parse_args(argv)
    _use_one_core()
    pairs = _pairs(options.pairs, options.seed, options.truth)
    methods = [method for method in _methods(options.methods) if method != REFERENCE]
    trials = list(_trials(pairs, [REFERENCE, *methods]))
    _print_errors(trials, [REFERENCE, *methods])
    _print_speed(trials, [REFERENCE, *methods])
    if "tvl1" in options.methods:
        _print_expected(trials)
    if options.json:
        write_json(options.json, [trial._asdict() for trial in trials])


def _use_one_core() -> None:
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _pairs(count: int, seed: int, truth: Path) -> list[FlowPair]:
    """Returns synthetic pairs, every second one with real textures if there are any, and pairs with measured flow."""
    real = middlebury_pairs(truth)
    textures = [read_grey(path) for path in sorted(truth.glob("*/frame10.png"))]
    made_up = [
        made_up_pair(kind, number, textures if number % 2 else ())
        for number in range(seed, seed + count)
        for kind in KINDS
    ]
    print(f"{len(made_up)} made-up pairs, {len(real)} of Middlebury's, {len(textures)} real textures; 340×256 pixels")
    return made_up + real


def _methods(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, preset) for name in names for preset in (PRESET_NAMES if name != "opencv-tvl1" else ("balanced",))]


def _trials(pairs: list[FlowPair], methods: list[tuple[str, str]]) -> Iterator[Trial]:
    for method, preset in methods[1:]:
        flow_between(pairs[0].first, pairs[0].second, method, preset)
    for number, pair in enumerate(pairs, start=1):
        print(f"{number} of {len(pairs)} pairs", end="\r", flush=True)
        for method, preset in methods:
            milliseconds, flow = _timed(pair, method, preset)
            error, mirrored = end_point_error(flow, pair.truth), _change_by_mirroring(flow, pair, method, preset)
            yield Trial(method, preset, pair.group, pair.name, milliseconds, error, mirrored)


def _timed(pair: FlowPair, method: str, preset: str) -> tuple[float, np.ndarray]:
    """Returns the processor time of one pair; for fast methods, the median of three runs."""
    taken: list[float] = []
    while not taken or (len(taken) < 3 and taken[0] < 200):
        start = time.process_time()
        flow = flow_between(pair.first, pair.second, method, preset)
        taken.append(1000 * (time.process_time() - start))
    return float(np.median(taken)), flow


def _change_by_mirroring(flow: np.ndarray, pair: FlowPair, method: str, preset: str) -> float:
    first, second = (np.ascontiguousarray(frame[:, ::-1]) for frame in (pair.first, pair.second))
    return end_point_error(flow_between(first, second, method, preset), flow[:, ::-1] * (-1, 1))


def _print_errors(trials: list[Trial], methods: list[tuple[str, str]]) -> None:
    """Prints the mean end-point error of each method in each group, and on each pair with measured flow."""
    columns: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        columns[trial.group].append(trial)
        if trial.group == "Middlebury":
            columns[trial.pair].append(trial)
    print("\nMean end-point error in pixels")
    print(f"{'':24}" + "".join(f"{name[:13]:>15}" for name in columns))
    for method in methods:
        means = [_mean_error(column, method) for column in columns.values()]
        print(f"{' '.join(method):24}" + "".join(f"{mean:15.3f}" for mean in means))


def _print_speed(trials: list[Trial], methods: list[tuple[str, str]]) -> None:
    """Prints the time of each method, its error relative to OpenCV's, and the change in pixels by mirroring."""
    cores = os.cpu_count() or 1
    print(
        f"\n{'':24}{'ms a pair':>12}{'× OpenCV':>12}{'UCF-101, 1 core':>18}{f'{cores} cores':>12}{'error / OpenCV':>17}"
        f"{'mirrored':>11}"
    )
    for method in methods:
        taken = [trial.milliseconds for trial in trials if (trial.method, trial.preset) == method]
        # UCF-101's frames are 320×240: a little less than what was timed.
        hours = float(np.median(taken)) * (320 * 240) / (340 * 256) * UCF101_PAIRS / 3.6e6
        error = _mean_error(trials, method) / _mean_error(trials, REFERENCE)
        mirrored = np.mean([trial.mirrored for trial in trials if (trial.method, trial.preset) == method])
        print(
            f"{' '.join(method):24}{np.median(taken):12.1f}{_speed_up(trials, method):12.1f}"
            f"{hours:16.1f} h{hours / cores:10.1f} h{error:17.3f}{mirrored:11.3f}"
        )


def _print_expected(trials: list[Trial]) -> None:
    """Prints the goals of our presets beside what was measured."""
    wide = _has_avx512()
    print(f"\nExpected of tvl1 beside measured ({'AVX-512' if wide else 'no AVX-512: half the speed-up is expected'})")
    for preset, (speed_up, in_all, worst) in EXPECTED.items():
        method = ("tvl1", preset)
        ratios = {
            group: _mean_error(part, method) / _mean_error(part, REFERENCE)
            for group in {trial.group for trial in trials}
            for part in [[trial for trial in trials if trial.group == group]]
        }
        hardest = max(ratios, key=lambda group: ratios[group])
        print(
            f"  {preset:10}× OpenCV: {speed_up if wide else speed_up / 2:5.0f} expected, "
            f"{_speed_up(trials, method):5.0f} measured; error: {in_all:.2f} expected, "
            f"{_mean_error(trials, method) / _mean_error(trials, REFERENCE):.3f} measured; "
            f"worst group: {worst:.2f} expected, {ratios[hardest]:.3f} measured ({hardest})"
        )


def _mean_error(trials: list[Trial], method: tuple[str, str]) -> float:
    return float(np.mean([trial.error for trial in trials if (trial.method, trial.preset) == method]))


def _speed_up(trials: list[Trial], method: tuple[str, str]) -> float:
    """Returns the median speed-up of a method over OpenCV."""
    reference = {trial.pair: trial.milliseconds for trial in trials if (trial.method, trial.preset) == REFERENCE}
    own = [trial for trial in trials if (trial.method, trial.preset) == method]
    return float(np.median([reference[trial.pair] / trial.milliseconds for trial in own]))


def _has_avx512() -> bool:
    from data.optical_flow.tvl1.vectors import LANES

    return LANES == 16


if __name__ == "__main__":
    run(main)
