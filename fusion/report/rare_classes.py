"""Measures the accuracy on classes with many, some and few training videos."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from data.catalog import DataSet

# If the commonest class has less than this many times the videos of the rarest one, no class counts as rare.
_UNEVEN = 2


class Band(TypedDict):
    """A third of the classes: their numbers of training videos, and the accuracy on their test videos."""

    name: str
    classes: int
    fewest: int
    most: int
    videos: int
    accuracy: dict[str, float]  # By stream and method: the mean over classes, because rare ones may have one video.


def training_counts(dataset: DataSet, split: int) -> list[int]:
    """Returns the number of training videos of each class."""
    number_of = Counter(dataset.videos[name].labels[0] for name in dataset.splits[split].train)
    return [number_of[label] for label in range(len(dataset.classes))]


def bands_of(
    counts: Sequence[int], labels: Sequence[int] | Sequence[list[int]], decisions: Mapping[str, Sequence[int]]
) -> list[Band]:
    """Returns frequent, medium and rare classes: thirds by training videos. Returns none if all have about as many."""
    if len(counts) < 3 or max(counts) < _UNEVEN * max(1, min(counts)):
        return []
    truth, number = np.asarray(labels), np.asarray(counts)
    thirds = np.array_split(np.argsort(-number, kind="stable"), 3)
    found: list[Band] = []
    for name, classes in zip(("frequent", "medium", "rare"), thirds, strict=True):
        tested = [label for label in classes if (truth == label).any()]
        found.append(
            {
                "name": name,
                "classes": len(classes),
                "fewest": int(number[classes].min()),
                "most": int(number[classes].max()),
                "videos": int(np.isin(truth, classes).sum()),
                "accuracy": {
                    method: float(np.mean([(np.asarray(decided)[truth == label] == label).mean() for label in tested]))
                    for method, decided in decisions.items()
                    if tested
                },
            }
        )
    return found


def in_words(bands: Sequence[Band], method: str) -> str:
    """Returns a line with the accuracy of a method on each band, or "" if there are no bands."""
    parts = [
        f"{band['accuracy'][method]:.1%} on {band['classes']} {band['name']} classes ({band['fewest']} to "
        f"{band['most']} training videos)"
        for band in bands
        if method in band["accuracy"]
    ]
    return f"{method}, mean over classes: {', '.join(parts)}.\n" if parts else ""
