"""Measures how long a pipeline of many made-up videos takes to start, and the memory that it needs.

python benchmarks/pipelines_start.py --videos 13320
"""

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.running import quiet_tensorflow, run
from data.catalog import DataSet, Video

EXPECTED = {13_320: "2 s", 650_000: "20 s, 1.5 GB"}


def main(argv: Sequence[str] | None = None) -> None:
    """Builds the pipeline and asks for what one epoch of it reads, without reading it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=13_320, help="(default: 13320, as UCF-101)")
    options = parser.parse_args(argv)
    quiet_tensorflow()
    import tensorflow as tf

    from pipelines.clips import plan_batch
    from pipelines.drawing import Drawing, draw_rows
    from pipelines.inputs import Input
    from pipelines.source import Source

    classes = tuple(f"Action{number:03d}" for number in range(101))
    videos = [_video(number, classes) for number in range(options.videos)]
    dataset = DataSet("made", Path("/data/made"), classes, {}, {})
    base, start = _megabytes(), time.process_time()
    source, drawing = Source(dataset, videos, Input("flow", 10)), Drawing("corners")
    draw = draw_rows(videos, 256, 0, drawing)
    steps = tf.data.Dataset.range(options.videos // 256 + 1)
    plans = steps.map(lambda step: plan_batch(source, draw, step, 256, 0, drawing))
    seen = sum(len(plan["label"]) for plan in plans.take(1))
    first, memory = time.process_time() - start, _megabytes()
    seen = sum(len(plan["label"]) for plan in plans)
    expected = EXPECTED.get(options.videos, "unknown")
    print(f"{options.videos:,} videos: first batch named after {first:.2f} CPU-seconds (expected: {expected});")
    print(f"{memory - base:.0f} MB for the pipeline, {memory:.0f} MB in all;")
    print(f"{_megabytes() - memory:.0f} MB more after an epoch of {seen:,} clips.")


def _video(number: int, classes: Sequence[str]) -> Video:
    label = number % len(classes)
    return Video(f"v_{classes[label]}_{number:06d}", classes[label], ".avi", (label,), "", 186, 185)


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    run(main)
