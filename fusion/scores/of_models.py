"""The scores of a saved model: read where the same model has scored the same data, gone on with, or made."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.progress import track

from commands.files import RUNS
from commands.running import quiet_tensorflow
from data.catalog import DataSet, Video
from data.store.index import find_description
from fusion.scores.protocol import Scoring
from streams.runs.model_file import ModelCard, file_hash, read_card
from streams.runs.run_folder import Run
from streams.runs.score_file import Scores, read_scores, write_scores

# What a kill costs at most: unfinished scores are written this often, in seconds.
_SAVED_EVERY = 15.0
# What known scores must have in common with those that are wanted.
_ORIGIN = ("stream", "data_set", "split", "part", "protocol", "model_hash", "data_hash", "selection", "classes")


def stream_scores(
    dataset: DataSet, split: int, part: str, videos: Sequence[Video], stream: str, scoring: Scoring
) -> Scores:
    """Returns the scores of one stream's model on these videos, which are `part` of the split."""
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
        selection=card.selection,
        classes=dataset.classes,
        videos=tuple(video.name for video in videos),
        labels=labels_of(dataset, videos),
        view_logits=np.empty(0),
    )
    # Another model's scores do not take the place of the run's own.
    mark = "" if model == run.model else f"_{wanted.model_hash[:8]}"
    path = run.scores(part, f"{scoring}{mark}")
    known = None if scoring.rescore else _known(path, wanted)
    if known is None:
        work = _Work(wanted, videos, path.with_suffix(".growing.h5"))
        if not scoring.rescore:
            work.begun()
        known = work.finish(lambda rest: _predict(model, dataset, rest, scoring))
        write_scores(path, known)
        work.growing.unlink(missing_ok=True)
    return known


def labels_of(dataset: DataSet, videos: Sequence[Video]) -> np.ndarray:
    """Returns one label a video, or a row of zeros and ones where there may be several."""
    if not dataset.multi_label:
        return np.array([video.label for video in videos])
    rows = np.zeros((len(videos), len(dataset.classes)), np.uint8)
    for row, video in zip(rows, videos, strict=True):
        row[list(video.labels)] = 1
    return rows


@dataclass
class _Work:
    """Scores that grow video by video, so that a kill costs seconds."""

    wanted: Scores  # All but the logits.
    videos: Sequence[Video]
    growing: Path
    rows: list[np.ndarray] = field(default_factory=list)

    def begun(self) -> None:
        """Takes over what a run that was stopped has left."""
        found = _known(self.growing, self.wanted)
        self.rows = list(found.view_logits) if found else []

    def finish(self, predict: Callable[[Sequence[Video]], Iterator[np.ndarray]]) -> Scores:
        """Scores the videos that are left, and saves now and then what there is."""
        saved = time.monotonic()
        rest = self.videos[len(self.rows) :]
        title = f"Scoring {self.wanted.stream}, {self.wanted.part} list"
        try:
            for row in track(predict(rest), title, total=len(rest)):
                self.rows.append(row)
                if time.monotonic() - saved > _SAVED_EVERY:
                    write_scores(self.growing, self.so_far())
                    saved = time.monotonic()
        except BaseException:
            if self.rows:
                write_scores(self.growing, self.so_far())
            raise
        return self.so_far()

    def so_far(self) -> Scores:
        """Returns the scores of the videos that are done."""
        done, wanted = slice(len(self.rows)), self.wanted
        return replace(wanted, videos=wanted.videos[done], labels=wanted.labels[done], view_logits=np.stack(self.rows))


def _predict(model: Path, dataset: DataSet, videos: Sequence[Video], scoring: Scoring) -> Iterator[np.ndarray]:
    quiet_tensorflow()
    from fusion.scores.of_networks import logits_of_videos  # Brings TensorFlow, which known scores do without.

    return logits_of_videos(model, dataset, videos, scoring)


def _how_to_train(dataset: DataSet, split: int, stream: str, scoring: Scoring) -> str:
    """Returns what to type where a model is missing."""
    if stream in scoring.models or stream not in ("spatial", "temporal"):
        return f"Name the file of one: --stream {stream}=FILE"
    where = f" --runs {scoring.runs}" if scoring.runs != RUNS else ""
    return f"Train it: python {stream}/train.py --dataset {dataset.name} --split {split}{where}"


def _known(path: Path, wanted: Scores) -> Scores | None:
    """Returns the scores in a file if they are of this very model, data and protocol."""
    if not path.exists():
        return None
    scores = read_scores(path)
    return scores if all(getattr(scores, name) == getattr(wanted, name) for name in _ORIGIN) else None


def _check_fits(card: ModelCard, model: Path, dataset: DataSet, split: int) -> None:
    if card.classes != dataset.classes:
        raise ValueError(
            f"{model} knows {len(card.classes)} classes of {card.data_set}, and {dataset.name} has "
            f"{len(dataset.classes)} others. Name a model that was trained on {dataset.name}, or another --dataset."
        )
    if (card.data_set, card.split) != (dataset.name, split) and card.data_set == dataset.name:
        raise ValueError(
            f"{model} was trained on split {card.split}, whose training list holds videos of split {split}'s test "
            f"list. Pass --split {card.split}."
        )


def _data_hash(dataset: DataSet, videos: Sequence[Video]) -> str:
    """Returns what tells one set of prepared videos from another, without reading their pixels."""
    described = [(video.name, video.labels, video.num_frames, video.num_flows) for video in videos]
    text = json.dumps([dataset.name, dataset.classes, described, find_description(dataset.root)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
