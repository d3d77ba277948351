"""Sets real preparing, training and scoring by a few processes of this machine beside what is played for them.

All seconds are processor seconds of the busiest process, since other work may share the cores. The rates are those of
other videos, batches or lists, by as many processes: cores that share a cache or a clock slow each other.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.processes import free_ports
from benchmarks.scaling.one_host import PARTS, STEPS
from benchmarks.scaling.played import Data, Fleet, Rates, in_step, shared_out
from benchmarks.scaling.rates import make_videos
from commands.files import PROJECT
from data.catalog import DataSet
from data.extraction.all_videos import Work, prepare
from data.extraction.one_video import Job, extract_video
from data.extraction.workers import run_jobs
from data.ready import open_dataset, ready_dataset
from data.store.description import Recipe
from fusion.scores.protocol import Scoring
from fusion.scores.shared_out import Block, score_block
from streams.runs.model_file import file_hash

Task = TypeVar("Task")
Timed = tuple[int, float]  # A process, and its processor seconds since it was started.

# The jobs that are played and then done, and those of each worker that give the rates.
_NUMBER, _RATED = 12, 6
_VIEWS, _VIDEOS_OF_A_BLOCK = 10, 4
_FIRST_STEPS = 6  # They compile, and fill buffers.


def validated(workers: Sequence[int] = (1, 2), rounds: int = 3) -> dict[str, dict[str, float]]:
    """Returns played / real seconds of each stage, by the number of processes: the median of some rounds."""
    with tempfile.TemporaryDirectory() as folder:
        stages = _Stages(Path(folder), _NUMBER + _RATED * max(workers))
        each = {"prepare": stages.prepare, "train": stages.train, "score": stages.score}
        rows = [
            {(name, count): ratio_of(count) for name, ratio_of in each.items() for count in workers}
            for _ in range(rounds)
        ]
    found = {
        name: {str(count): statistics.median(row[name, count] for row in rows) for count in workers} for name in each
    }
    for name, ratios in found.items():
        for count, ratio in ratios.items():
            print(f"{name}, {count} workers: played / real is {ratio:.2f}, the median of {rounds} rounds (goal: ±15 %)")
    return found


class _Stages:
    """Real runs of each stage, and what is played for them."""

    def __init__(self, root: Path, number: int) -> None:
        self.root, self.paths = root, make_videos(root, number)
        prepare(open_dataset("mine", root), work=Work(workers=1))  # This also compiles the kernels.
        self.dataset, self.model = ready_dataset("mine", root), root / "model.keras"

    def prepare(self, workers: int) -> float:
        """Returns played / real seconds of preparing some videos."""
        place = Path(tempfile.mkdtemp(dir=self.root))
        jobs = [Job(path, place / path.stem, path.stem, "", Recipe()) for path in self.paths]
        return _from_a_queue("prepare", extract_timed, jobs, workers)

    def train(self, workers: int) -> float:
        """Returns played / real seconds of the steps of a training, and keeps its model for scoring."""
        places = [Path(tempfile.mkdtemp(dir=self.root)) for _ in range(workers)]
        hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports(workers)) if workers > 1 else ""
        script = [sys.executable, str(PROJECT / "benchmarks" / "scaling" / "one_host.py"), str(self.root)]
        commands = [[*script, str(place), "--hosts", hosts, "--host-index", str(n)] for n, place in enumerate(places)]
        running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
        if sum(abs(process.wait()) for process in running):
            raise RuntimeError("A training that was to be timed has failed; it says above why.")
        (places[0] / "run" / "model.keras").replace(self.model)
        each = [json.loads((place / "steps.json").read_text()) for place in places]
        few, many, real = (max(_seconds(steps[str(part)]) for steps in each) for part in PARTS)
        # Here one processor is the device and reads the clips as well. What does not grow with them counts as the sum
        # of gradients.
        clip = (many - few) / (PARTS[1] - PARTS[0])
        fleet = Fleet(workers, 1, hours_between_deaths=1e9, reduce_seconds=few - PARTS[0] * clip)
        data = Data("real", STEPS * PARTS[2] * workers, epochs=1, batch_size=PARTS[2] * workers)
        played = in_step(data, fleet, Rates(step=clip, read=0.0), random.Random(0)).hours * 3600
        return _said("train", workers, played, real * STEPS)

    def score(self, workers: int) -> float:
        """Returns played / real seconds of scoring some blocks of videos by the model of the last training."""
        known = self.dataset
        bare = DataSet(known.name, known.root, known.classes, {}, {}, known.multi_label, known.layout)
        scoring = Scoring(runs=self.root, views=_VIEWS, crops="1")
        videos = list(known.videos.values())
        blocks = [
            Block(
                *(place, self.model, file_hash(self.model), bare),
                tuple(videos[(place + each) % len(videos)] for each in range(_VIDEOS_OF_A_BLOCK)),
                scoring,
            )
            for place in range(_NUMBER + _RATED * workers)
        ]
        return _from_a_queue("score", score_timed, blocks, workers)


def _from_a_queue(
    name: str, function: Callable[[Task, Callable[[], None]], Timed], jobs: Sequence[Task], workers: int
) -> float:
    """Plays the first jobs by the rates of others, then does them."""
    rated = _processor_seconds(function, jobs[_NUMBER : _NUMBER + _RATED * workers], workers)
    seconds = statistics.mean((times[-1] - times[0]) / (len(times) - 1) for times in rated if len(times) > 1)
    # The made-up videos are of equal length.
    rates = Rates(start=statistics.mean(times[0] for times in rated) - seconds, spread=0.0)
    real = max(times[-1] for times in _processor_seconds(function, jobs[:_NUMBER], workers))
    fleet = Fleet(1, workers, hours_between_deaths=1e9)
    return _said(
        name, workers, shared_out(name, _NUMBER, seconds, 0.0, fleet, rates, random.Random(0)).hours * 3600, real
    )


def _said(name: str, workers: int, played: float, real: float) -> float:
    print(f"{name}, {workers} workers: played {played:.2f} s, real {real:.2f} s, of the busiest process", flush=True)
    return played / real


def _processor_seconds(
    function: Callable[[Task, Callable[[], None]], Timed], jobs: Sequence[Task], workers: int
) -> list[list[float]]:
    """Returns, per process, its processor seconds since its start at the end of each of its jobs."""
    ended: dict[int, list[float]] = {}
    for _, outcome in run_jobs(function, jobs, workers=workers):
        if isinstance(outcome, Exception):
            raise outcome
        process, seconds = outcome
        ended.setdefault(process, []).append(seconds)
    return [sorted(times) for times in ended.values()]


def extract_timed(job: Job, show_life: Callable[[], None]) -> Timed:
    """Prepares a video."""
    extract_video(job, show_life)
    return os.getpid(), time.process_time()


def score_timed(block: Block, show_life: Callable[[], None]) -> Timed:
    """Scores the videos of a block."""
    score_block(block, show_life)
    return os.getpid(), time.process_time()


def _seconds(steps: Sequence[float]) -> float:
    return statistics.mean(steps[_FIRST_STEPS:])
