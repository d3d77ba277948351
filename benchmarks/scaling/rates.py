"""Measures the rates that played.py needs, on made-up videos."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.scaling.played import Rates
from commands.files import PROJECT
from commands.running import quiet_tensorflow
from data.extraction.all_videos import Work, prepare
from data.extraction.decoder import read_frames, write_video
from data.extraction.one_video import Job, extract_video
from data.optical_flow.compute import flow_of_video
from data.ready import open_dataset, ready_dataset
from data.store.description import Recipe

# What is prepared and trained on.
FRAMES, BACKBONE = 40, "mobilenet"


def calibrated() -> dict[str, float]:
    """Measures the rates of one core, and of this machine as a device, on made-up videos."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "mine"
        make_videos(root, 8)
        found = _of_preparing(root)
        prepare(open_dataset("mine", root), work=Work(workers=1))
        found |= _of_training(root)
    rates = asdict(replace(Rates(), **found))
    print(json.dumps(rates, indent=2))
    return rates


def make_videos(root: Path, number: int) -> list[Path]:
    """Writes made-up videos of two classes below a root; returns their paths."""
    paths = [root / "videos" / f"class{place % 2}" / f"clip{place:02d}.avi" for place in range(number)]
    for place, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, _moving(place, FRAMES), 25)
    return paths


def _moving(seed: int, frames: int) -> Iterator[np.ndarray]:
    """Yields frames of 340 x 256 pixels in which two textures move."""
    random_numbers = np.random.default_rng(seed)
    far, near = (
        cv2.resize(random_numbers.integers(0, 256, (20, 30, 3), np.uint8), (400, 300), interpolation=cv2.INTER_CUBIC)
        for _ in range(2)
    )
    for place in range(frames):
        frame = np.roll(far, place, axis=1)[:256, :340].copy()
        frame[80:180, 100:220] = np.roll(near, -2 * place, axis=0)[:100, :120]
        yield frame


def _of_preparing(root: Path) -> dict[str, float]:
    """Returns the seconds of decoding a frame, of flow, and of writing both, in one thread that is warm."""
    first, second, *_ = sorted(root.glob("videos/*/*.avi"))
    extract_video(Job(first, root / "warm", "warm", "", Recipe()))
    began = time.process_time()
    row = extract_video(Job(second, root / "timed", "timed", "", Recipe()))
    whole = time.process_time() - began
    began = time.process_time()
    frames = list(read_frames(second))
    decode = (time.process_time() - began) / len(frames)
    began = time.process_time()
    pairs = sum(1 for _ in flow_of_video(frames))
    flow = (time.process_time() - began) / pairs
    encode = max(0.0, whole / len(frames) - decode - flow)
    return {"decode": decode, "flow": flow, "encode": encode, "stored": row.bytes / len(frames)}


def _of_training(root: Path) -> dict[str, float]:
    """Returns the seconds of reading a clip, of a clip in a step, and of scoring a video by 25 x 10 crops."""
    quiet_tensorflow()
    from pipelines.clip_stream import ClipStream
    from pipelines.inputs import Input

    dataset = ready_dataset("mine", root)
    stream = ClipStream(dataset, [*dataset.videos.values()], Input("flow", 10), 8, 224)
    batches = iter(stream.batches())
    next(batches)
    began = time.process_time()
    for _ in range(10):
        next(batches)
    read = (time.process_time() - began) / 80
    words = ["temporal/train.py", "--dataset", "mine", "--root", str(root), "--dry-run", "--batch-size", "4"]
    words += ["--crop-size", "224", "--backbone", BACKBONE, "--weights", "none", "--protocol", "paper"]
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "cost.json"
        subprocess.run([sys.executable, *words, "--json", str(answer)], cwd=PROJECT, check=True)
        cost = json.loads(answer.read_text())
    step = cost["seconds_per_step"] / 4
    return {"read": read, "step": step, "score": 250 * step / 3}
