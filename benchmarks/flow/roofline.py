"""Measures where the time of TV-L1 goes, stage by stage, and how fast this core could be at best.

python benchmarks/flow/roofline.py
python benchmarks/flow/roofline.py --preset fast

Ceilings are measured by loops in the solver's own vectors: multiply-adds and estimated roots without memory, and reads
with one write for two of them from each cache. An iteration is then compared with what its operations and its memory
would take at these speeds. Run it on a core that is free; each number is the best of several.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import numpy as np

from benchmarks.flow.pairs import made_up_pair
from commands.running import run
from data.optical_flow.methods import PRESET_NAMES
from data.optical_flow.tvl1 import solver
from data.optical_flow.tvl1.iterate import iterate
from data.optical_flow.tvl1.kernel_cache import inner
from data.optical_flow.tvl1.median import median_filter
from data.optical_flow.tvl1.memory_layout import FIELDS
from data.optical_flow.tvl1.parameters import PRESETS, TVL1Parameters
from data.optical_flow.tvl1.vectors import LANES, load, splat, store, twice_inverse_root
from data.optical_flow.tvl1.warp import linearise

SIZE = 256, 340
# Of one iteration and LANES pixels: arithmetic operations as the processor counts them, a multiply-add being one, of
# which estimates of roots; vectors that are read and written.
OPERATIONS, ROOTS, READS, WRITES = 41, 2, 25, 6
# Of one iteration, what has to come from and go to the second-level cache where a row leaves the first one in between.
FIELDS_READ, FIELDS_WRITTEN = FIELDS, 6
FIRST, SECOND = 6_000, 100_000  # Floats that fit into the first and the second cache.
ONE = np.float32(1.0000001)


@inner
def multiply(times: int, memory: np.ndarray) -> None:
    """Does twelve independent multiply-adds a turn."""
    a, b, c, d = load(memory, 0), load(memory, 1), load(memory, 2), load(memory, 3)
    e, f, g, h = load(memory, 4), load(memory, 5), load(memory, 6), load(memory, 7)
    i, j, k, m = load(memory, 8), load(memory, 9), load(memory, 10), load(memory, 11)
    x, y = splat(ONE), splat(np.float32(1e-7))
    for _ in range(times):
        a, b, c, d = a * x + y, b * x + y, c * x + y, d * x + y
        e, f, g, h = e * x + y, f * x + y, g * x + y, h * x + y
        i, j, k, m = i * x + y, j * x + y, k * x + y, m * x + y
    store(memory, 0, a + b + c + d + e + f + g + h + i + j + k + m)


@inner
def root(times: int, memory: np.ndarray) -> None:
    """Does four independent inverse roots a turn."""
    a, b, c, d = load(memory, 0), load(memory, 1), load(memory, 2), load(memory, 3)
    for _ in range(times):
        a, b, c, d = twice_inverse_root(a), twice_inverse_root(b), twice_inverse_root(c), twice_inverse_root(d)
    store(memory, 0, a + b + c + d)


@inner
def stream(times: int, memory: np.ndarray) -> None:
    """Reads two vectors and writes one, over and over through the memory."""
    third = len(memory) // (3 * LANES) * LANES
    for _ in range(times):
        for place in range(0, third, LANES):
            store(memory, place, load(memory, third + place) + load(memory, 2 * third + place))


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESET_NAMES, default="balanced", help="of the solver (default: balanced)")
    options = parser.parse_args(argv)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    _print_stages(options.preset)
    _print_ceilings()


def _print_stages(preset: str) -> None:
    """Prints the milliseconds of each stage of one pair, of the finest level and of all."""
    pair = made_up_pair("medium motion", 1, size=SIZE)
    parameters = TVL1Parameters(**PRESETS[preset])
    made = solver.TVL1(parameters)
    first, second = made.prepare(pair.first), made.prepare(pair.second)
    whole, prepared = _best(lambda: made.solve(first, second)), _best(lambda: made.prepare(pair.first))
    with _timed_stages() as taken:
        for _ in range(9):
            made.solve(first, second)
            for each in taken.values():
                each.append(0.0)
    print(f"TV-L1 {preset}, {SIZE[1]}×{SIZE[0]}: {1e3 * whole:.2f} ms a pair, {1e3 * prepared:.2f} a frame before it")
    for name, each in taken.items():
        print(f"  {name:46}{1e3 * min(_sums(each)):7.2f} ms")
    fields = solver.Workspace([SIZE]).fields[0]
    row, scheme = np.zeros(made._workspaces[0].row.size, np.float32), parameters.scheme
    images, units = (first.images[0], second.images[0]), (scheme.pixels, scheme.threshold)
    brightness = np.float32(1), np.float32(0)
    for name, work in {
        "finest level: one median of the flow": lambda: median_filter(fields, SIZE),
        "finest level: one linearisation, cubic": lambda: linearise(fields, images, SIZE, units, brightness, True, row),
        "finest level: the iterations of one warp": lambda: iterate(
            fields, SIZE, scheme.iterations, scheme.tau, scheme.keep
        ),
    }.items():
        print(f"  {name:46}{1e3 * _best(work):7.2f} ms")


@contextmanager
def _timed_stages() -> Iterator[dict[str, list[float]]]:
    """Gives the seconds of each function that a solve calls, while they are watched."""
    names = ("upsample", "match_brightness", "typical_difference", "solve_level", "finish")
    before, taken = {name: getattr(solver, name) for name in names}, {name: [0.0] for name in names}

    def watched(name: str) -> Callable[..., object]:
        def call(*words: object) -> object:
            start = time.thread_time()
            found = before[name](*words)
            taken[name][-1] += time.thread_time() - start
            return found

        return call

    for name in names:
        setattr(solver, name, watched(name))
    try:
        yield taken
    finally:
        for name in names:
            setattr(solver, name, before[name])


def _sums(each: list[float]) -> list[float]:
    return each[:-1]


def _print_ceilings() -> None:
    """Prints the speeds of this core, and an iteration against them, in nanoseconds a pixel."""
    memory, turns = np.ones(FIRST, np.float32), 100_000
    operation = _best(lambda: multiply(turns, memory)) / (12 * turns)
    one_root = _best(lambda: root(turns, memory)) / (4 * turns)
    moved = {}
    for name, floats in {"first cache": FIRST, "second cache": SECOND}.items():
        memory, times = np.ones(floats, np.float32), max(1, 10_000_000 // floats)
        moved[name] = _best(partial(stream, times, memory)) / (times * floats)
    print(f"\nThis core, vectors of {LANES} floats:", end=" ")
    print(f"{1e-9 / operation:.2f} multiply-adds a ns, {1e-9 / one_root:.2f} roots")
    for name, seconds in moved.items():
        print(f"  {name}: {4e-9 / seconds:.0f} bytes a ns, two read for one written")
    arithmetic = 1e9 * (OPERATIONS * operation + ROOTS * max(0.0, one_root - 3 * operation)) / LANES
    near = 1e9 * moved["first cache"] * (READS + WRITES)
    far = 1e9 * moved["second cache"] * (FIELDS_READ + FIELDS_WRITTEN)
    print(f"\nAn iteration, ns a pixel: arithmetic alone {arithmetic:.3f}", end="")
    print(f", first cache {near:.3f}, second cache {far:.3f}")
    parameters = TVL1Parameters()
    for height, width in ((16, 32), (64, 85), (128, 170), SIZE):
        fields = solver.Workspace([(height, width)]).fields[0]
        scheme, count = parameters.scheme, 20
        seconds = _best(partial(iterate, fields, (height, width), count, scheme.tau, scheme.keep))
        kilobytes = fields.nbytes / 1e3
        print(f"  measured at {width}×{height} ({kilobytes:,.0f} kB): {1e9 * seconds / (count * height * width):.3f}")


def _best(work: Callable[[], object]) -> float:
    """Returns the least seconds of many runs; the first one compiles."""
    work()
    until = time.thread_time() + 0.4
    taken = list[float]()
    while len(taken) < 5 or time.thread_time() < until:
        start = time.thread_time()
        work()
        taken.append(time.thread_time() - start)
    return min(taken)


if __name__ == "__main__":
    run(main)
