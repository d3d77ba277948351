"""Solves last layers again on parts of the kept features: from fewer videos, or without one class.

This estimates the benefit of more videos, and tests videos of unknown classes. The features exist already, so it takes
seconds. It uses one regression on all parts of the features that the streams use.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from streams.last_layer.likelihood import log_softmax, losses
from streams.last_layer.solving import PENALTIES, RANK, group_folds, regressions, rotated

# The shares of the training videos to learn from, and the number of draws of each.
SHARES, DRAWS = (0.25, 0.5, 0.75, 1.0), 4


@dataclass(frozen=True)
class Step:
    """The mean number of training videos in a fold, and how often each held-out video was right: float[V]."""

    videos: float
    right: np.ndarray


@dataclass(frozen=True)
class Outsiders:
    """The confidence of a network in videos of a class that it does not know, and in videos of the others."""

    label: int
    sure_of_known: np.ndarray
    sure_of_unknown: np.ndarray


class Subsets:
    """One regression on the features of all streams, which can be solved from any part of the videos."""

    def __init__(
        self, parts: Sequence[np.ndarray], labels: np.ndarray, groups: Sequence[str], *, seconds: float = 60.0
    ) -> None:
        """Takes features of parts [V, D] and one label per video. Starts nothing after `seconds` of processor time."""
        self.labels, self.groups = labels, np.asarray(groups)
        self._space = _spanned(np.concatenate([rotated(part) for part in parts], axis=1) / np.sqrt(len(parts)))
        self._num_classes = int(labels.max()) + 1
        self._folds = list(group_folds(labels, groups))
        self._until = time.process_time() + seconds

    @property
    def has_time(self) -> bool:
        """Tells whether there is time for more."""
        return time.process_time() < self._until

    @cached_property
    def _penalty(self) -> float:
        """The best penalty for all videos."""
        found = np.zeros((len(PENALTIES), len(self.labels)))
        for rows, others in self._folds:
            solved = regressions(self._space[rows], self.labels[rows], self._num_classes, PENALTIES)
            for place, (kernel, bias) in enumerate(solved):
                found[place, others] = losses(self._space[others] @ kernel + bias, self.labels[others])
        return PENALTIES[int(np.argmin(found.mean(axis=1)))]

    def learning_curve(self) -> list[Step]:
        """Returns the accuracy of the last layer with more and more of the videos."""
        steps = []
        for share in SHARES:
            draws = [
                self._right(share, draw) for draw in range(DRAWS if share < 1 else 1) if draw == 0 or self.has_time
            ]
            counts, rights = zip(*draws, strict=True)
            steps.append(Step(float(np.mean(counts)), np.mean(rights, axis=0)))
        return steps

    def with_fewer(self, label: int, share: float = 0.5) -> np.ndarray | None:
        """Returns how often each video is right with only a share of one class' videos; None if there is no time."""
        draws = [self._right(share, draw, label)[1] for draw in range(DRAWS // 2) if self.has_time]
        return np.mean(draws, axis=0) if len(draws) == DRAWS // 2 else None

    def without(self, label: int) -> Outsiders | None:
        """Returns the confidence in videos of a class that was left out of the training; None if there is no time."""
        if not self.has_time:
            return None
        known, sure = self.labels != label, np.exp(log_softmax(self.logits_without(label))).max(axis=1)
        return Outsiders(label, sure[known], sure[~known])

    def logits_without(self, label: int) -> np.ndarray:
        """Returns the logits of all videos [V, C], each by a last layer that learned neither its fold nor the class."""
        known, logits = self.labels != label, np.zeros((len(self.labels), self._num_classes))
        for rows, others in self._folds:
            logits[others] = self._logits(rows[known[rows]], others)
        return logits

    def _right(self, share: float, draw: int, only: int | None = None) -> tuple[float, np.ndarray]:
        """Returns the number of videos that a fold learned from, and which held-out videos were right."""
        right, counts = np.zeros(len(self.labels)), []
        for number, (rows, others) in enumerate(self._folds):
            chosen = self._some(rows, share, np.random.default_rng((draw, number)), only)
            logits = self._logits(chosen, others)
            right[others] = logits.argmax(axis=1) == self.labels[others]
            counts.append(len(chosen))
        return float(np.mean(counts)), right

    def _some(self, rows: np.ndarray, share: float, random: np.random.Generator, only: int | None) -> np.ndarray:
        """Returns a share of each class' videos, or of one class' only. Larger shares contain smaller ones."""
        names = np.unique(self.groups[rows])
        order = dict(zip(names.tolist(), random.permutation(len(names)).tolist(), strict=True))
        ordered = np.array(sorted(rows.tolist(), key=lambda row: order[self.groups[row]]))
        parts = []
        for label in np.unique(self.labels[rows]):
            of_class = ordered[self.labels[ordered] == label]
            parts.append(of_class if only not in (None, label) else of_class[: max(1, round(share * len(of_class)))])
        return np.sort(np.concatenate(parts))

    def _logits(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Returns the logits of videos by a regression on others. Its penalty per video is that of all videos."""
        penalty = self._penalty * len(self.labels) / len(rows)
        ((kernel, bias),) = regressions(self._space[rows], self.labels[rows], self._num_classes, (penalty,))
        logits: np.ndarray = self._space[others] @ kernel + bias
        return logits


def _spanned(features: np.ndarray) -> np.ndarray:
    """Returns features in as many dimensions as the videos span, which keeps distances and so the regressions."""
    sizes, axes = np.linalg.eigh(features @ features.T)
    kept = np.argsort(-sizes)[: min(RANK, features.shape[1])]
    spanned: np.ndarray = axes[:, kept] * np.sqrt(np.maximum(sizes[kept], 0.0))
    return spanned
