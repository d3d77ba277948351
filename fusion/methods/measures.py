"""What a set of scores is worth, and how sure one can be of that.

Labels are int[V], or zeros and ones [V, C] where a video may have several labels or none.
"""

from collections.abc import Sequence

import numpy as np

Interval = tuple[float, float]


def is_right(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns for each video whether its highest score is a class that it shows: bool[V]."""
    named = scores.argmax(axis=1, keepdims=True)
    truth = labels if labels.ndim == 2 else np.arange(scores.shape[1]) == labels[:, None]
    shown: np.ndarray = np.take_along_axis(truth, named, axis=1)[:, 0] > 0
    return shown


def video_accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of videos whose highest score is their label's; those without any label are left out."""
    return float(np.mean(is_right(scores, labels)[_labelled(labels)]))


def frame_accuracy(view_logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of single views, float[V, views, C], whose highest score is their video's label."""
    counted = _labelled(labels)
    shares = [video_accuracy(view_logits[counted, view], labels[counted]) for view in range(view_logits.shape[1])]
    return float(np.mean(shares))


def top_accuracy(scores: np.ndarray, labels: np.ndarray, count: int) -> float:
    """Returns the share of videos that have a label among the `count` highest scores."""
    truth = _one_hot(labels, scores.shape[1])
    highest = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    hits: np.ndarray = np.take_along_axis(truth, highest, axis=1).max(axis=1)
    return float(np.mean(hits[_labelled(labels)]))


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


def class_precision(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the average precision of each class over the ranking of all videos; NaN for one without videos."""
    truth = np.take_along_axis(_one_hot(labels, scores.shape[1]), np.argsort(-scores, axis=0, kind="stable"), axis=0)
    precision = np.cumsum(truth, axis=0) / np.arange(1, len(truth) + 1)[:, None]
    positives = truth.sum(axis=0)
    return np.where(positives > 0, (precision * truth).sum(axis=0) / np.maximum(positives, 1), np.nan)


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean of the classes' average precision; classes without videos are left out."""
    return float(np.nanmean(class_precision(scores, labels)))


def agreement(streams: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, int]:
    """Returns how many videos all streams have right, only each one of them, several but not all, and none."""
    right = np.stack([is_right(scores, labels)[_labelled(labels)] for scores in streams])
    count = right.sum(axis=0)
    result = {"all": int((count == len(streams)).sum())}
    if len(streams) > 1:
        result |= {f"only_{place}": int((own & (count == 1)).sum()) for place, own in enumerate(right)}
        result["several"] = int(((count > 1) & (count < len(streams))).sum())
    return result | {"none": int((count == 0).sum())}


def accuracy_interval(scores: np.ndarray, labels: np.ndarray, groups: Sequence[str] | np.ndarray) -> Interval:
    """Returns the 95 % interval of the video accuracy over resampled groups."""
    return interval(drawn_accuracies(scores, labels, groups))


def precision_interval(scores: np.ndarray, labels: np.ndarray, groups: Sequence[str] | np.ndarray) -> Interval:
    """Returns the 95 % interval of the mean average precision over resampled groups."""
    return interval(drawn_precisions(scores, labels, groups))


def drawn_accuracies(scores: np.ndarray, labels: np.ndarray, groups: Sequence[str] | np.ndarray) -> np.ndarray:
    """Returns the video accuracy of each of 2000 bootstrap samples of groups.

    Videos of a group succeed and fail together, so resampling single videos would promise too much. Every call draws
    the same groups: the difference of two results is a paired bootstrap.
    """
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    right = np.bincount(member, is_right(scores, labels) & _labelled(labels))
    total = np.bincount(member, _labelled(labels))
    drawn = _drawn_groups(len(total), 2000)
    accuracies: np.ndarray = right[drawn].sum(axis=1) / np.maximum(total[drawn].sum(axis=1), 1)
    return accuracies


def drawn_precisions(scores: np.ndarray, labels: np.ndarray, groups: Sequence[str] | np.ndarray) -> np.ndarray:
    """Returns the mean average precision of each of 200 bootstrap samples of groups, the same ones in every call."""
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

    It is the video accuracy of a guesser who always names that class; its mean is the chance level.
    """
    shares: np.ndarray = _one_hot(labels, num_classes)[_labelled(labels)].mean(axis=0)
    return shares


def reliability(shares: np.ndarray, labels: np.ndarray, num_bins: int = 10) -> list[dict[str, float]]:
    """Returns, for videos that are about equally sure, how sure they are on average and how many are right."""
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
    """Returns the mean distance between how sure and how right, weighed by the videos of each bin."""
    total = sum(each["count"] for each in bins)
    return sum(each["count"] * abs(each["confidence"] - each["accuracy"]) for each in bins) / total


def mcnemar(ours: np.ndarray, theirs: np.ndarray) -> tuple[int, int, float]:
    """Returns how many videos only we and only they have right, and the exact p-value of McNemar's test."""
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
