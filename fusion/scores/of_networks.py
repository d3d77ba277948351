"""Computes the logits of a saved network for the videos of a data set, in one pass over its files."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf
from rich.progress import track

from commands.waiting import Now
from data.catalog import DataSet, Video
from data.extraction.video_files import is_video, walk_files
from fusion.prediction.as_prepared import clip_of
from fusion.prediction.scorer import Scorer
from fusion.scores.other_time import in_other_time
from fusion.scores.protocol import Scoring
from fusion.two_stream import TwoStream
from pipelines.clips import DistinctViews
from pipelines.inputs import Input
from pipelines.unreadable import readable_views
from streams.networks.scoring import scores_of, view_scorer

PairedViews: TypeAlias = tuple[tuple[np.ndarray, ...], np.ndarray, tf.Tensor]


class Loaded(NamedTuple):
    """A model that is ready to score by a protocol."""

    scorer: Scorer
    score: Callable[..., tf.Tensor]

    @classmethod
    def of(cls, model: Path, scoring: Scoring) -> "Loaded":
        """Opens a model file."""
        scorer = Scorer.load(model)
        score = view_scorer(
            scorer.until(scoring.layer) if scoring.layer else scorer.network,
            num_crops="full" if scoring.crops == "full" else int(scoring.crops),
            precision=scoring.precision,
            flow_rule=scorer.flow_rule,
            shown=scorer.card.shown,
            in_mirror=() if scoring.layer else scorer.card.in_mirror,
        )
        return cls(scorer, score)


def logits_of_videos(
    loaded: Loaded, dataset: DataSet, videos: Sequence[Video], scoring: Scoring
) -> Iterator[np.ndarray]:
    """Yields for each video its logits, float32[views, C], or the output of the named layer."""
    scorer = loaded.scorer
    streams = [
        _in_order(
            readable_views(dataset, videos, clip_of(part), num_views=scoring.views, sampling=scoring.sampling),
            clip_of(part),
            scorer,
            scoring,
        )
        for part in scorer.parts.values()
    ]
    scored = scores_of(loaded.score, streams[0] if len(streams) == 1 else _side_by_side(*streams))
    return (logits for logits, _ in scored)


def logits_of_clips(folder: Path, models: Mapping[str, Path], scoring: Scoring) -> dict[str, np.ndarray]:
    """Returns the logits of each stream, float32[V, views, C], for all videos in a folder."""
    if not folder.is_dir():
        raise FileNotFoundError(f"--nothing: {folder} is not a folder.")
    videos = [path for path in walk_files(folder) if is_video(path)]
    if not videos:
        raise ValueError(f"--nothing: the folder {folder} has no video in it.")
    if scoring.crops == "full":
        raise ValueError("--nothing scores clips by crops: pass --crops 1, 5 or 10 with it.")
    Now.doing = "Scoring clips of other classes"
    two_stream, found = TwoStream(models, "average"), []
    for video in track(videos, Now.doing):
        prediction = two_stream.predict(video, views=scoring.views, crops=int(scoring.crops))
        found.append({stream: _some(logits, scoring.views) for stream, logits in prediction.view_logits.items()})
    return {stream: np.stack([each[stream] for each in found]) for stream in found[0]}


def _some(logits: np.ndarray, count: int) -> np.ndarray:
    """Returns as many views as other videos have. A long video has more views than they."""
    chosen: np.ndarray = logits[np.linspace(0, len(logits) - 1, count).round().astype(int)]
    return chosen


def _in_order(
    videos: Iterable[DistinctViews], clip: Input, scorer: Scorer, scoring: Scoring
) -> Iterable[DistinctViews]:
    """Returns views with their frames or fields in the wanted order."""
    if not scoring.order:
        return videos
    rule = scorer.flow_rule
    return ((in_other_time(views, clip, scoring.order, rule), places, label) for views, places, label in videos)


def _side_by_side(*streams: Iterable[DistinctViews]) -> Iterator[PairedViews]:
    """Yields the views of several streams together: the first one of each, then the second one of each, and so on."""
    for videos in zip(*streams, strict=True):
        of_view = np.stack([places.numpy() for _, places, _ in videos])
        distinct, of_pair = np.unique(of_view, axis=1, return_inverse=True)
        pixels = tuple(views.numpy()[row] for (views, _, _), row in zip(videos, distinct, strict=True))
        yield pixels, of_pair.reshape(-1), videos[0][2]
