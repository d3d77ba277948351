"""Compares the memory that training takes with the estimate before its first step.

python benchmarks/training/memory.py

Each network trains and validates for two epochs of three steps in a separate process, on synthetic frames that are read
from disk as in any training. It measures how much the process grows from the import of TensorFlow to its peak, and how
much a larger batch adds.
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import cv2
import numpy as np

from commands.files import write_json
from commands.running import quiet_tensorflow, run
from data.catalog import DataSet, Video
from pipelines.inputs import Input

# Backbone, side of the square, and two batches of which the difference shows what a clip takes.
CASES = (("small", 64, 64, 256), ("mobilenet_v2", 96, 16, 48), ("resnet50", 96, 16, 48))
CLASSES = 9
MEGABYTE = 2**20


def main(argv: Sequence[str] | None = None) -> None:
    """Measures each case and prints the estimate beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs=3, metavar=("NETWORK", "SIDE", "BATCH"), help="one alone, as JSON")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    options = parser.parse_args(argv)
    if options.case:
        backbone, side, batch = options.case
        print(json.dumps(measure(backbone, int(side), int(batch))))
        return
    rows = []
    print(f"{'megabytes':24}{'estimated':>12}{'took':>10}{'share':>8}")
    for backbone, side, *batches in CASES:
        found = [_apart(backbone, side, batch) for batch in batches]
        for batch, each in zip(batches, found, strict=True):
            rows.append(_row(f"{backbone} {side}, {batch} clips", each["estimated"], each["took"]))
        clips = batches[1] - batches[0]
        each = {name: (found[1][name] - found[0][name]) / clips for name in found[0]}
        rows.append(_row(f"{backbone} {side}, a clip more", each["estimated"], each["took"]))
    if options.json:
        write_json(options.json, rows)


def measure(backbone: str, side: int, batch: int) -> dict[str, float]:
    """Returns the estimated megabytes, and the megabytes by which this process grew."""
    quiet_tensorflow()
    import keras

    from benchmarks.training.trainings import ChangedClips
    from spatial.train import SpatialConfig
    from streams.networks.build import build_network
    from streams.networks.preprocessing import Pixels
    from streams.runs.model_file import ModelCard
    from streams.runs.run_folder import Run
    from streams.training.devices import strategy_for
    from streams.training.first_batch import estimate_memory
    from streams.training.fit import Learner, building, train
    from streams.training.stage import clips_of

    config = SpatialConfig(batch_size=batch, crop_size=side, epochs=2, deterministic=False)
    strategy, clip = strategy_for(config), Input("rgb")
    card = ModelCard("spatial", "rgb", 1, tuple(map(str, range(CLASSES))), "made", 1, "validation")
    watched: dict[str, float] = {}

    class Watch(keras.callbacks.Callback):
        """Records the estimate."""

        def on_train_begin(self, logs: Any = None) -> None:
            """Estimates as the training does."""
            fixed, per_clip = estimate_memory(self.model, config, clips.validation())
            watched["estimated"] = (fixed + per_clip * batch) / MEGABYTE

    with tempfile.TemporaryDirectory() as folder:
        dataset = _made_frames(Path(folder))
        videos = tuple(dataset.videos.values())
        clips = ChangedClips(clips_of(config, dataset, clip, videos, videos[:20]), steps_per_epoch=3)
        before, run = _resident(), Run(Path(folder) / "run")
        with contextlib.redirect_stdout(io.StringIO()):
            with building(config, strategy):
                network = build_network(backbone, Pixels("rgb", 3, side), CLASSES)
            train(Learner(network, card), clips, config, run, Watch())
    return {"estimated": watched["estimated"], "took": _peak() - before}


def _made_frames(root: Path) -> DataSet:
    """Returns a data set of grey videos of six frames."""
    videos = {
        name: Video(name, "", "", (number % CLASSES,), name, 6) for number, name in enumerate(map(str, range(40)))
    }
    dataset = DataSet("made", root, tuple(map(str, range(CLASSES))), videos, {})
    for number, video in enumerate(videos.values()):
        for index in range(video.num_frames):
            path = dataset.layout.frame_path(root, video, index)
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((128, 160, 3), 2 * number + 9 * index, np.uint8))
    return dataset


def _apart(backbone: str, side: int, batch: int) -> dict[str, float]:
    words = [sys.executable, __file__, "--case", backbone, str(side), str(batch)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ})
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _row(name: str, estimated: float, took: float) -> dict[str, Any]:
    print(f"{name:24}{estimated:12.1f}{took:10.1f}{estimated / took:8.2f}", flush=True)
    return {"what": name, "estimated": estimated, "took": took}


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def _peak() -> float:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    run(main)
