"""Predicts videos in this process, or in several that keep their models: one per device here, or per Dask worker."""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from commands.running import first_line
from commands.waiting import Now
from data.extraction.decoder import Bounds
from data.store.description import Recipe
from fusion.methods.kept import Fusion
from fusion.prediction.prediction import Prediction
from fusion.scores.shared_out import environments, in_order
from fusion.two_stream import TwoStream
from streams.runs.model_file import file_hash

# Returns the prediction, or raises an error, when it is called.
Outcome: TypeAlias = Callable[[], Prediction]


@dataclass(frozen=True)
class Look:
    """The options of predicting a video; see `TwoStream.predict`."""

    views: int
    crops: int
    hop: float | None
    partial: bool
    bounds: Bounds

    @classmethod
    def of(cls, options: argparse.Namespace, bounds: Bounds) -> "Look":
        """Returns the options of the command line."""
        return cls(options.views, options.crops, options.hop, options.partial, bounds)


@dataclass(frozen=True)
class Job:
    """A video, and all that a process needs to load the streams."""

    number: int
    video: Path
    look: Look
    models: Mapping[str, Path]
    hashes: tuple[str, ...]  # Of the models, whose files may change while a worker keeps them loaded.
    fusion: Fusion
    making: Recipe
    notes: tuple[str, ...]
    when_unsure: bool


def predictions(
    two_stream: TwoStream, videos: Sequence[Path], look: Look, options: argparse.Namespace
) -> Iterator[tuple[Path, Outcome]]:
    """Yields each video in turn, with a function that returns its prediction."""
    if len(videos) < 2 or not (options.cluster or len(environments(options.devices)) > 1):
        for video in videos:
            Now.doing = f"Looking at {video.name}: decoding, flow, both networks"
            yield video, partial(two_stream.predict, video, **vars(look))
        return
    Now.doing = f"Looking at {len(videos):,} videos on several devices"
    outcomes = in_order(predict_job, jobs_of(two_stream, videos, look), options.devices, options.cluster, options.tls)
    for video, outcome in zip(videos, outcomes, strict=True):
        yield video, partial(_given, video, outcome)


def jobs_of(two_stream: TwoStream, videos: Sequence[Path], look: Look) -> Iterator[Job]:
    """Yields for each video what a process needs to predict it."""
    models = {name: path.resolve() for name, path in two_stream.models.items()}
    hashes = tuple(file_hash(path) for path in models.values())
    known = look, models, hashes, two_stream.fusion, two_stream.making, two_stream.notes, two_stream.alone is not None
    return (Job(number, video.absolute(), *known) for number, video in enumerate(videos))


def _given(video: Path, outcome: Prediction | Exception) -> Prediction:
    if isinstance(outcome, Exception):
        raise outcome
    return replace(outcome, video=str(video))


_streams: list[tuple[object, TwoStream]] = []  # The streams that a process has loaded.


def predict_job(job: Job, show_life: Callable[[], None]) -> Prediction | Exception:
    """Predicts a video, in a process that keeps its streams for the next ones. An error does not stop the others."""
    key = job.models, job.hashes, job.when_unsure
    if not _streams or _streams[0][0] != key:
        _streams[:] = [(key, TwoStream(job.models, when_unsure=job.when_unsure))]
    two_stream = _streams[0][1]
    two_stream.fusion, two_stream.making, two_stream.notes = job.fusion, job.making, job.notes
    try:
        return two_stream.predict(job.video, **vars(job.look), progress=lambda share, seconds: show_life())
    except (ValueError, OSError) as error:
        return error
    except Exception as error:  # Not all of them can be sent from one process to another.
        return ValueError(f"{job.video}: {type(error).__name__}: {first_line(error)}")
