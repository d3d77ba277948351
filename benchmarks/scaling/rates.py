"""Measures the rates that played.py needs, and sets a real preparation beside a played one."""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.scaling.played import Fleet, Rates, shared_out
from commands.files import PROJECT
from commands.running import quiet_tensorflow
from data.extraction.all_videos import Work, prepare
from data.extraction.decoder import read_frames, write_video
from data.extraction.one_video import Job, extract_video
from data.extraction.workers import run_jobs
from data.optical_flow.compute import flow_of_video
from data.ready import open_dataset, ready_dataset
from data.store.description import Recipe

# What is prepared and trained on.
FRAMES, BACKBONE = 40, "mobilenet"


def calibrated() -> dict[str, float]:
    """Measures the rates of one core, and of this machine as a device, on made-up videos."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "mine"
        _make_videos(root, 8)
        found = _of_preparing(root)
        prepare(open_dataset("mine", root), work=Work(workers=1))
        found |= _of_training(root)
    rates = asdict(replace(Rates(), **found))
    print(json.dumps(rates, indent=2))
    return rates


def _make_videos(root: Path, number: int) -> list[Path]:
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


def validated(workers: Sequence[int] = (1, 2), number: int = 12, rounds: int = 3) -> dict[str, float]:
    """Returns, by the number of processes, played / real seconds of a preparation. The rates are those of other videos.

    Both are processor seconds of the busiest process. Each round measures the rates anew, with as many processes at
    work: cores that share a cache or a clock slow each other, and so does other work for a while. The median counts.
    """
    rows: list[dict[int, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = _make_videos(root, number + 3 * max(workers))
        jobs = [Job(path, root / path.stem, path.stem, "", Recipe()) for path in paths]
        list(run_jobs(extract_timed, jobs[:1]))  # Compiles the kernels.
        for place in range(rounds):
            again = [replace(job, folder=root / f"{job.name}-{place}") for job in jobs]
            rows.append({count: _played_over_real(again, count, number) for count in workers})
    found = {str(count): statistics.median(row[count] for row in rows) for count in workers}
    for count, ratio in found.items():
        print(f"{count} workers: played / real is {ratio:.2f}, the median of {rounds} rounds (goal: within 15 %)")
    return found


def _played_over_real(jobs: Sequence[Job], workers: int, number: int) -> float:
    """Plays the first `number` jobs by the rates of three of the others per worker, then prepares them."""
    own = [replace(job, folder=job.folder.with_name(f"{job.folder.name}-{workers}")) for job in jobs]
    rated = _processor_seconds(own[number : number + 3 * workers], workers)
    seconds = statistics.mean((times[-1] - times[0]) / (len(times) - 1) for times in rated if len(times) > 1)
    rates = Rates(start=statistics.mean(times[0] for times in rated) - seconds)
    real = max(times[-1] for times in _processor_seconds(own[:number], workers))
    fleet = Fleet(1, workers, hours_between_deaths=1e9)
    played = shared_out("prepare", number, seconds, 0.0, fleet, rates, random.Random(0)).hours * 3600
    print(f"{workers} workers: played {played:.2f} s, real {real:.2f} s, of the busiest process")
    return played / real


def _processor_seconds(jobs: Sequence[Job], workers: int) -> list[list[float]]:
    """Returns, per process, its processor seconds since its start at the end of each of its videos."""
    ended: dict[int, list[float]] = {}
    for _, outcome in run_jobs(extract_timed, jobs, workers=workers):
        if isinstance(outcome, Exception):
            raise outcome
        process, seconds = outcome
        ended.setdefault(process, []).append(seconds)
    return [sorted(times) for times in ended.values()]


def extract_timed(job: Job, show_life: Callable[[], None]) -> tuple[int, float]:
    """Prepares a video; returns the process that did, and its processor seconds since it was started."""
    extract_video(job, show_life)
    return os.getpid(), time.process_time()
