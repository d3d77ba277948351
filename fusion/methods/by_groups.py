"""Confidence intervals and significance tests that draw groups of videos, not single videos.

Videos of one group show the same people or place and tend to be right or wrong together. If single videos were drawn
or exchanged, intervals would be too narrow, and chance could look like a difference.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fusion.methods.measures import is_labelled, is_right, mean_average_precision

Interval = tuple[float, float]


class Part(NamedTuple):
    """The scores of some videos, [V, C], with their labels and groups: one split, for instance."""

    scores: np.ndarray
    labels: np.ndarray
    groups: Sequence[str] | np.ndarray


def accuracy_interval(*parts: Part) -> Interval:
    """Returns the 95 % confidence interval of the video accuracy, or of its mean over parts, by bootstrap over groups.

    If all videos are right, or all are wrong, all samples agree, although a few groups prove little. In that case the
    interval ends at the accuracy for which so many groups in a row would be right (or wrong) once in forty times.
    """
    low, high = interval(drawn_accuracies(*parts))
    least = 0.025 ** (1 / len(_names(parts)))
    return (least, high) if low == 1 else (low, 1 - least) if high == 0 else (low, high)


def precision_interval(*parts: Part) -> Interval:
    """Returns the 95 % confidence interval of the mean average precision, by bootstrap over groups."""
    return interval(drawn_precisions(*parts))


def drawn_accuracies(*parts: Part) -> np.ndarray:
    """Returns the video accuracy, averaged over parts, in each of 2000 bootstrap samples of groups.

    A group that is in several parts is drawn for all of them. Every call draws the same groups, so the difference
    between two results is a paired bootstrap.
    """
    names, counts = _drawn_counts(parts, 2000)
    accuracies = []
    for part in parts:
        member, counted = np.searchsorted(names, part.groups), is_labelled(part.labels)
        right = np.bincount(member, is_right(part.scores, part.labels) & counted, len(names))
        total = np.bincount(member, counted, len(names))
        accuracies.append(counts @ right / np.maximum(counts @ total, 1))
    mean: np.ndarray = np.mean(accuracies, axis=0)
    return mean


def drawn_precisions(*parts: Part) -> np.ndarray:
    """Returns the average precision, averaged over classes and parts, in each of 200 bootstrap samples of groups."""
    names, counts = _drawn_counts(parts, 200)
    precisions = []
    for part in parts:
        of_video = counts[:, np.searchsorted(names, part.groups)]
        precisions.append([_precision_of_drawn(part, times) for times in of_video])
    mean: np.ndarray = np.mean(precisions, axis=0)
    return mean


def interval(values: np.ndarray) -> Interval:
    """Returns the middle 95 % of bootstrap values."""
    low, high = np.nanquantile(values, (0.025, 0.975))
    return float(low), float(high)


def exchange_groups(ours: np.ndarray, theirs: np.ndarray, groups: Sequence[str] | np.ndarray) -> tuple[int, int, float]:
    """Returns how many videos only the first has right, how many only the second has right, and the p-value of that.

    If both were equally good, each group's difference would be equally likely with the opposite sign. The two-sided
    p-value is the exact share of all choices of signs whose sum is as far from zero. With groups of one video, this is
    McNemar's test.
    """
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    of_group = np.bincount(member, ours.astype(int) - theirs.astype(int)).astype(int)
    shares = np.ones(1)  # The probability of each sum, from the lowest to the highest.
    for size in np.abs(of_group[of_group != 0]):
        shares = (np.pad(shares, (0, 2 * size)) + np.pad(shares, (2 * size, 0))) / 2
    sums = np.arange(len(shares)) - len(shares) // 2
    p_value = float(shares[np.abs(sums) >= abs(of_group.sum())].sum())
    return int((ours & ~theirs).sum()), int((theirs & ~ours).sum()), min(1.0, p_value)


def _names(parts: Sequence[Part]) -> np.ndarray:
    return np.unique(np.concatenate([np.asarray(part.groups) for part in parts]))


def _drawn_counts(parts: Sequence[Part], draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the names of all groups, and how often each group is in each sample: [draws, groups]."""
    names = _names(parts)
    drawn = np.random.default_rng(0).integers(0, len(names), (draws, len(names)))
    places = drawn + len(names) * np.arange(draws)[:, None]
    return names, np.bincount(places.ravel(), minlength=drawn.size).reshape(drawn.shape)


def _precision_of_drawn(part: Part, times: np.ndarray) -> float:
    chosen = np.repeat(np.arange(len(times)), times)
    return mean_average_precision(part.scores[chosen], part.labels[chosen]) if len(chosen) else np.nan
