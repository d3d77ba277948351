"""Measures the gain of a second core for the pipelines, and the CPU cost of the test views of a video.

python benchmarks/pipelines/more.py

One core and two cores take turns, each in a separate process; results are only valid on an idle machine. The test views
are 25 views of ten crops, of stacks of ten flow fields. They are compared with decoding the files separately for each
crop.
"""

import argparse
import dataclasses
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from benchmarks.pipelines.made_data import FRAMES, make_dataset
from commands.running import quiet_tensorflow, run
from data.catalog import DataSet, Video

EXPECTED_GAIN = 1.85
KINDS = {"flow": 10, "rgb": 1}
BATCH, BATCHES = 16, {"flow": 40, "rgb": 160}
VIEWS, CROPS, LONG = 25, 10, 186
WAYS = ("decoded on the host", "and put together, if there is no accelerator", "the files of each crop read alone")
EXPECTED_TIMES = 15
GO, ENOUGH = "go", "enough"


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, and prints the expected and the measured values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5, help="of each number of cores (default: 5)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(Path(folder), 24)
        for kind in KINDS:
            rates = _rates(dataset, kind, options.turns)
            print(
                f"{kind}: {rates[1]:.0f} samples/s with one core, {rates[2]:.0f} with two: {rates[2] / rates[1]:.2f}x "
                f"(expected {EXPECTED_GAIN})",
                flush=True,
            )
        print("\nthe 25 x 10 flow views of a video, in milliseconds of CPU time")
        for name, costs in _apart(_view_costs, {max(os.sched_getaffinity(0))}, dataset).items():
            for way, cost in zip(WAYS, costs, strict=True):
                print(f"  {name}, {way}: {cost:.1f}")
            print(f"  {costs[-1] / costs[0]:.0f} times the host's part alone (expected {EXPECTED_TIMES})")


def _rates(dataset: DataSet, kind: str, turns: int) -> dict[int, float]:
    """Returns samples per second of elapsed time, by the number of cores."""
    workers = {cores: _Worker(dataset, kind, cores) for cores in (1, 2)}
    rates: dict[int, list[float]] = {cores: [] for cores in workers}
    for _ in range(turns):
        for cores, worker in workers.items():
            rates[cores].append(worker.rate())
    for worker in workers.values():
        worker.pipe.send(ENOUGH)
    return {cores: statistics.median(found) for cores, found in rates.items()}


class _Worker:
    """A process with a given number of cores that loads batches on request."""

    def __init__(self, dataset: DataSet, kind: str, cores: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        usable = set(sorted(os.sched_getaffinity(0))[-cores:])
        context.Process(target=_load_when_asked, args=(dataset, kind, usable, other), daemon=True).start()

    def rate(self) -> float:
        self.pipe.send(GO)
        return float(self.pipe.recv())


def _load_when_asked(dataset: DataSet, kind: str, usable: set[int], pipe: Connection) -> None:
    os.sched_setaffinity(0, usable)
    quiet_tensorflow()
    from pipelines.clip_stream import ClipStream
    from pipelines.inputs import Input

    videos = list(dataset.videos.values()) * 500
    stream = ClipStream(dataset, videos, Input(kind, KINDS[kind]), BATCH, 224, augment="corners")
    batches = iter(stream.batches())
    _seconds(batches, BATCHES[kind])
    while pipe.recv() == GO:
        pipe.send(BATCHES[kind] * BATCH / _seconds(batches, BATCHES[kind]))
        time.sleep(0.5)  # So that what is made ahead is made before the other one's turn.


def _seconds(batches: Iterator[Any], count: int) -> float:
    # Some were made ahead, while nobody measured.
    for _ in range(6):
        next(batches)
    began = time.perf_counter()
    for _ in range(count):
        next(batches)
    return time.perf_counter() - began


def _apart(function: Callable[..., Any], usable: set[int], *arguments: Any) -> Any:
    """Returns the result of a function in a separate process with these cores."""
    with multiprocessing.get_context("spawn").Pool(1, os.sched_setaffinity, (0, usable)) as pool:
        return pool.apply(function, arguments)


def _view_costs(dataset: DataSet) -> dict[str, tuple[float, ...]]:
    """Returns milliseconds of CPU time per video, for each of `WAYS`."""
    quiet_tensorflow()
    from benchmarks.pipelines.peers import decode_for_each_crop
    from pipelines.clips import distinct_views, view_images
    from pipelines.inputs import Input
    from pipelines.source import Source

    clip, short = Input("flow", 10), list(dataset.videos.values())
    long = [_longer(dataset, video) for video in short[:8]]
    found: dict[str, tuple[float, ...]] = {}
    for name, videos in (("24 frames", short), (f"{LONG} frames", long)):
        many = videos * 4
        found[name] = (
            _cpu_milliseconds(view_images(Source(dataset, many, clip), VIEWS), len(many)),
            _cpu_milliseconds(distinct_views(dataset, many, clip, num_views=VIEWS), len(many)),
            _cpu_milliseconds(decode_for_each_crop(dataset, videos[:1], clip.length, VIEWS, CROPS), 1),
        )
    return found


def _longer(dataset: DataSet, video: Video) -> Video:
    """Returns a long video that repeats the files of a short one."""
    longer = dataclasses.replace(video, name=f"{video.name}long", num_frames=LONG, num_flows=LONG - 1)
    layout, root = dataset.layout, dataset.root
    for number in range(LONG):
        pairs = [(layout.frame_path(root, video, number % FRAMES), layout.frame_path(root, longer, number))]
        if number < LONG - 1:
            of_field = number % (FRAMES - 1)
            pairs += zip(layout.flow_paths(root, video, of_field), layout.flow_paths(root, longer, number), strict=True)
        for old, new in pairs:
            new.parent.mkdir(exist_ok=True)
            os.link(old, new)
    return longer


def _cpu_milliseconds(items: Any, count: int) -> float:
    iterator = iter(items)
    began = time.process_time()
    seen = sum(1 for _ in iterator)
    if seen != count:
        raise RuntimeError(f"{seen} instead of {count} videos came.")
    return 1e3 * (time.process_time() - began) / count


if __name__ == "__main__":
    run(main)
