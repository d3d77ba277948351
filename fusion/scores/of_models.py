"""Provides the scores of a saved model: read from its score file, continued after an interruption, or computed."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.progress import track

from commands.files import RUNS
from commands.waiting import Now
from data.catalog import DataSet, Video
from data.store.index import find_description
from fusion.scores.merging import merged, part_path, parts_of
from fusion.scores.protocol import Scoring
from fusion.scores.shared_out import is_shared, networks, shared_logits
from streams.runs.model_file import ModelCard, file_hash, read_card
from streams.runs.run_folder import Run
from streams.runs.score_file import Scores, read_scores, write_scores

# Seconds between two savings of unfinished scores. A kill costs at most this time.
_SAVED_EVERY = 15.0


def stream_scores(
    dataset: DataSet, split: int, part: str, videos: Sequence[Video], stream: str, scoring: Scoring
) -> Scores:
    """Returns the scores of one stream's model for these videos, which are the given part of the split."""
    wanted, path, model = _wanted(dataset, split, part, videos, stream, scoring)
    known = None if scoring.rescore and not scoring.merge else _known(path, wanted)
    if known is None and scoring.merge:
        known = merged(path, wanted)
        write_scores(path, known)
        for scored in parts_of(path):
            scored.unlink()
    return known or _scored(model, dataset, videos, scoring, wanted, path)


def score_part(dataset: DataSet, split: int, part: str, videos: Sequence[Video], stream: str, scoring: Scoring) -> Path:
    """Scores one of `scoring.shard`'s parts of a list; returns the file of its scores."""
    number, count = scoring.shard
    whole, path, model = _wanted(dataset, split, part, videos, stream, scoring)
    mine, path = videos[number - 1 :: count], part_path(path, number, count)
    wanted = replace(whole, videos=whole.videos[number - 1 :: count], labels=whole.labels[number - 1 :: count])
    if scoring.rescore or _known(path, wanted) is None:
        _scored(model, dataset, mine, scoring, wanted, path)
    return path


def _wanted(
    dataset: DataSet, split: int, part: str, videos: Sequence[Video], stream: str, scoring: Scoring
) -> tuple[Scores, Path, Path]:
    """Returns the wanted scores without their logits, their file, and the model."""
    run, model = Run.of(scoring.runs, dataset.name, stream, split), scoring.model(dataset, split, stream)
    if not model.is_file():
        raise FileNotFoundError(f"There is no model {model}. {_how_to_train(dataset, split, stream, scoring)}")
    card = read_card(model)
    _check_fits(card, model, dataset, split)
    wanted = Scores(
        stream=stream,
        data_set=dataset.name,
        split=split,
        part=part,
        protocol=str(scoring),
        model_hash=file_hash(model),
        data_hash=_data_hash(dataset, videos),
        selection=card.chosen,
        classes=dataset.classes,
        videos=tuple(video.name for video in videos),
        labels=labels_of(dataset, videos),
        view_logits=np.empty(0),
    )
    # Scores of a model from elsewhere must not overwrite those of the run.
    mark = "" if model == run.model else f"_{wanted.model_hash[:8]}"
    return wanted, run.scores(part, f"{scoring}{mark}"), model


def _scored(
    model: Path, dataset: DataSet, videos: Sequence[Video], scoring: Scoring, wanted: Scores, path: Path
) -> Scores:
    """Scores videos, continuing an interrupted run, and writes their score file."""
    work = _Work(wanted, videos, path.with_suffix(".growing.h5"))
    if not scoring.rescore:
        work.begun()
    scores = work.finish(lambda rest: _predict(model, wanted.model_hash, dataset, rest, scoring))
    write_scores(path, scores)
    work.growing.unlink(missing_ok=True)
    return scores


def labels_of(dataset: DataSet, videos: Sequence[Video]) -> np.ndarray:
    """Returns one label per video, or a row of zeros and ones for multi-label data."""
    if not dataset.multi_label:
        return np.array([video.label for video in videos])
    rows = np.zeros((len(videos), len(dataset.classes)), np.uint8)
    for row, video in zip(rows, videos, strict=True):
        row[list(video.labels)] = 1
    return rows


@dataclass
class _Work:
    """Scores that are saved from time to time while they are computed, so that a kill costs only seconds."""

    wanted: Scores  # Everything but the logits.
    videos: Sequence[Video]
    growing: Path
    rows: list[np.ndarray] = field(default_factory=list)

    def begun(self) -> None:
        """Loads the scores that an interrupted evaluation has saved."""
        found = _known(self.growing, self.wanted)
        self.rows = list(found.view_logits) if found else []

    def finish(self, predict: Callable[[Sequence[Video]], Iterator[np.ndarray]]) -> Scores:
        """Scores the remaining videos, and saves the scores from time to time."""
        saved = time.monotonic()
        rest = self.videos[len(self.rows) :]
        title = Now.doing = f"Scoring {self.wanted.stream}, {self.wanted.part} list"
        if self.rows:
            print(f"{title}: going on from video {len(self.rows) + 1:,} of {len(self.videos):,}.", flush=True)
        try:
            for row in track(predict(rest), title, total=len(rest)):
                self.rows.append(row)
                Now.doing = f"{title}: {len(self.rows):,} of {len(self.videos):,} videos"
                if time.monotonic() - saved > _SAVED_EVERY:
                    write_scores(self.growing, self.so_far())
                    saved = time.monotonic()
        except BaseException:
            if self.rows:
                write_scores(self.growing, self.so_far())
            raise
        return self.so_far()

    def so_far(self) -> Scores:
        """Returns the scores of the finished videos."""
        done, wanted = slice(len(self.rows)), self.wanted
        return replace(wanted, videos=wanted.videos[done], labels=wanted.labels[done], view_logits=np.stack(self.rows))


def logits_of_clips(folder: Path, models: Mapping[str, Path], scoring: Scoring) -> dict[str, np.ndarray]:
    """Returns the logits of each stream, [V, views, C], for all videos in a folder. They belong to no data set."""
    found: dict[str, np.ndarray] = networks().logits_of_clips(folder, models, scoring)
    return found


def _predict(
    model: Path, model_hash: str, dataset: DataSet, videos: Sequence[Video], scoring: Scoring
) -> Iterator[np.ndarray]:
    if is_shared(scoring):
        return shared_logits(model, model_hash, dataset, videos, scoring)
    found: Iterator[np.ndarray] = networks().logits_of_videos(
        networks().Loaded.of(model, scoring), dataset, videos, scoring
    )
    return found


def _how_to_train(dataset: DataSet, split: int, stream: str, scoring: Scoring) -> str:
    """Returns what to type to get a missing model."""
    if stream in scoring.models or stream not in ("spatial", "temporal"):
        return f"Name its file: --stream {stream}=FILE"
    where = f" --runs {scoring.runs}" if scoring.runs != RUNS else ""
    return f"Train it: ./run train {stream} --dataset {dataset.name} --split {split}{where}"


def _known(path: Path, wanted: Scores) -> Scores | None:
    """Returns the scores in a file, if they are of exactly this model, this data and this protocol."""
    if not path.exists():
        return None
    scores = read_scores(path)
    return scores if scores.has_origin_of(wanted) and set(scores.videos) <= set(wanted.videos) else None


def _check_fits(card: ModelCard, model: Path, dataset: DataSet, split: int) -> None:
    if card.classes != dataset.classes:
        raise ValueError(
            f"{model} was trained on the {len(card.classes)} classes of {card.data_set}, but {dataset.name} has other "
            f"classes ({len(dataset.classes)}). Name a model that was trained on {dataset.name}, or another --dataset."
        )
    if (card.data_set, card.split) != (dataset.name, split) and card.data_set == dataset.name:
        raise ValueError(
            f"{model} was trained on split {card.split}. Its training list contains test videos of split {split}. "
            f"Pass --split {card.split}."
        )


def _data_hash(dataset: DataSet, videos: Sequence[Video]) -> str:
    """Returns a hash that identifies a set of prepared videos without reading their pixels."""
    described = [(video.name, video.labels, video.num_frames, video.num_flows) for video in videos]
    text = json.dumps([dataset.name, dataset.classes, described, find_description(dataset.root)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
