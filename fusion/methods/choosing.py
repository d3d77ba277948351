"""Which way to fuse is the best on videos that it has not learned from, and when its answers are to be doubted."""

from collections.abc import Mapping, Sequence

import numpy as np

from fusion.methods.calibration import temperatures
from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Parameters, quality
from fusion.methods.kept import Doubt, Fusion, as_probabilities, travels
from fusion.methods.measures import is_right
from fusion.methods.sequences import SEQUENCES
from fusion.methods.table import LEARNED, by_folds, given_rule

# Methods that would train networks again for every fold: they are kept, and taken only if they are named.
_SLOW = ("fusenet", *SEQUENCES)
# With more videos than this, three folds are enough to choose by.
_MANY = 500
# The share of the classes' own videos that must still be answered.
KEPT = 0.95
# With fewer videos, the threshold would be the one video that is least sure.
_LEAST = 20


def fusions_of(
    parameters: Mapping[str, Parameters], known: Evidence, learned_from: str
) -> tuple[str, dict[str, Fusion]]:
    """Returns the method that does best on `known`, and for every method what it needs to fuse other videos.

    A method that learns is judged by folds of `known` over groups: by videos that it has not learned from.
    """
    held_out = {method: scores for method in parameters if (scores := _held_out(method, known)) is not None}
    chosen = _best(held_out, known) if held_out else next(iter(parameters))
    why = f"the best on {learned_from}" if len(held_out) > 1 else f"learned from {learned_from}"
    kept = {}
    for method, found in parameters.items():
        fusion = Fusion(method, known.streams, found, why=why if method == chosen else "as named")
        kept[method] = _with_doubt(fusion, held_out.get(method), known)
    return chosen, kept


def _held_out(method: str, known: Evidence) -> np.ndarray | None:
    """Returns the scores of `known` by a method that has not learned from them; None where that can't be."""
    if method in _SLOW or not travels(method):
        return None
    if method not in LEARNED:
        return given_rule(method, len(known.streams)).combine(known)
    try:
        return by_folds(method, known, 3 if known.num_videos > _MANY else 5)[0]
    except (ValueError, LookupError):
        return None


def _best(held_out: Mapping[str, np.ndarray], known: Evidence) -> str:
    """Returns the first method that is not worse than the best by more than a standard error over groups."""
    best = max(held_out, key=lambda method: quality(held_out[method], known))
    if known.is_multi_label:
        return best
    right = {method: is_right(scores, known.labels).astype(float) for method, scores in held_out.items()}
    for method, ours in right.items():
        loss = right[best] - ours
        if loss.mean() <= _standard_error(loss, known.groups):
            return method
    return best


def _standard_error(values: np.ndarray, groups: Sequence[str] | np.ndarray) -> float:
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(member, values - values.mean())
    return float(np.sqrt((sums**2).sum() * len(sums) / max(1, len(sums) - 1)) / len(values))


def _with_doubt(fusion: Fusion, held_out: np.ndarray | None, known: Evidence) -> Fusion:
    """Adds what makes probabilities of an SVM's decisions, and below which probability an answer is unsure."""
    if held_out is None:
        return fusion
    sharpness = 1.0
    if fusion.name == "svm":
        sharpness = 1.0 / temperatures(Evidence(("svm",), (held_out[:, None],), known.labels, known.groups))[0]
    doubt = None
    if not known.is_multi_label and known.num_videos >= _LEAST:
        sure = as_probabilities(fusion.method, sharpness * held_out, multi_label=False).max(axis=1)
        # Rounded down, so that not one more is doubted than was meant.
        below = float(np.floor(1e4 * np.quantile(sure, 1 - KEPT)) / 1e4)
        doubt = Doubt(below, float((sure >= below).mean()), known.num_videos)
    return Fusion(fusion.method, fusion.streams, fusion.parameters, sharpness, doubt, fusion.why)
