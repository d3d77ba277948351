"""Every way of combining streams, by the name that the command line knows."""

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

# These learn nothing.
FIXED: Mapping[str, Callable[[Evidence], np.ndarray]] = {
    "average": fixed.average,
    "logits": fixed.mean_logits,
    "vote": fixed.vote,
}
# These learn from videos with known labels that are not those they are judged by.
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
# These were trained with the streams, end to end.
TRAINED: Mapping[str, Callable[[Evidence], np.ndarray]] = {"conv": fixed.conv}
METHODS = (*FIXED, *LEARNED, *TRAINED)
# These take weights that are given, as weighted:1,1.5.
WEIGHTED = {"weighted": fixed.weighted, "weighted-logits": sum_of_logits}


class Fused(NamedTuple):
    """What came of fusing: scores [V, C] by method, what each learned, and why some could not be used."""

    scores: dict[str, np.ndarray]
    learned: dict[str, str]
    missing: dict[str, str]


def fuse(methods: Iterable[str], unseen: Evidence, known: Evidence | None, *, folds: bool, why_not: str = "") -> Fused:
    """Fuses the streams in every way that is named; those that lack something are named with the reason.

    Methods that learn do so from `known`; with `folds` from `unseen` itself, five times, each time from some groups
    for the others.
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
    """Refuses names that no method has."""
    name, _, weights = method.partition(":")
    if name not in METHODS or (weights and name not in WEIGHTED):
        raise ValueError(
            f"There is no fusion method {method!r}. Those known are: {', '.join(METHODS)}, weighted:1,1.5, "
            "weighted-logits:1,1.5."
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
        raise LookupError(f"there are no videos with known labels to learn from: {why_not}")
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
            f"{method!r} must give one weight for each stream: {wanted}, none below 0, not all 0. "
            "For example weighted:1,1.5."
        )
    return weights
