"""Shares the scoring of videos among processes that keep their models: one per device here, or per Dask worker.

If a process is killed, nothing is lost, because another one scores its videos again. A process scores each video as a
single process would, so the scores are the same.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import numpy as np

from commands.running import quiet_tensorflow
from data.catalog import DataSet, Video
from data.extraction.own_process import LostError
from data.extraction.workers import run_jobs
from fusion.scores.protocol import Scoring

Job = TypeVar("Job")
Result = TypeVar("Result")

# The number of videos that a process scores at a time: few, so that all processes end at about the same time, but
# enough to share the cost of a pipeline.
_MOST_TOGETHER = 16
# The number of models that a process keeps: both streams, each for logits and for features.
_MOST_LOADED = 4
_loaded: dict[tuple[Path, str, str], object] = {}
_DEVICES = "CUDA_VISIBLE_DEVICES"
_GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class Block:
    """Some videos of a list, and the model that scores them."""

    number: int
    model: Path
    model_hash: str
    dataset: DataSet  # Without its videos and lists.
    videos: tuple[Video, ...]
    scoring: Scoring


def is_shared(scoring: Scoring) -> bool:
    """Tells whether several processes score."""
    return bool(scoring.cluster) or len(environments(scoring.devices)) > 1


def environments(devices: int | None) -> list[dict[str, str]]:
    """Returns the environment variables of each scoring process, which choose the device that it sees.

    On a machine without GPUs, several processes share the processor: slower than one, but good for tests.
    """
    named = os.environ.get(_DEVICES)
    here = named.split(",") if named is not None else [str(place) for place, _ in enumerate(sorted(_GPUS.glob("*")))]
    gpus = [each for each in here if each.strip() not in ("", "-1")]
    if gpus and devices and devices > len(gpus):
        raise ValueError(f"--devices is {devices}; this machine has {len(gpus)} GPUs.")
    return [{_DEVICES: each} for each in gpus[:devices]] if gpus else [{}] * (devices or 1)


def shared_logits(
    model: Path, model_hash: str, dataset: DataSet, videos: Sequence[Video], scoring: Scoring
) -> Iterator[np.ndarray]:
    """Yields the logits of each video in turn, like `of_networks.logits_of_videos`."""
    # A job is small: it contains only the counts of its own videos.
    bare = DataSet(dataset.name, dataset.root, dataset.classes, {}, {}, dataset.multi_label, dataset.layout)
    alone = replace(scoring, cluster="", tls=None, devices=None)
    size = max(1, min(_MOST_TOGETHER, len(videos) // (4 * len(environments(scoring.devices)))))
    blocks = (
        Block(number, model.resolve(), model_hash, bare, tuple(videos[first : first + size]), alone)
        for number, first in enumerate(range(0, len(videos), size))
    )
    for scored in in_order(score_block, blocks, scoring.devices, scoring.cluster, scoring.tls):
        if isinstance(scored, LostError):
            raise RuntimeError(f"A scoring process has no result. {scored} The same command goes on from there.")
        yield from scored


def in_order(
    function: Callable[[Job, Callable[[], None]], Result],
    jobs: Iterable[Job],
    devices: int | None,
    cluster: str,
    tls: Path | None = None,
) -> Iterator[Result | LostError]:
    """Yields the results of numbered jobs in their order; see `run_jobs`."""
    early, following = dict[int, Result | LostError](), 0
    for job, outcome in run_jobs(function, jobs, cluster=cluster, tls=tls, environments=environments(devices)):
        early[vars(job)["number"]] = outcome
        while following in early:
            yield early.pop(following)
            following += 1


def networks() -> ModuleType:
    """Returns the module that scores. It imports TensorFlow, which reading score files does not need."""
    quiet_tensorflow()
    from fusion.scores import of_networks

    return of_networks


def score_block(block: Block, show_life: Callable[[], None]) -> list[np.ndarray]:
    """Scores some videos, in a process that keeps its models for the next ones."""
    key = block.model, block.model_hash, str(block.scoring)
    if key not in _loaded:
        if len(_loaded) >= _MOST_LOADED:
            _loaded.clear()
        _loaded[key] = networks().Loaded.of(block.model, block.scoring)
    found = []
    for logits in networks().logits_of_videos(_loaded[key], block.dataset, block.videos, block.scoring):
        found.append(logits)
        show_life()
    return found
