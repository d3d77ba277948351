"""All fusion methods by their names on the command line, and functions that apply them."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from commands.running import in_one_thread
from commands.waiting import Now
from fusion.methods import fixed
from fusion.methods.calibration import calibrated, mean_at_temperatures
from fusion.methods.class_weights import class_weighted, sum_by_class
from fusion.methods.classifiers import decide_by_logs, decide_by_shares, stacking, svm
from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Combine, Parameters, Rule
from fusion.methods.fusenet import fusenet, sum_and_more
from fusion.methods.sequences import SEQUENCES, states_to_scores
from fusion.methods.weights import searched_weights, weighted_logits, weighted_shares, weighted_sum


def _by_nothing(evidence: Evidence, parameters: Parameters, method: Callable[[Evidence], np.ndarray]) -> np.ndarray:
    return method(evidence)


# Methods that learn nothing.
FIXED: Mapping[str, Callable[[Evidence], np.ndarray]] = {
    "average": fixed.average,
    "average-views": fixed.average_views,
    "logits": fixed.mean_logits,
    "vote": fixed.vote,
}
# Methods that learn from labelled videos. They never learn from videos on which they are evaluated.
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
# Networks of both streams that were trained end to end.
TRAINED: Mapping[str, Callable[[Evidence], np.ndarray]] = {"conv": fixed.conv}
METHODS = (*FIXED, *LEARNED, *TRAINED)
# Methods that also accept given weights, like weighted:1,1.5.
WEIGHTED = ("weighted", "weighted-logits")
# For each method, the function that fuses videos with learned parameters. conv has none: it is a network of its own.
APPLY: Mapping[str, Combine] = {
    **{name: partial(_by_nothing, method=method) for name, method in FIXED.items()},
    "weighted": weighted_shares,
    "weighted-logits": weighted_sum,
    "class-weighted": sum_by_class,
    "calibrated": mean_at_temperatures,
    "svm": decide_by_shares,
    "stacking": decide_by_logs,
    "fusenet": sum_and_more,
    **{name: partial(states_to_scores, kind=name.partition("-")[0]) for name in SEQUENCES},
}


# Further names of methods.
SAME = {"late": "average"}


class Fused(NamedTuple):
    """The result of fusion: scores [V, C] by method, what each method learned, and why some could not be used."""

    scores: dict[str, np.ndarray]
    learned: dict[str, str]
    missing: dict[str, str]
    parameters: dict[str, Parameters]  # Learned parameters of each method that can fuse other videos.


def fuse(methods: Iterable[str], unseen: Evidence, known: Evidence | None, *, folds: bool, why_not: str = "") -> Fused:
    """Fuses the streams by each method. A method that can't be used is returned with the reason.

    Methods that learn are fitted to `known`. With `folds`, they are cross-validated on `unseen` itself, over five folds
    by group.
    """
    fused, methods = Fused({}, {}, {}, {}), tuple(methods)
    with in_one_thread():
        for place, method in enumerate(methods, 1):
            Now.doing = f"Fusing by {method} ({place} of {len(methods)} methods)"
            try:
                if folds and method in LEARNED:
                    fused.scores[method], fused.learned[method] = by_folds(method, unseen)
                    continue
                rule = _rule(method, known, len(unseen.streams), why_not)
                fused.scores[method], fused.learned[method] = rule.combine(unseen), rule.learned
                if rule.parameters is not None:
                    fused.parameters[method] = rule.parameters
            except LookupError as error:
                fused.missing[method] = str(error.args[0])
            except ValueError as error:
                if method not in LEARNED:
                    raise
                fused.missing[method] = str(error)
    return fused


def check_method(method: str) -> None:
    """Raises ValueError if there is no method of this name."""
    name, _, weights = method.partition(":")
    if name not in (*METHODS, *SAME) or (weights and name not in WEIGHTED):
        raise ValueError(
            f"There is no fusion method {method!r}. The methods are {', '.join(METHODS)}. weighted and weighted-logits "
            "also take weights, like weighted:1,1.5."
        )
    if weights:
        _weights(method)


def given_rule(method: str, count: int) -> Rule:
    """Returns the rule of a method that learns nothing, for this number of streams."""
    if method in TRAINED:
        return Rule(TRAINED[method])
    if method in FIXED:
        return Rule(FIXED[method], parameters={})
    return Rule.of(APPLY[method.partition(":")[0]], "", weights=_weights(method, count))


def by_folds(method: str, evidence: Evidence, most: int = 5) -> tuple[np.ndarray, str]:
    """Returns the cross-validated scores of a method over groups, and what it learned in the first fold."""
    scores = np.zeros((evidence.num_videos, evidence.view_logits[0].shape[2]))
    learned = ""
    doing = Now.doing
    for fold, (rows, others) in enumerate(evidence.folds(most), 1):
        Now.doing = f"{doing}, fold {fold}"
        rule = LEARNED[method](evidence.rows(rows))
        scores[others] = rule.combine(evidence.rows(others))
        learned = learned or f"{rule.learned} (first of the folds)"
    return scores, learned


def _rule(method: str, known: Evidence | None, count: int, why_not: str) -> Rule:
    if method not in LEARNED:
        return given_rule(method, count)
    if known is None:
        raise LookupError(f"there are no labelled videos to learn from: {why_not}")
    return LEARNED[method](known)


def _weights(method: str, count: int | None = None) -> list[float]:
    words = method.partition(":")[2].split(",")
    try:
        weights = [float(word) for word in words]
    except ValueError:
        weights = []
    if not weights or min(weights) < 0 or not sum(weights) > 0 or (count and len(weights) != count):
        wanted = f"{count} numbers" if count else "numbers"
        raise ValueError(
            f"{method!r} must give one weight per stream: {wanted}, none negative and not all 0. "
            f"For example {method.partition(':')[0]}:{','.join(['1', '1.5', *['1'] * ((count or 2) - 2)])}."
        )
    return weights
