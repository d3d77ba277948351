"""All fusion methods by their names on the command line, and the function that applies them."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from fusion.methods import fixed
from fusion.methods.calibration import calibrated
from fusion.methods.classifiers import stacking, svm
from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Rule
from fusion.methods.fusenet import fusenet
from fusion.methods.sequences import SEQUENCES
from fusion.methods.weights import class_weighted, searched_weights, sum_of_logits, weighted_logits

# Methods that learn nothing.
FIXED: Mapping[str, Callable[[Evidence], np.ndarray]] = {
    "average": fixed.average,
    "logits": fixed.mean_logits,
    "vote": fixed.vote,
}
# Methods that learn from labelled videos, which are never those they are evaluated on.
LEARNED: Mapping[str, Callable[[Evidence], Rule]] = {
    "weighted": searched_weights,
    "weighted-logits": weighted_logits,
    "class-weighted": class_weighted,
    "calibrated": calibrated,
    "svm": svm,
    "stacking": stacking,
    "fusenet": fusenet,
    **SEQUENCES,
}
# Networks of both streams, trained end to end.
TRAINED: Mapping[str, Callable[[Evidence], np.ndarray]] = {"conv": fixed.conv}
METHODS = (*FIXED, *LEARNED, *TRAINED)
# Methods that also accept given weights, like weighted:1,1.5.
WEIGHTED = {"weighted": fixed.weighted, "weighted-logits": sum_of_logits}


class Fused(NamedTuple):
    """The result of fusion: scores [V, C] by method, what each method learned, and why some could not be used."""

    scores: dict[str, np.ndarray]
    learned: dict[str, str]
    missing: dict[str, str]


def fuse(methods: Iterable[str], unseen: Evidence, known: Evidence | None, *, folds: bool, why_not: str = "") -> Fused:
    """Fuses the streams by each method; methods that can't be used are returned with the reason.

    Methods that learn are fitted to `known`. With `folds` they are fitted to `unseen` itself by five-fold
    cross-validation over groups.
    """
    fused = Fused({}, {}, {})
    for method in methods:
        try:
            fused.scores[method], fused.learned[method] = _fuse(method, unseen, known, folds=folds, why_not=why_not)
        except LookupError as error:
            fused.missing[method] = str(error.args[0])
        except ValueError as error:
            if method not in LEARNED:
                raise
            fused.missing[method] = str(error)
    return fused


def check_method(method: str) -> None:
    """Raises ValueError if no method has this name."""
    name, _, weights = method.partition(":")
    if name not in METHODS or (weights and name not in WEIGHTED):
        raise ValueError(
            f"There is no fusion method {method!r}. The methods are {', '.join(METHODS)}; weighted and weighted-logits "
            "also take weights, like weighted:1,1.5."
        )
    if weights:
        _weights(method)


def _fuse(
    method: str, unseen: Evidence, known: Evidence | None, *, folds: bool, why_not: str
) -> tuple[np.ndarray, str]:
    if method in FIXED or method in TRAINED:
        return {**FIXED, **TRAINED}[method](unseen), ""
    name = method.partition(":")[0]
    if ":" in method:
        return WEIGHTED[name](unseen, _weights(method, len(unseen.streams))), ""
    fit = LEARNED[method]
    if folds:
        return _by_folds(fit, unseen)
    if known is None:
        raise LookupError(f"there are no labelled videos to learn from: {why_not}")
    rule = fit(known)
    return rule.combine(unseen), rule.learned


def _by_folds(fit: Callable[[Evidence], Rule], evidence: Evidence) -> tuple[np.ndarray, str]:
    scores = np.zeros((evidence.num_videos, evidence.view_logits[0].shape[2]))
    learned = ""
    for rows, others in evidence.folds():
        rule = fit(evidence.rows(rows))
        scores[others] = rule.combine(evidence.rows(others))
        learned = learned or f"{rule.learned} (first of the folds)"
    return scores, learned


def _weights(method: str, count: int | None = None) -> list[float]:
    words = method.partition(":")[2].split(",")
    try:
        weights = [float(word) for word in words]
    except ValueError:
        weights = []
    if not weights or min(weights) < 0 or not sum(weights) > 0 or (count and len(weights) != count):
        wanted = f"{count} numbers" if count else "numbers"
        raise ValueError(
            f"{method!r} must give one weight per stream: {wanted}, none negative and not all 0, like weighted:1,1.5."
        )
    return weights
