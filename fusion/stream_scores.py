"""The scores of a saved model: read where the same model has scored the same data, gone on with, or made."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from commands.files import RUNS
from commands.quiet import quiet_tensorflow
from data.catalog import DataSet, Video
from data.recipe import find_description
from streams.modelfile import ModelCard, file_hash, read_card
from streams.runs import Run
from streams.scores import Scores, read_scores, write_scores

# What a kill costs at most: unfinished scores are written this often, in seconds.
_SAVED_EVERY = 15.0


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How videos are scored, and where models and scores are kept."""

    runs: Path
    views: int = 25
    crops: str = "10"
    precision: str = "float32"
    layer: str = ""  # What is kept of each view instead of its logits, "features" for instance.
    rescore: bool = False
    models: dict[str, Path] = field(default_factory=dict)  # Files that stand in for the model of a run.

    def model(self, dataset: DataSet, split: int, stream: str) -> Path:
        """Returns where the model of a stream lies, or should."""
        return self.models.get(stream, Run.of(self.runs, dataset.name, stream, split).model)

    def __str__(self) -> str:
        """Returns what tells protocols apart, as `25x10`."""
        marks = [self.precision if self.precision != "float32" else "", self.layer]
        return "-".join([f"{self.views}x{self.crops}", *(mark for mark in marks if mark)])


def stream_scores(
    dataset: DataSet, split: int, part: str, videos: Sequence[Video], stream: str, scoring: Scoring
) -> Scores:
    """Returns the scores of one stream's model on these videos, which are `part` of the split."""
    run, model = Run.of(scoring.runs, dataset.name, stream, split), scoring.model(dataset, split, stream)
    if not model.is_file():
        raise FileNotFoundError(f"There is no model {model}. {_how_to_train(dataset, split, stream, scoring)}")
    card = read_card(model)
    _check_fits(card, model, dataset, split)
    about: dict[str, Any] = {
        "stream": stream,
        "data_set": dataset.name,
        "split": split,
        "part": part,
        "protocol": str(scoring),
        "model_hash": file_hash(model),
        "data_hash": _data_hash(dataset, videos),
        "selection": card.selection,
        "classes": dataset.classes,
    }
    # Another model's scores do not take the place of the run's own.
    mark = "" if model == run.model else f"_{about['model_hash'][:8]}"
    path = run.scores(part, f"{scoring}{mark}")
    known = None if scoring.rescore else _known(path, about)
    if known is None:
        work = _Work(about, videos, labels_of(dataset, videos), path.with_suffix(".growing.h5"))
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

    about: dict[str, Any]
    videos: Sequence[Video]
    labels: np.ndarray
    growing: Path
    rows: list[np.ndarray] = field(default_factory=list)

    def begun(self) -> None:
        """Takes over what a run that was stopped has left."""
        found = _known(self.growing, self.about)
        self.rows = list(found.view_logits) if found else []

    def finish(self, predict: Callable[[Sequence[Video]], Iterator[np.ndarray]]) -> Scores:
        """Scores the videos that are left, and saves now and then what there is."""
        saved = time.monotonic()
        rest = self.videos[len(self.rows) :]
        title = f"Scoring {self.about['stream']}, {self.about['part']} list"
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
        count = len(self.rows)
        names = tuple(video.name for video in self.videos[:count])
        return Scores(**self.about, videos=names, labels=self.labels[:count], view_logits=np.stack(self.rows))


def _predict(path: Path, dataset: DataSet, videos: Sequence[Video], scoring: Scoring) -> Iterator[np.ndarray]:
    quiet_tensorflow()
    from fusion.scorers import Scorer, clip_of, mirror_of
    from pipelines.unreadable import readable_views
    from streams.scoring import score_videos

    scorer = Scorer.load(path)
    network = _until(scorer.network, scoring.layer) if scoring.layer else scorer.network
    views = [readable_views(dataset, videos, clip_of(part), num_views=scoring.views) for part in scorer.parts.values()]
    scored = score_videos(
        network,
        views[0] if len(views) == 1 else _side_by_side(*views),
        num_crops="full" if scoring.crops == "full" else int(scoring.crops),
        precision=scoring.precision,
        mirror_flow=mirror_of(scorer.card),
    )
    for logits, _ in scored:
        yield logits


def _side_by_side(*streams: Iterable[tuple[Any, Any, Any]]) -> Iterator[tuple[tuple[Any, ...], np.ndarray, Any]]:
    """Yields the views of several streams together: the first of each, the second of each, and so on."""
    for videos in zip(*streams, strict=True):
        of_view = np.stack([places.numpy() for _, places, _ in videos])
        distinct, of_pair = np.unique(of_view, axis=1, return_inverse=True)
        pixels = tuple(views.numpy()[row] for (views, _, _), row in zip(videos, distinct, strict=True))
        yield pixels, of_pair.reshape(-1), videos[0][2]


def _how_to_train(dataset: DataSet, split: int, stream: str, scoring: Scoring) -> str:
    """Returns what to type where a model is missing."""
    if stream in scoring.models or stream not in ("spatial", "temporal"):
        return f"Name the file of one: --stream {stream}=FILE"
    where = f" --runs {scoring.runs}" if scoring.runs != RUNS else ""
    return f"Train it: python {stream}/train.py --dataset {dataset.name} --split {split}{where}"


def _until(network: Any, layer: str) -> Any:
    import keras

    if layer not in {each.name for each in network.layers}:
        raise ValueError(f"{network.name} has no layer named {layer}. Networks that this project trained have one.")
    return keras.Model(network.inputs[0], network.get_layer(layer).output)


def _known(path: Path, about: dict[str, Any]) -> Scores | None:
    """Returns the scores in a file if they are of this very model, data and protocol."""
    if not path.exists():
        return None
    scores = read_scores(path)
    return scores if all(getattr(scores, name) == value for name, value in about.items()) else None


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
