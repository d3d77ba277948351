"""Measures preparing: videos a second with one worker and with two, and what an index of many videos costs.

python benchmarks/data.py
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from commands.running import run, write_json
from data import shapes
from data.catalog import Video
from data.engine import run_jobs
from data.extract import Job, extract_video
from data.index import READY, Row, index_path, read_index, write_index
from data.recipe import Recipe
from data.video import write_video

EXPECTED_RATIO, EXPECTED_SECONDS = 1.8, 0.5
UCF101 = 13_320
ROUNDS = 2
MEMORY = "import sys, resource; from pathlib import Path; from data.index import read_index; "
MEMORY += "read_index(Path(sys.argv[1])); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints what was expected beside what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=24, help="how many to prepare (default: 24)")
    parser.add_argument("--frames", type=int, default=48, help="of each (default: 48)")
    parser.add_argument("--method", default=Recipe.method, help="of flow (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        rates = workers(Path(folder), options.videos, options.frames, options.method)
        index = {count: index_costs(Path(folder), count) for count in (100, 10_000, UCF101)}
    ratio = rates[2] / rates[1]
    print(f"videos/s: {rates[1]:.2f} with 1 worker, {rates[2]:.2f} with 2: {ratio:.2f}x (expected {EXPECTED_RATIO})")
    for count, (seconds, megabytes) in index.items():
        expected = f" (expected below {EXPECTED_SECONDS})" if count == UCF101 else ""
        print(f"index of {count:,} videos: opened in {seconds:.3f} s{expected}, process of {megabytes:.0f} MB")
    if options.json:
        write_json(options.json, {"videos_a_second": rates, "ratio": ratio, "index": index})


def workers(folder: Path, videos: int, frames: int, method: str) -> dict[int, float]:
    """Returns videos a second by the number of workers, once they run, in rounds that take turns."""
    paths = [folder / f"video{number}.avi" for number in range(videos)]
    for number, path in enumerate(paths):
        picture = next(shapes.draw(Video(f"v_x_g01_c{number:02d}", "", "", (0,), "")))
        wide = picture.repeat(3, axis=0).repeat(4, axis=1)
        # Two pixels a frame give flow something to find.
        write_video(path, (np.roll(wide, 2 * step, axis=1) for step in range(frames)), 25)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(ROUNDS):
        for count, measured in rates.items():
            out = folder / f"turn{turn}-{count}"
            jobs = [Job(path, out / path.stem, path.stem, "", Recipe(method=method)) for path in paths]
            measured.append(_rate(jobs, count))
    return {count: statistics.median(measured) for count, measured in rates.items()}


def _rate(jobs: Sequence[Job], count: int) -> float:
    """Returns videos a second from when every worker has finished one, so that their start is not in it."""
    arrivals = []
    for _, row in run_jobs(extract_video, jobs, workers=count):
        if not isinstance(row, Row) or row.state != READY:
            raise RuntimeError(f"A video was not prepared: {row}")
        arrivals.append(time.perf_counter())
    return (len(arrivals) - count) / (arrivals[-1] - arrivals[count - 1])


def index_costs(folder: Path, count: int) -> tuple[float, float]:
    """Returns the seconds that opening an index of so many videos takes, and the memory of a process that did."""
    root = folder / f"index{count}"
    rows = [
        Row(f"v_SomeClass_g{number:05d}_c01", "SomeClass", 180, 179, 341, 256, 9_000_000) for number in range(count)
    ]
    write_index(index_path(root), rows)
    started = time.perf_counter()
    read_index(index_path(root))
    seconds = time.perf_counter() - started
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(index_path(root))],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return seconds, float(done.stdout)


if __name__ == "__main__":
    run(main)
