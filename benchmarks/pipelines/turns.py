"""Measures rates in interleaved turns: samples per CPU-second, with prefetch buffers full before and after."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Seconds = Callable[[], float]


def median_rates(kinds: Mapping[str, Callable[[], float]], turns: int) -> dict[str, float]:
    """Returns the median rate of each kind. The first turn is not counted: it fills buffers and caches."""
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(turns + 1):
        for name, rate in kinds.items():
            found = rate()
            if turn:
                rates[name].append(found)
    return {name: statistics.median(values) for name, values in rates.items()}


def rate_of(batches: Iterator[Any], steps: int, samples: int, seconds: Seconds, *, tick: float = 0.002) -> float:
    """Returns samples per CPU-second of some steps; prefetched work is done before and after, so none is left out."""
    _wait_until_idle(seconds, tick)
    start = seconds()
    for _ in range(steps):
        next(batches)
    _wait_until_idle(seconds, tick)
    return steps * samples / (seconds() - start)


def _wait_until_idle(seconds: Seconds, tick: float) -> None:
    before = -1.0
    while seconds() - before > tick:
        before = seconds()
        time.sleep(max(0.05, 10 * tick))
