"""What a fitted way of combining is, and how its one free number is chosen."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fusion.methods.evidence import Evidence
from fusion.methods.measures import mean_average_precision, video_accuracy


class Rule(NamedTuple):
    """A fitted way of combining: it scores videos that it has not seen, and says what it learned."""

    combine: Callable[[Evidence], np.ndarray]
    learned: str = ""


def quality(scores: np.ndarray, evidence: Evidence) -> float:
    """Returns what fitting maximises: video accuracy, or mean average precision where labels are several."""
    judge = mean_average_precision if evidence.is_multi_label else video_accuracy
    return judge(scores, evidence.labels)


def best_by_folds(
    evidence: Evidence, values: Sequence[float], fit: Callable[[Evidence, float], Rule], most_folds: int = 3
) -> float:
    """Returns the value whose fits on some groups are best on the others; of equal ones the first."""
    parts = [(evidence.rows(rows), evidence.rows(others)) for rows, others in evidence.folds(most_folds)]

    def score(value: float) -> float:
        return float(np.mean([quality(fit(seen, value).combine(unseen), unseen) for seen, unseen in parts]))

    return max(values, key=score)


def named(evidence: Evidence, values: Sequence[float] | np.ndarray) -> str:
    """Returns one number for each stream, in words."""
    return ", ".join(f"{name} {value:.3g}" for name, value in zip(evidence.streams, values, strict=True))
