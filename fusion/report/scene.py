"""Tests whether a network uses motion or only the scene, with clips that are frozen, shuffled or reversed."""

import dataclasses
from typing import TypedDict

import numpy as np

from data.catalog import DataSet
from fusion.methods.by_groups import Interval, Part, drawn_accuracies, interval
from fusion.methods.kept import Fusion
from fusion.methods.measures import video_accuracy
from fusion.scores.gather import Gathered
from fusion.scores.of_models import stream_scores
from fusion.scores.protocol import ORDERS, Scoring

# The most videos to score, because each is scored three more times.
MOST_VIDEOS = 40
FUSED = "fused"


class Scene(TypedDict):
    """The accuracy of each stream and of their fusion for each order of frames, and the loss by changed orders."""

    videos: int
    accuracy: dict[str, dict[str, float]]  # By order, "as they are" first; then by stream.
    lost: dict[str, float]  # By order: the loss of accuracy of both streams fused.
    interval: dict[str, Interval]


def scene_of(gathered: Gathered, dataset: DataSet, scoring: Scoring, fusion: Fusion) -> Scene:
    """Scores test videos with their frames and fields in other orders."""
    first = gathered.streams[0]
    rows = np.unique(np.linspace(0, len(first.videos) - 1, min(MOST_VIDEOS, len(first.videos))).round().astype(int))
    videos = [dataset.videos[first.videos[row]] for row in rows]
    unseen = gathered.unseen.rows(rows)
    scores = {"as they are": dict(zip(unseen.streams, unseen.view_logits, strict=True))}
    for order in ORDERS:
        other = dataclasses.replace(scoring, order=order, views=1)
        scores[order] = {
            each.stream: stream_scores(dataset, first.split, "test", videos, each.stream, other).view_logits
            for each in gathered.streams
        }
    fused = {order: fusion.scores(logits) for order, logits in scores.items()}
    drawn = {order: drawn_accuracies(Part(found, unseen.labels, unseen.groups)) for order, found in fused.items()}
    accuracy = {
        order: {name: video_accuracy(each.mean(axis=1), unseen.labels) for name, each in logits.items()}
        | {FUSED: video_accuracy(fused[order], unseen.labels)}
        for order, logits in scores.items()
    }
    return {
        "videos": len(rows),
        "accuracy": accuracy,
        "lost": {order: accuracy["as they are"][FUSED] - accuracy[order][FUSED] for order in ORDERS},
        "interval": {order: interval(drawn["as they are"] - drawn[order]) for order in ORDERS},
    }
