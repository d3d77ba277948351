"""The result of a fusion method that learns, and the choice of its free parameter by cross-validation."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from fusion.methods.evidence import Evidence
from fusion.methods.measures import mean_average_precision, video_accuracy

# The parameters that a method learned, as arrays by name. They are all that it needs to fuse other videos.
Parameters: TypeAlias = Mapping[str, np.ndarray]
Combine: TypeAlias = Callable[[Evidence, Parameters], np.ndarray]


class Rule(NamedTuple):
    """A fitted fusion method: scores unseen videos, and describes what it learned."""

    combine: Callable[[Evidence], np.ndarray]
    learned: str = ""
    parameters: Parameters | None = None  # None if they are too large to be saved.

    @classmethod
    def of(cls, combine: Combine, learned: str, **parameters: object) -> "Rule":
        """Returns a rule that consists of a function of the evidence and these parameters."""
        kept = {name: np.asarray(value, np.float64) for name, value in parameters.items()}
        return cls(lambda unseen: combine(unseen, kept), learned, kept)


def quality(scores: np.ndarray, evidence: Evidence) -> float:
    """Returns the measure that fitting maximises: video accuracy, or for multi-label data mean average precision."""
    judge = mean_average_precision if evidence.is_multi_label else video_accuracy
    return judge(scores, evidence.labels)


def best_by_folds(
    evidence: Evidence, values: Sequence[float], fit: Callable[[Evidence, float], Rule], most_folds: int = 3
) -> float:
    """Returns the value with the best cross-validated quality over groups; the first of equally good ones.

    Values go from strong to weak regularisation. Once a value is worse than the one before it, the search stops: weaker
    regularisation takes longer to fit.
    """
    parts = [(evidence.rows(rows), evidence.rows(others)) for rows, others in evidence.folds(most_folds)]

    def score(value: float) -> float:
        return float(np.mean([quality(fit(seen, value).combine(unseen), unseen) for seen, unseen in parts]))

    best, most = values[0], -np.inf
    for value in values:
        found = score(value)
        if found < most:
            break
        if found > most:
            best, most = value, found
    return best


def named(evidence: Evidence, values: Sequence[float] | np.ndarray) -> str:
    """Returns the name and the number of each stream as text, for messages."""
    return ", ".join(f"{name} {value:.3g}" for name, value in zip(evidence.streams, values, strict=True))
