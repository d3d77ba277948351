"""Measures videos per second with one worker and with two, and the cost of a large index and of the search for copies.

python benchmarks/data.py
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import numpy as np

from commands.files import project_on_path, write_json
from commands.running import run
from data.audit.copies import FRAMES, SIDE, Look, pairs_to_compare
from data.catalog import Video
from data.extraction.decoder import write_video
from data.extraction.one_video import Job, extract_video
from data.extraction.workers import run_jobs
from data.sets import shapes
from data.store.description import Recipe
from data.store.index import READY, Row, index_path, read_index, write_index
from data.store.one_video import COUNTS

EXPECTED_RATIO, EXPECTED_SECONDS, EXPECTED_GROWTH, EXPECTED_SEARCH = 1.8, 0.5, 1.25, 180.0
UCF101 = 13_320
FEW, MANY = 100, 10_000
TO_PREPARE = 4
ROUNDS = 2
MEMORY = "; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
OPEN = "import sys, resource; from pathlib import Path; from data.store.index import read_index; "
OPEN += "read_index(Path(sys.argv[1]))" + MEMORY
PREPARE = "import sys, resource; from data.prepare import main; main(sys.argv[1:])" + MEMORY


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, and prints the expected and the measured values."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=48, help="how many to prepare (default: 48)")
    parser.add_argument("--frames", type=int, default=48, help="of each (default: 48)")
    parser.add_argument("--method", default=Recipe.method, help="of flow (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        rates = workers(Path(folder), options.videos, options.frames, options.method)
        index = {count: index_costs(Path(folder), count) for count in (FEW, MANY, UCF101)}
        memory = {count: preparing_memory(Path(folder), count) for count in (FEW, MANY)}
    search = duplicate_search()
    ratio = rates[2] / rates[1]
    print(f"videos/s: {rates[1]:.2f} with 1 worker, {rates[2]:.2f} with 2: {ratio:.2f}x (expected {EXPECTED_RATIO})")
    for count, (seconds, megabytes) in index.items():
        expected = f" (expected below {EXPECTED_SECONDS})" if count == UCF101 else ""
        print(f"index of {count:,} videos: opened in {seconds:.3f} s{expected}, process of {megabytes:.0f} MB")
    growth = memory[MANY] / memory[FEW]
    print(
        f"preparing {TO_PREPARE} videos beside {FEW} and {MANY:,} that are indexed: peaks of {memory[FEW]:.0f} and "
        f"{memory[MANY]:.0f} MB, {growth:.2f}x (expected below {EXPECTED_GROWTH})"
    )
    print(
        f"copies among {UCF101:,} videos: searched in {search:.0f} CPU-seconds (expected below {EXPECTED_SEARCH:.0f})"
    )
    if options.json:
        found = {"videos_a_second": rates, "ratio": ratio, "index": index, "memory": memory, "search": search}
        write_json(options.json, found)


def workers(folder: Path, videos: int, frames: int, method: str) -> dict[int, float]:
    """Returns videos per second by the number of workers, without their start-up, in alternating rounds."""
    paths = [folder / f"video{number}.avi" for number in range(videos)]
    for number, path in enumerate(paths):
        write_video(path, draw_wide(number, frames), 25)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(ROUNDS):
        for count, measured in rates.items():
            out = folder / f"turn{turn}-{count}"
            jobs = [Job(path, out / path.stem, path.stem, "", Recipe(method=method)) for path in paths]
            measured.append(_rate(jobs, count))
    return {count: statistics.median(measured) for count, measured in rates.items()}


def _rate(jobs: Sequence[Job], count: int) -> float:
    """Returns videos per second after every worker has finished one, which leaves out their start-up."""
    arrivals = []
    for _, row in run_jobs(extract_video, jobs, workers=count):
        if not isinstance(row, Row) or row.state != READY:
            raise RuntimeError(f"A video was not prepared: {row}")
        arrivals.append(time.perf_counter())
    return (len(arrivals) - count) / (arrivals[-1] - arrivals[count - 1])


def index_costs(folder: Path, count: int) -> tuple[float, float]:
    """Returns the seconds that opening an index of so many videos takes, and the memory of a process that opened it."""
    root = folder / f"index{count}"
    rows = [
        Row(f"v_SomeClass_g{number:05d}_c01", "SomeClass", 180, 179, 341, 256, 9_000_000) for number in range(count)
    ]
    write_index(index_path(root), rows)
    started = time.perf_counter()
    read_index(index_path(root))
    seconds = time.perf_counter() - started
    return seconds, _printed_number(OPEN, str(index_path(root)))


def preparing_memory(folder: Path, count: int) -> float:
    """Returns the peak memory of prepare.py in megabytes, for a few videos beside many finished ones."""
    root = folder / f"memory{count}"
    names = [f"{label}{number:05d}" for number in range((count + TO_PREPARE) // 2) for label in ("left", "right")]
    lines = [f"{name}.avi,{name.rstrip('0123456789')}" for name in names]
    (root / "videos").mkdir(parents=True)
    (root / "videos" / "videos.csv").write_text("\n".join(["video,label", *lines]))
    for name in names[TO_PREPARE:]:
        done = root / "rawframes" / name.rstrip("0123456789") / name
        done.mkdir(parents=True)
        counts = {"frames": 180, "flows": 179, "width": 341, "height": 256, "bytes": 0, "remark": ""}
        (done / COUNTS).write_text(json.dumps(counts))
    for name in names[:TO_PREPARE]:
        frames = draw_wide(0, frames=4)
        write_video(root / "videos" / f"{name}.avi", frames, 25)
    words = ["made-up", "--root", str(root), "--method", "dis", "--short-side", "0", "--workers", "1"]
    return _printed_number(PREPARE, *words)


def duplicate_search() -> float:
    """Returns the processor seconds of a search for copies among pictures of noise, for as many videos as UCF-101."""
    generator = np.random.default_rng(0)
    whole = slice(None), slice(None)
    looks = [
        Look(Video(str(number), "", "", (0,), str(number)), np.arange(FRAMES), whole, pictures)
        for number, pictures in enumerate(generator.integers(0, 256, (UCF101, FRAMES, SIDE, SIDE), np.uint8))
    ]
    looks[-1] = dataclasses.replace(looks[-1], pictures=looks[7].pictures[:, :, ::-1])  # One mirrored copy.
    started = time.process_time()
    found = pairs_to_compare(looks)
    if found != [(7, UCF101 - 1)]:
        raise RuntimeError(f"One copy was hidden; found were {found}.")
    return time.process_time() - started


def draw_wide(number: int, frames: int) -> Iterator[np.ndarray]:
    """Yields a picture that moves two pixels per frame, so that there is flow to compute."""
    picture = next(shapes.draw(Video(f"v_x_g01_c{number:02d}", "", "", (0,), "")))
    wide = picture.repeat(3, axis=0).repeat(4, axis=1)
    return (np.roll(wide, 2 * step, axis=1) for step in range(frames))


def _printed_number(code: str, *words: str) -> float:
    """Runs Python code in a separate process and returns the last number that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=project_on_path(), capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    run(main)
