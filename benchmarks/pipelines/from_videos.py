"""Measures clips per CPU-second straight from videos against stored JPEG, by codec, key-frame interval and flow preset.

python benchmarks/pipelines/from_videos.py --videos FOLDER

The videos of FOLDER are encoded again at 320x240, in H.264 and in MPEG-4 Part 2, with several intervals between key
frames; without it, videos are made up. Stored frames and flow of the same pixels are read by the same pipeline. All
take turns; the time of the worker processes counts.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, cast

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import av
import numpy as np
import psutil

from benchmarks.pipelines.made_data import texture
from benchmarks.pipelines.turns import median_rates, rate_of
from commands.files import write_json
from commands.running import quiet_tensorflow, run
from data.catalog import DataSet
from data.extraction.decoder import read_frames, resized
from data.extraction.one_video import Job, extract_video
from data.extraction.video_files import is_video, source_of_video, walk_files
from data.ready import open_dataset, ready_dataset
from data.store.description import INDEX, Recipe
from data.store.index import index_path, write_index
from data.store.whole_folder import begin_indexing

WIDTH, HEIGHT = 320, 240
CROP, BATCH, LENGTH = 112, 8, 5
# Options of each codec that don't depend on the interval between key frames, its container, and its bits a second.
CODECS = {"h264": ("libx264", "mp4", 0), "mpeg4": ("mpeg4", "avi", 800_000)}
INTERVALS = (12, 50, 250)
FLOWS = {"dis fast": ("dis", "fast"), "tvl1 fast": ("tvl1", "fast"), "tvl1 balanced": ("tvl1", "balanced")}
# The table of epochs is about UCF-101, all of whose videos are prepared, and those of a training list read.
PREPARED_BY = "tvl1 fast"
UCF101_FRAMES, UCF101_TRAINING = 2_469_975, 9_537
EPOCHS = (1, 10, 40, 100, 300)
# What is wanted: frames against stored ones with a key frame every 12 frames, and flow stacks a second and core.
EXPECTED = {"rgb, h264 12 / stored": 0.7, "rgb, mpeg4 12 / stored": 0.7, "flow, tvl1 fast": 25.0}


class Cost(NamedTuple):
    """What preparing takes, a frame: processor time, and blocks of the disk."""

    seconds: float
    bytes: float


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark and prints expected and measured values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, metavar="FOLDER", help="encode these (default: made-up ones)")
    parser.add_argument("--count", type=int, default=16, help="how many videos")
    parser.add_argument("--frames", type=int, default=186, help="frames of each at most; UCF-101 has 186 on average")
    parser.add_argument("--turns", type=int, default=5, help="how many turns each kind of clips has")
    parser.add_argument("--steps", type=int, default=12, help="batches of frames in a turn; of flow a quarter")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    options = parser.parse_args(argv)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    quiet_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        films = list(_films(options.videos, options.count, options.frames))
        contenders, costs = _contenders(Path(folder), films)
        rates = measure(contenders, options.steps, options.turns)
    for name, rate in rates.items():
        kind = name.partition(",")[0]
        print(f"{name:24} {rate:8.1f} clips per CPU-second, {rate / rates[f'{kind}, stored']:.2f} of stored")
    ratios = {}
    for name, expected in EXPECTED.items():
        ours, _, other = name.partition(" / ")
        ratios[name] = rates[ours] / (rates["rgb, stored"] if other else 1.0)
        print(f"{name:24} expected {expected:6.2f}, measured {ratios[name]:6.2f}")
    print_epochs(rates, costs)
    if options.json:
        write_json(options.json, {"clips per CPU-second": rates, "ratios": ratios, "a frame": costs})


def print_epochs(rates: Mapping[str, float], costs: Mapping[str, Cost]) -> None:
    """Prints what so many epochs of flow stacks of UCF-101 take of the disk and of processor time, both ways."""
    stored, index = costs["stored"], costs["index"]
    for name, cost in costs.items():
        print(f"{name}: {1000 * cost.seconds:.2f} ms and {cost.bytes / 1000:.1f} kB a frame")
    print(f"\nUCF-101, stacks of {LENGTH} fields by {PREPARED_BY}: the disk, and core-hours to prepare and to read")
    print(f"{'epochs':>8} {'stored':>16} {'from videos':>16}")
    for epochs in EPOCHS:
        both = [
            (cost.bytes * UCF101_FRAMES / 1e9, (cost.seconds * UCF101_FRAMES + epochs * UCF101_TRAINING / rate) / 3600)
            for cost, rate in ((stored, rates["flow, stored"]), (index, rates[f"flow, {PREPARED_BY}"]))
        ]
        print(f"{epochs:8} " + " ".join(f"{disk:6.1f} GB {hours:5.1f} h" for disk, hours in both))


def _contenders(
    folder: Path, films: Sequence[Sequence[np.ndarray]]
) -> tuple[dict[str, Iterator[object]], dict[str, Cost]]:
    """Returns the batches of each kind of clips, from stored files and straight from videos, and what these cost."""
    from pipelines.clip_stream import ClipStream
    from pipelines.inputs import Input

    def batches(dataset: DataSet, clip: Input) -> Iterator[object]:
        # The same videos again and again, as if there were many: their order is drawn in no time.
        videos = list(dataset.videos.values()) * 100
        return iter(ClipStream(dataset, videos, clip, BATCH, CROP).batches())

    rgb, flow = Input("rgb"), Input("flow", LENGTH)
    root = _encoded(folder / "stored", films, "h264", INTERVALS[0])
    method, preset = FLOWS[PREPARED_BY]
    stored, cost = _prepared(root, Recipe(method=method, preset=preset))
    found, costs = {"rgb, stored": batches(stored, rgb)}, {"stored": cost}
    for codec in CODECS:
        for interval in INTERVALS:
            root = _encoded(folder / f"{codec}{interval}", films, codec, interval)
            indexed, costs["index"] = _prepared(root, Recipe(only=INDEX, jpeg_quality=None))
            found[f"rgb, {codec} {interval}"] = batches(indexed, rgb)
    found["flow, stored"] = batches(stored, flow)
    for name, (method, preset) in FLOWS.items():
        root = _encoded(folder / name, films, "h264", INTERVALS[0])
        indexed, _ = _prepared(root, Recipe(method=method, preset=preset, only=INDEX, jpeg_quality=None))
        found[f"flow, {name}"] = batches(indexed, flow)
    return found, costs


def measure(contenders: dict[str, Iterator[object]], steps: int, turns: int) -> dict[str, float]:
    """Returns the median rate of each kind of clips, in clips per CPU-second, over interleaved turns."""

    def rate(name: str) -> float:
        count = steps if name.startswith("rgb") or "stored" in name else max(1, steps // 4)
        # Times of other processes come in hundredths of a second.
        return rate_of(contenders[name], count, BATCH, _seconds, tick=0.011)

    return median_rates({name: partial(rate, name) for name in contenders}, turns)


def _films(folder: Path | None, count: int, frames: int) -> Iterator[list[np.ndarray]]:
    """Yields the frames of real or of made-up videos."""
    if folder is not None:
        paths = [path for path in walk_files(folder) if is_video(path)]
        for path in paths[:: max(1, len(paths) // count)][:count]:
            yield [resized(frame, size=(WIDTH, HEIGHT)) for frame in islice(read_frames(path), frames)]
        return
    for number in range(count):
        generator = np.random.default_rng(number)
        scene = 120 + 50 * texture(generator, 1.7, 1) + 10 * texture(generator, 1.8, 3)
        places = (32 + 30 * np.sin(np.arange(frames)[:, None] / (9, 14))).astype(int)
        cuts = (scene[top : top + HEIGHT, left : left + WIDTH] for top, left in places)
        yield [np.clip(cut, 0, 255).astype(np.uint8) for cut in cuts]


def _encoded(root: Path, films: Sequence[Sequence[np.ndarray]], codec: str, interval: int) -> Path:
    """Writes a folder of videos, of two classes."""
    name, suffix, bits = CODECS[codec]
    for number, film in enumerate(films):
        path = root / "videos" / f"class{number % 2}" / f"v{number}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            options = {"g": str(interval), "sc_threshold": "0"}
            stream = cast(av.VideoStream, container.add_stream(name, rate=25, options=options))
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            if bits:
                stream.bit_rate = bits
            for frame in film:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
            container.mux(stream.encode(None))
    return root


def _prepared(root: Path, recipe: Recipe) -> tuple[DataSet, Cost]:
    # In this process, since all that matters is what is made of it.
    dataset = open_dataset("made", root)
    if recipe.only == INDEX:
        begin_indexing(root)
    recipe.keep(root)
    start = time.process_time()
    rows = [
        extract_video(Job(source_of_video(dataset, each), dataset.frame_folder(each), each.name, each.folder, recipe))
        for each in dataset.videos.values()
    ]
    seconds, frames = time.process_time() - start, sum(row.frames for row in rows)
    write_index(index_path(root), rows)
    taken = 512 * sum(path.stat().st_blocks for path in (root / "rawframes").rglob("*"))
    return ready_dataset("made", root), Cost(seconds / frames, taken / frames)


def _seconds() -> float:
    """Returns the processor time of this process and of its workers."""
    children = (child.cpu_times() for child in psutil.Process().children(recursive=True))
    return time.process_time() + sum(times.user + times.system for times in children)


if __name__ == "__main__":
    run(main)
