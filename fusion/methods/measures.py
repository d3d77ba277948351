"""Measures of scores (accuracy, average precision, calibration), with confidence intervals and significance.

Labels are int[V], or zeros and ones [V, C] for multi-label data, where a video may have several labels or none.
"""

from collections.abc import Sequence

import numpy as np

Interval = tuple[float, float]


def is_right(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns for each video whether its top-scoring class is among its labels: bool[V]."""
    named = scores.argmax(axis=1, keepdims=True)
    truth = labels if labels.ndim == 2 else np.arange(scores.shape[1]) == labels[:, None]
    shown: np.ndarray = np.take_along_axis(truth, named, axis=1)[:, 0] > 0
    return shown


def video_accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of videos whose top-scoring class is a label of theirs; videos without labels are left out."""
    return float(np.mean(is_right(scores, labels)[_labelled(labels)]))


def frame_accuracy(view_logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of single views, float[V, views, C], whose top-scoring class is a label of their video."""
    counted = _labelled(labels)
    shares = [video_accuracy(view_logits[counted, view], labels[counted]) for view in range(view_logits.shape[1])]
    return float(np.mean(shares))


def top_accuracy(scores: np.ndarray, labels: np.ndarray, count: int) -> float:
    """Returns the top-`count` accuracy: the share of videos with a label among the `count` highest scores."""
    truth = _one_hot(labels, scores.shape[1])
    highest = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    hits: np.ndarray = np.take_along_axis(truth, highest, axis=1).max(axis=1)
    return float(np.mean(hits[_labelled(labels)]))


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
    """Returns the average precision of each class over the ranking of all videos; NaN for a class without videos."""
    truth = np.take_along_axis(_one_hot(labels, scores.shape[1]), np.argsort(-scores, axis=0, kind="stable"), axis=0)
    precision = np.cumsum(truth, axis=0) / np.arange(1, len(truth) + 1)[:, None]
    positives = truth.sum(axis=0)
    return np.where(positives > 0, (precision * truth).sum(axis=0) / np.maximum(positives, 1), np.nan)


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean average precision over all classes that have videos."""
    return float(np.nanmean(class_precision(scores, labels)))


def agreement(streams: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, int]:
    """Counts the videos that are right in all streams, in only one (each), in several but not all, and in none."""
    right = np.stack([is_right(scores, labels)[_labelled(labels)] for scores in streams])
    count = right.sum(axis=0)
    result = {"all": int((count == len(streams)).sum())}
    if len(streams) > 1:
        result |= {f"only_{place}": int((own & (count == 1)).sum()) for place, own in enumerate(right)}
        result["several"] = int(((count > 1) & (count < len(streams))).sum())
    return result | {"none": int((count == 0).sum())}


def accuracy_interval(scores: np.ndarray, labels: np.ndarray, groups: Sequence[str] | np.ndarray) -> Interval:
    """Returns the 95 % confidence interval of the video accuracy, by bootstrap over groups.

    If all videos are right, or none is, all samples agree, although a few groups prove little. Then the interval ends
    where so many groups in a row would still be so by chance once in forty times.
    """
    low, high = interval(drawn_accuracies(scores, labels, groups))
    least = 0.025 ** (1 / len(set(groups)))
    return (least, high) if low == 1 else (low, 1 - least) if high == 0 else (low, high)


def precision_interval(scores: np.ndarray, labels: np.ndarray, groups: Sequence[str] | np.ndarray) -> Interval:
    """Returns the 95 % confidence interval of the mean average precision, by bootstrap over groups."""
    return interval(drawn_precisions(scores, labels, groups))


def drawn_accuracies(scores: np.ndarray, labels: np.ndarray, groups: Sequence[str] | np.ndarray) -> np.ndarray:
    """Returns the video accuracy of each of 2000 bootstrap samples of groups.

    Videos of one group tend to be right or wrong together, so resampling single videos would give intervals that are
    too narrow. Every call draws the same groups, so the difference between two results is a paired bootstrap.
    """
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    right = np.bincount(member, is_right(scores, labels) & _labelled(labels))
    total = np.bincount(member, _labelled(labels))
    drawn = _drawn_groups(len(total), 2000)
    accuracies: np.ndarray = right[drawn].sum(axis=1) / np.maximum(total[drawn].sum(axis=1), 1)
    return accuracies


def drawn_precisions(scores: np.ndarray, labels: np.ndarray, groups: Sequence[str] | np.ndarray) -> np.ndarray:
    """Returns the mean average precision of each of 200 bootstrap samples of groups, the same in every call."""
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(member, kind="stable")
    of_group = np.split(order, np.searchsorted(member[order], np.arange(1, len(names))))
    places = [np.concatenate([of_group[group] for group in draw]) for draw in _drawn_groups(len(names), 200)]
    return np.array([mean_average_precision(scores[chosen], labels[chosen]) for chosen in places])


def interval(values: np.ndarray) -> Interval:
    """Returns the middle 95 % of bootstrap values."""
    low, high = np.nanquantile(values, (0.025, 0.975))
    return float(low), float(high)


def label_shares(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns the share of labelled videos that show each class.

    This is the video accuracy of always predicting that class; the mean is the chance level.
    """
    shares: np.ndarray = _one_hot(labels, num_classes)[_labelled(labels)].mean(axis=0)
    return shares


def reliability(shares: np.ndarray, labels: np.ndarray, num_bins: int = 10) -> list[dict[str, float]]:
    """Returns mean confidence, accuracy and size of each bin of videos with similar confidence, for a diagram."""
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


def mcnemar(ours: np.ndarray, theirs: np.ndarray) -> tuple[int, int, float]:
    """Returns the videos that only the first has right, those that only the second has, and McNemar's exact p-value."""
    from scipy.stats import binomtest

    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    discordant = only_ours + only_theirs
    p_value = float(binomtest(only_ours, discordant).pvalue) if discordant else 1.0
    return only_ours, only_theirs, p_value


def _drawn_groups(count: int, draws: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, count, (draws, count))


def _one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    return np.asarray(labels > 0 if labels.ndim == 2 else np.arange(num_classes) == labels[:, None])


def _labelled(labels: np.ndarray) -> np.ndarray:
    return np.asarray(labels.any(axis=1) if labels.ndim == 2 else np.ones(len(labels), bool))
