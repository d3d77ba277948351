"""What a set of decisions is worth: accuracies and how sure one can be of them."""

from collections.abc import Sequence

import numpy as np


def video_accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of videos whose highest score is their label's."""
    return float(np.mean(scores.argmax(axis=1) == labels))


def frame_accuracy(view_logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of single views, float[V, views, C], whose highest score is their video's label."""
    return float(np.mean(view_logits.argmax(axis=2) == labels[:, None]))


def top_accuracy(scores: np.ndarray, labels: np.ndarray, count: int) -> float:
    """Returns the share of videos whose label is among the `count` highest scores."""
    of_label = np.take_along_axis(scores, labels[:, None], axis=1)
    return float(np.mean((scores > of_label).sum(axis=1) < count))


def class_accuracy(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the share of each class' videos that are recognised; NaN for a class without videos."""
    counts = confusion(scores, labels)
    of_class = counts.sum(axis=1)
    return np.where(of_class > 0, counts.diagonal() / np.maximum(of_class, 1), np.nan)


def confusion(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns how many videos of each class (rows) were taken for each class (columns)."""
    counts = np.zeros((scores.shape[1], scores.shape[1]), np.int64)
    np.add.at(counts, (labels, scores.argmax(axis=1)), 1)
    return counts


def agreement(streams: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, int]:
    """Returns how many videos all streams have right, only each one of them, several but not all, and none."""
    right = np.stack([scores.argmax(axis=1) == labels for scores in streams])
    count = right.sum(axis=0)
    result = {"all": int((count == len(streams)).sum())}
    if len(streams) > 1:
        result |= {f"only_{place}": int((own & (count == 1)).sum()) for place, own in enumerate(right)}
        result["several"] = int(((count > 1) & (count < len(streams))).sum())
    return result | {"none": int((count == 0).sum())}


def accuracy_interval(
    scores: np.ndarray, labels: np.ndarray, groups: Sequence[str], *, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Returns the 95 % interval of the video accuracy, by drawing whole groups again.

    Videos of a group succeed and fail together, so that drawing single videos would promise too much.
    """
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    right = np.bincount(member, scores.argmax(axis=1) == labels)
    total = np.bincount(member)
    drawn = np.random.default_rng(seed).integers(0, len(names), (draws, len(names)))
    accuracies = right[drawn].sum(axis=1) / total[drawn].sum(axis=1)
    low, high = np.quantile(accuracies, (0.025, 0.975))
    return float(low), float(high)
