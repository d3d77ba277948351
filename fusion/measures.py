"""What a set of decisions is worth: accuracies and how sure one can be of them."""

from collections.abc import Sequence

import numpy as np


def video_accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of videos whose highest score is their label's."""
    return float(np.mean(scores.argmax(axis=1) == labels))


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
