"""Measures how a training starts with very many videos: time and memory until its first batch, and looking up a video.

python benchmarks/pipelines/index.py --videos 650000
python benchmarks/pipelines/index.py --videos 100000000 --folder FOLDER

Names, counts and groups are made up; the files of all videos are the same few, so that batches are really read. The
list is divided, hashed and drawn from as in a training. --csv measures index.csv and a list instead.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import cv2
import numpy as np

from commands.files import write_json
from commands.running import quiet_tensorflow, run
from data.catalog import layout_path
from data.ready import ready_dataset
from data.sets.folders import kept_list
from data.sets.lists import training_lists
from data.store.columns import PART_ROWS, Column, Ragged
from data.store.description import Recipe
from data.store.index import Row, index_path, write_index
from data.store.mapped_writer import MappedWriter

Asked = TypeVar("Asked")
EXPECTED = {650_000: "below 2 s and 200 MB more", 100_000_000: "below 60 s and 2,000 MB in all"}
LOOKS = 5  # Rounds of looking up a thousand videos each, whose median counts.
CLASSES, FRAMES, BATCH_SIZE, CROP_SIZE, WIDTH, HEIGHT = 400, 32, 64, 32, 48, 40
# Every video has the same files, since a hundred million folders would be another benchmark.
SHARED = {
    "name": "shared",
    "frame": "all/img_{number}.jpg",
    "flow_x": "all/x_{number}.jpg",
    "flow_y": "all/y_{number}.jpg",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Makes the index of so many videos, and starts a training's pipeline on it in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=13_320, metavar="N", help="(default: 13320, as UCF-101)")
    parser.add_argument("--csv", action="store_true", help="a list and index.csv instead of a table")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="where the index is made, and kept")
    parser.add_argument("--measure", type=Path, metavar="ROOT", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    options = parser.parse_args(argv)
    if options.measure:
        write_json(options.json, measure(options.measure))
        return
    with tempfile.TemporaryDirectory() as scratch:
        root, answer = options.folder or Path(scratch) / "many", Path(scratch) / "answer.json"
        began = time.perf_counter()
        if not (root / "flow.json").exists():
            make_dataset(root, options.videos, as_csv=options.csv)
        made = time.perf_counter() - began
        command = [sys.executable, __file__, "--measure", str(root), "--json", str(answer)]
        subprocess.run(command, check=True)
        found = json.loads(answer.read_text()) | {"made": made}
    print(f"{found['videos']:,} videos, whose index takes {found['disk']:,.0f} MB and was made in {made:.1f} s:")
    print(f"first batch after {found['seconds']:.2f} s ({found['processor']:.2f} of the processor),")
    print(f"{found['added']:,.0f} MB more than TensorFlow alone, {found['peak']:,.0f} MB at most in all")
    print(f"(expected: {EXPECTED.get(options.videos, 'unknown')});")
    print(f"a video by its place {found['place']:.1f} µs, by its name {found['name']:.1f} µs (expected: below 50).")
    if options.json:
        write_json(options.json, found)


def make_dataset(root: Path, number: int, *, as_csv: bool) -> None:
    """Writes an index of made-up videos, and the few files that they share."""
    (root / "all").mkdir(parents=True)
    picture = np.random.default_rng(0).integers(90, 166, (HEIGHT, WIDTH), np.uint8)
    for pattern in (SHARED["frame"], SHARED["flow_x"], SHARED["flow_y"]):
        for place in range(1, FRAMES + 1):
            cv2.imwrite(str(root / pattern.format(number=f"{place:05d}")), picture)
    write_json(layout_path(root), SHARED)
    (_make_csv if as_csv else _make_table)(root, number)
    Recipe().keep(root)


def _make_csv(root: Path, number: int) -> None:
    lines = ["video,label,group,split"]
    rows = []
    for place in range(number):
        folder, name = f"class{place % CLASSES:03d}", f"clip_{place:09d}"
        lines.append(
            f"{folder}/{name}.mp4,{folder},g{place // (3 * CLASSES)}_{folder},{'test' if place % 10 == 0 else 'train'}"
        )
        rows.append(Row(name, folder, FRAMES - place % 9, FRAMES - 1 - place % 9, WIDTH, HEIGHT, 10_000))
    kept_list(root).parent.mkdir()
    kept_list(root).write_text("\n".join(lines))
    write_index(index_path(root), rows)


def _make_table(root: Path, number: int) -> None:
    writer = MappedWriter(root)
    for first in range(0, number, PART_ROWS):
        writer.add(_part(np.arange(first, min(number, first + PART_ROWS))))
    places = np.arange(number, dtype=np.uint32)
    splits = {"split1.train": places[places % 10 > 0], "split1.test": places[places % 10 == 0]}
    classes = [f"class{place:03d}" for place in range(CLASSES)]
    about = {"classes": classes, "multi_label": False, "short_side": 256, "splits": [1]}
    writer.close(about, splits, folders=classes, extensions=[".mp4"])


def _part(places: np.ndarray) -> dict[str, Column]:
    label = (places % CLASSES).astype(np.int32)
    frames = (FRAMES - places % 9).astype(np.int32)
    return {
        "video": _texts(b"clip_000000000", places),
        "group": _texts(b"group_000000000", places // (3 * CLASSES) * CLASSES + label),
        "folder": label,
        "label": label,
        "frames": frames,
        "flows": frames - 1,
        "width": np.full(len(places), WIDTH, np.int32),
        "height": np.full(len(places), HEIGHT, np.int32),
        "bytes": np.full(len(places), 10_000, np.int64),
    }


def _texts(pattern: bytes, numbers: np.ndarray) -> Ragged:
    """Returns texts that end in nine digits of a number."""
    values = np.tile(np.frombuffer(pattern, np.uint8), (len(numbers), 1))
    for digit in range(9):
        values[:, -1 - digit] += (numbers // 10**digit % 10).astype(np.uint8)
    return Ragged(values.ravel(), np.arange(1, len(numbers) + 1, dtype=np.int64) * len(pattern))


def measure(root: Path) -> dict[str, float]:
    """Returns seconds and megabytes until the first batch of a training, and the microseconds to look a video up."""
    quiet_tensorflow()
    import tensorflow as tf

    from pipelines.clip_stream import ClipStream
    from pipelines.inputs import Input
    from streams.command import hash_of_data

    next(iter(tf.data.Dataset.range(4).map(lambda place: place + 1)))  # TensorFlow alone, at work.
    before, start, processor = _megabytes("VmRSS"), time.perf_counter(), time.process_time()
    dataset = ready_dataset("many", root)
    training, validation = training_lists(dataset, 1, "validation", 0.1, 0)
    clip = Input("flow", 10)
    hash_of_data(clip, (dataset, (training, validation)))
    stream = ClipStream(dataset, training, clip, BATCH_SIZE, CROP_SIZE, held_out=validation)
    held_out = stream.validation()
    next(iter(stream.batches()))
    found = {"seconds": time.perf_counter() - start, "processor": time.process_time() - processor}
    assert held_out is not None
    found |= {"added": _megabytes("VmRSS") - before, "peak": _megabytes("VmHWM"), "videos": len(dataset.videos)}
    # The first look at a part of the table opens its files.
    warm, *rounds = np.random.default_rng(0).integers(len(training), size=(1 + LOOKS, 1000)).tolist()
    found["first_look"] = _microseconds(training.__getitem__, warm)
    found["place"] = statistics.median(_microseconds(training.__getitem__, places) for places in rounds)
    names = [[training[place].name for place in places] for places in rounds]
    found["name"] = statistics.median(_microseconds(dataset.videos.__getitem__, some) for some in names)
    files = [
        path for path in (*root.glob("index/**/*"), *root.glob("*.csv"), *root.glob("annotations/*")) if path.is_file()
    ]
    return found | {"disk": sum(path.stat().st_size for path in files) / 2**20}


def _microseconds(look: Callable[[Asked], object], asked: Sequence[Asked]) -> float:
    """Returns the processor time of looking one of these up, without that of TensorFlow's threads."""
    began = time.thread_time()
    for each in asked:
        look(each)
    return 1e6 * (time.thread_time() - began) / len(asked)


def _megabytes(name: str) -> float:
    """Returns the present or the highest memory of this process in megabytes, mapped files included."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


if __name__ == "__main__":
    run(main)
