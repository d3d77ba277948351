"""Ways to combine streams: from the logits of each stream, [V, C], to one score per video and class."""

from collections.abc import Sequence

import numpy as np

from streams.scores import Scores


def average(streams: Sequence[Scores]) -> np.ndarray:
    """Returns the mean of the streams' softmax scores, as the paper does (Sec. 4)."""
    mean: np.ndarray = np.mean([softmax(scores.logits) for scores in streams], axis=0)
    return mean


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def check_same_videos(streams: Sequence[Scores]) -> None:
    """Refuses to combine scores that are not of the same videos, classes, split and part."""
    first = streams[0]
    for other in streams[1:]:
        for name in ("data_set", "split", "part", "classes", "videos"):
            ours, theirs = getattr(first, name), getattr(other, name)
            if ours != theirs:
                raise ValueError(
                    f"The streams must agree on their {name.replace('_', ' ')}. "
                    f"{first.stream} and {other.stream} differ: {_first_difference(ours, theirs)}. "
                    "Score both again with --rescore."
                )


def _first_difference(ours: object, theirs: object) -> str:
    if isinstance(ours, tuple) and isinstance(theirs, tuple):
        if len(ours) != len(theirs):
            return f"{len(ours)} against {len(theirs)}"
        return next(f"{a} against {b}" for a, b in zip(ours, theirs, strict=True) if a != b)
    return f"{ours} against {theirs}"
