"""Measures of scores: accuracy, average precision, agreement of streams, and calibration.

Labels are int[V], or for multi-label data zeros and ones [V, C], where a video may have several labels or none.
"""

from collections.abc import Sequence

import numpy as np


def is_right(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns for each video whether its top-scoring class is among its labels: bool[V]."""
    named = scores.argmax(axis=1, keepdims=True)
    truth = labels if labels.ndim == 2 else np.arange(scores.shape[1]) == labels[:, None]
    shown: np.ndarray = np.take_along_axis(truth, named, axis=1)[:, 0] > 0
    return shown


def is_labelled(labels: np.ndarray) -> np.ndarray:
    """Tells for each video whether it has a label: bool[V]."""
    return np.asarray(labels.any(axis=1) if labels.ndim == 2 else np.ones(len(labels), bool))


def video_accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of videos whose top-scoring class is one of their labels. Leaves out videos without labels."""
    return float(np.mean(is_right(scores, labels)[is_labelled(labels)]))


def frame_accuracy(view_logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of single views, float[V, views, C], whose top-scoring class is a label of their video."""
    counted = is_labelled(labels)
    shares = [video_accuracy(view_logits[counted, view], labels[counted]) for view in range(view_logits.shape[1])]
    return float(np.mean(shares))


def top_accuracy(scores: np.ndarray, labels: np.ndarray, count: int) -> float:
    """Returns the top-`count` accuracy: the share of videos that have a label among the `count` top-scoring classes."""
    truth = _one_hot(labels, scores.shape[1])
    highest = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    hits: np.ndarray = np.take_along_axis(truth, highest, axis=1).max(axis=1)
    return float(np.mean(hits[is_labelled(labels)]))


def class_accuracy(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the accuracy (recall) of each class; NaN for a class without videos."""
    counts = confusion(scores, labels)
    of_class = counts.sum(axis=1)
    return np.where(of_class > 0, counts.diagonal() / np.maximum(of_class, 1), np.nan)


def confusion(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the confusion matrix: true classes in rows, predicted classes in columns."""
    counts = np.zeros((scores.shape[1], scores.shape[1]), np.int64)
    np.add.at(counts, (labels, scores.argmax(axis=1)), 1)
    return counts


def class_precision(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the average precision of each class over the ranking of all videos; NaN for a class without videos.

    Videos with equal scores are one step of the ranking, so the order of videos changes nothing.
    """
    from sklearn.metrics import average_precision_score

    truth = _one_hot(labels, scores.shape[1])
    return np.array(
        [
            average_precision_score(of_class, column) if of_class.any() else np.nan
            for of_class, column in zip(truth.T, scores.T, strict=True)
        ]
    )


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean average precision over all classes that have videos."""
    return float(np.nanmean(class_precision(scores, labels)))


def agreement(streams: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, int]:
    """Counts the videos that are right in all streams, in only one (for each), in several but not all, and in none."""
    right = np.stack([is_right(scores, labels)[is_labelled(labels)] for scores in streams])
    count = right.sum(axis=0)
    result = {"all": int((count == len(streams)).sum())}
    if len(streams) > 1:
        result |= {f"only_{place}": int((own & (count == 1)).sum()) for place, own in enumerate(right)}
        result["several"] = int(((count > 1) & (count < len(streams))).sum())
    return result | {"none": int((count == 0).sum())}


def label_shares(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns the share of labelled videos that show each class.

    That is the video accuracy of always predicting this class. The mean over classes is the chance level.
    """
    shares: np.ndarray = _one_hot(labels, num_classes)[is_labelled(labels)].mean(axis=0)
    return shares


def reliability(shares: np.ndarray, labels: np.ndarray, num_bins: int = 10) -> list[dict[str, float]]:
    """Returns mean confidence, accuracy and size of bins of videos with similar confidence: a reliability diagram."""
    sure, right = shares.max(axis=1), is_right(shares, labels)
    place = np.minimum((sure * num_bins).astype(int), num_bins - 1)
    return [
        {
            "confidence": float(sure[place == each].mean()),
            "accuracy": float(right[place == each].mean()),
            "count": int((place == each).sum()),
        }
        for each in range(num_bins)
        if (place == each).any()
    ]


def calibration_error(bins: Sequence[dict[str, float]]) -> float:
    """Returns the expected calibration error: the mean gap between confidence and accuracy, weighted by bin size."""
    total = sum(each["count"] for each in bins)
    return sum(each["count"] * abs(each["confidence"] - each["accuracy"]) for each in bins) / total


def _one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    return np.asarray(labels > 0 if labels.ndim == 2 else np.arange(num_classes) == labels[:, None])
