"""Measures the start-up time and memory of a pipeline with many videos, including reading their list and index.

python benchmarks/pipelines/start.py --counts ucf101_frame_count.tsv
python benchmarks/pipelines/start.py --videos 650000 --steps 100

The videos have a list, an index and folders, which are all links to one folder of small frames and flow. Batches are
decoded and cropped as in a training. Each line of `--counts` is a name and a number of frames.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import cv2
import numpy as np

from commands.files import write_json
from commands.running import quiet_tensorflow, run
from data.catalog import OURS
from data.ready import ready_dataset
from data.sets.folders import kept_list
from data.store.description import Recipe
from data.store.index import Row, index_path, write_index

EXPECTED = {13_320: "below 2", 650_000: "below 20, and below 1,500 MB in all"}
BATCH_SIZE, CROP_SIZE, WIDTH, HEIGHT = 64, 32, 48, 40


def main(argv: Sequence[str] | None = None) -> None:
    """Makes the files of so many videos, starts a training's pipeline on them and takes its steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=13_320, metavar="N", help="(default: 13320, as UCF-101)")
    parser.add_argument("--counts", type=Path, metavar="FILE", help="their names and frames, instead of made-up ones")
    parser.add_argument("--steps", type=int, metavar="N", help="of 64 clips (default: an epoch)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    options = parser.parse_args(argv)
    counts = dict(_read_counts(options.counts) if options.counts else _made_up_counts(options.videos))
    # Whatever the videos, a process's first pipeline waits for parts of TensorFlow: one of few videos shows how long.
    found = {"of_few_videos": measured(dict(_made_up_counts(BATCH_SIZE)), 1)["start"]}
    found |= measured(counts, options.steps or len(counts) // BATCH_SIZE)
    expected = EXPECTED.get(len(counts), "unknown")
    print(f"{found['videos']:,} videos: the first batch came after {found['start']:.2f} CPU s (expected: {expected}),")
    print(
        f"{found['listed']:.2f} for list and index; that of a first pipeline of few after {found['of_few_videos']:.2f};"
    )
    print(f"{found['added']:.0f} MB for the pipeline, {found['memory']:.0f} MB in all with TensorFlow;")
    print(f"{found['grown']:.0f} MB more after {found['steps']:,} steps (expected: 0).")
    if options.json:
        write_json(options.json, found)


def make_dataset(root: Path, counts: dict[str, int]) -> None:
    """Writes the list, the index and the description of videos of so many frames, and links for their files."""
    longest = max(counts.values())
    frames = root / "all"
    frames.mkdir()
    picture = np.random.default_rng(0).integers(90, 166, (HEIGHT, WIDTH), np.uint8)
    cv2.imwrite(str(frames / "one.jpg"), picture)
    for pattern in (OURS.frame, OURS.flow_x, OURS.flow_y):
        name = pattern.rsplit("/", 1)[1]
        for number in range(1, longest + 1):
            (frames / name.format(number=f"{number:05d}")).symlink_to("one.jpg")
    folder_of = {name: name.split("_")[1] for name in counts}
    for folder in set(folder_of.values()):
        (root / "rawframes" / folder).mkdir(parents=True)
    for name, folder in folder_of.items():
        (root / "rawframes" / folder / name).symlink_to(frames)
    lines = [f"{folder}/{name}.avi,{folder},{name},train" for name, folder in folder_of.items()]
    kept_list(root).parent.mkdir()
    kept_list(root).write_text("\n".join(["video,label,group,split", *lines]))
    rows = (Row(name, folder_of[name], count, count - 1, WIDTH, HEIGHT) for name, count in counts.items())
    write_index(index_path(root), rows)
    Recipe().keep(root)


def measured(counts: dict[str, int], steps: int) -> dict[str, float]:
    """Returns the CPU-seconds to the first batch, and the megabytes then and after so many steps."""
    with tempfile.TemporaryDirectory() as folder:
        make_dataset(Path(folder), counts)
        return _measure(Path(folder), steps)


def _measure(root: Path, steps: int) -> dict[str, float]:
    quiet_tensorflow()
    from pipelines.clip_stream import ClipStream
    from pipelines.inputs import Input

    before, start = _megabytes(), time.process_time()
    dataset = ready_dataset(root.name, root)
    videos, listed = dataset.part(1, "train"), time.process_time() - start
    stream = ClipStream(dataset, videos, Input("flow", 10), BATCH_SIZE, CROP_SIZE, augment="corners")
    batches = iter(stream.batches())
    next(batches)
    found = {"videos": len(videos), "listed": listed, "start": time.process_time() - start}
    # What threads and buffers take in the first steps doesn't come again.
    for _ in range(steps // 10):
        next(batches)
    memory = _megabytes()
    for _ in range(steps):
        next(batches)
    return {**found, "memory": memory, "added": memory - before, "steps": steps, "grown": _megabytes() - memory}


def _read_counts(path: Path) -> Iterator[tuple[str, int]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        name, count = line.split("\t")
        yield Path(name).stem, int(count)


def _made_up_counts(number: int) -> Iterator[tuple[str, int]]:
    """Yields names in 101 classes and counts from 29 on, most below 200, as those of UCF-101."""
    random = np.random.default_rng(0)
    for place, count in enumerate((29 + random.gamma(2.0, 79.0, number)).astype(int)):
        yield f"v_Action{place % 101:03d}_{place:06d}", int(count)


def _megabytes() -> float:
    """Returns the current memory of this process in megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    run(main)
