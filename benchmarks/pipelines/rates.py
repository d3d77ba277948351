"""Measures the input pipelines on synthetic 340x256 data: samples per CPU-second of one core, and ratios.

python benchmarks/pipelines/rates.py

The raw limit only reads and decodes the same boxes of the same JPEG files. The classic loaders are those of PyTorch
code in this field, written here with only Pillow and OpenCV. They run in this process and also, as in practice, in a
worker process that passes its batches on. All take turns on one core.
"""

import argparse
import dataclasses
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from benchmarks.pipelines import classic
from benchmarks.pipelines.made_data import make_dataset
from benchmarks.pipelines.turns import median_rates, rate_of
from benchmarks.pipelines.worker import Worker
from commands.files import write_json
from commands.running import quiet_tensorflow, run
from data.catalog import PACKED, DataSet, Layout
from data.store.whole_folder import pack_video

CROP = 224
BATCH = 16
VIDEOS = 13_320
# What the table expects at least, as a share of the raw limit or as a multiple of another loader.
EXPECTED = {
    "flow / raw": 0.55,
    "flow, packed / raw": 0.55,
    "flow, device crop / raw": 0.85,
    "flow / classic Pillow, worker": 4.0,
    "rgb / raw": 0.66,
    "rgb, packed / raw": 0.66,
    "rgb, device crop / raw": 0.90,
    "rgb / OpenCV, worker": 2.0,
}
Loader = Iterator[Any]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark and prints expected and measured values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=24, help="how many videos of 24 frames to make up")
    parser.add_argument("--passes", type=int, default=5, help="how many turns each loader has")
    parser.add_argument("--samples", type=int, default=192, help="flow stacks in a turn; four times as many frames")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    options = parser.parse_args(argv)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    quiet_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(Path(folder), options.videos)
        contenders, workers = loaders(dataset)
        rates = measure(contenders, workers, options.samples, options.passes)
        for worker in workers:
            worker.close()
    ratios = print_table(rates)
    if options.json:
        write_json(options.json, {"samples per CPU-second": rates, "ratios": ratios})


def loaders(dataset: DataSet) -> tuple[dict[str, tuple[Loader, int]], list[Worker]]:
    """Returns every loader with its samples per step, and the worker processes that some of them need."""
    from benchmarks.pipelines import peers
    from pipelines.clip_stream import ClipStream
    from pipelines.inputs import Input

    # As many as UCF-101 has, the same ones again and again: to draw a few in a random order takes longer than many.
    made = list(dataset.videos.values())
    videos = made * (VIDEOS // len(made))

    def ours(clip: Input, dataset: DataSet = dataset, *, on_device: bool = False) -> Loader:
        stream = ClipStream(dataset, videos, clip, BATCH, CROP, augment="corners", on_device=on_device)
        return iter(stream.batches())

    flow, rgb = Input("flow", 10), Input("rgb")
    packed = dataclasses.replace(dataset, layout=Layout(PACKED), root=dataset.root / "packed")
    shutil.copytree(dataset.root / "rawframes", packed.root / "rawframes")
    for video in made:
        pack_video(packed, video)
    loaders_of_old: dict[str, tuple[Callable[..., Loader], tuple[Any, ...]]] = {
        "flow classic Pillow": (classic.classic_flow, (dataset, made, 10, CROP)),
        "flow OpenCV": (classic.opencv_flow, (dataset, made, 10, CROP)),
        "rgb classic Pillow": (classic.classic_rgb, (dataset, made, CROP)),
        "rgb OpenCV": (classic.opencv_rgb, (dataset, made, CROP)),
    }
    workers = {f"{name}, worker": Worker(loader, words, BATCH) for name, (loader, words) in loaders_of_old.items()}
    contenders = {
        "flow raw": (peers.raw_limit(dataset, made, flow, CROP), 1),
        "flow": (ours(flow), BATCH),
        "flow, packed": (ours(flow, packed), BATCH),
        "flow, device crop": (ours(flow, on_device=True), BATCH),
        "rgb raw": (peers.raw_limit(dataset, made, rgb, CROP), 1),
        "rgb": (ours(rgb), BATCH),
        "rgb, packed": (ours(rgb, packed), BATCH),
        "rgb, device crop": (ours(rgb, on_device=True), BATCH),
        **{name: (loader(*words), 1) for name, (loader, words) in loaders_of_old.items()},
        **{name: (iter(worker), BATCH) for name, worker in workers.items()},
    }
    return contenders, list(workers.values())


def measure(
    contenders: dict[str, tuple[Loader, int]], workers: list[Worker], samples: int, passes: int
) -> dict[str, float]:
    """Returns the median rate of each loader, in samples per CPU-second, over interleaved turns."""

    def seconds() -> float:
        return time.process_time() + sum(worker.seconds() for worker in workers)

    def rate(name: str) -> float:
        loader, step = contenders[name]
        return rate_of(loader, samples * (1 if name.startswith("flow") else 4) // step, step, seconds)

    return median_rates({name: partial(rate, name) for name in contenders}, passes)


def print_table(rates: dict[str, float]) -> dict[str, float]:
    """Prints rates, and expected and measured ratios; returns the measured ratios."""
    for name, rate in sorted(rates.items()):
        print(f"{name:28} {rate:8.0f} samples per CPU-second")
    print(f"\n{'ratio':28} {'expected':>9} {'measured':>9}")
    ratios = {}
    for name, expected in EXPECTED.items():
        ours, other = name.split(" / ")
        kind = ours.split(",")[0]
        if ours in rates:
            ratios[name] = rates[ours] / rates[f"{kind} {other}"]
            print(f"{name:28} {expected:9.2f} {ratios[name]:9.2f}")
    return ratios


if __name__ == "__main__":
    run(main)
