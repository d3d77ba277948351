"""Chooses the fusion method that is best on held-out videos, and the threshold below which answers are unsure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from commands.running import in_one_thread
from commands.waiting import Now
from fusion.methods.calibration import temperatures
from fusion.methods.doubting import calibrating_temperature, threshold
from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Parameters, quality
from fusion.methods.fixed import softmax
from fusion.methods.kept import Alone, Doubt, Fusion, as_probabilities, travels
from fusion.methods.measures import is_right
from fusion.methods.sequences import SEQUENCES
from fusion.methods.table import LEARNED, by_folds, given_rule
from streams.last_layer.mixing import standard_error

# The logits of each stream: float[V, views, C].
Logits: TypeAlias = Mapping[str, np.ndarray]
# These methods train networks, which takes too long for every fold. They are used only if the user names them.
_SLOW = ("fusenet", *SEQUENCES)
# With more videos than this, three folds are enough to choose.
_MANY = 500
# The highest threshold. Above it, known videos differ only in the last digits of their confidence.
_HIGHEST = 0.99
# With fewer videos than this, the threshold would depend on a single video.
_LEAST = 20


def fusions_of(
    parameters: Mapping[str, Parameters], known: Evidence, learned_from: str, others: Logits | None = None
) -> tuple[str, dict[str, Fusion]]:
    """Returns the name of the best method on `known`, and a fusion for every method, ready for other videos.

    Methods that learn are cross-validated on `known`, with folds by group, so they are evaluated on held-out videos.
    `others` are logits of clips of other classes, which help to set the threshold for unsure answers.
    """
    held_out = {method: scores for method in parameters if (scores := _held_out(method, known)) is not None}
    chosen = _best(held_out, known) if held_out else next(iter(parameters))
    why = f"the best on {learned_from}" if len(held_out) > 1 else f"learned from {learned_from}"
    kept = {}
    for method, found in parameters.items():
        fusion = Fusion(method, known.streams, found, why=why if method == chosen else "as named")
        kept[method] = _with_thresholds(fusion, held_out.get(method), known, others)
    return chosen, kept


def _held_out(method: str, known: Evidence) -> np.ndarray | None:
    """Returns a method's scores for `known`, never learned from the videos that it scores. None if it has none."""
    if method in _SLOW or not travels(method):
        return None
    Now.doing = f"Choosing the fusion for other videos: {method}"
    if method not in LEARNED:
        return given_rule(method, len(known.streams)).combine(known)
    try:
        with in_one_thread():
            return by_folds(method, known, 3 if known.num_videos > _MANY else 5)[0]
    except (ValueError, LookupError):
        return None


def _best(held_out: Mapping[str, np.ndarray], known: Evidence) -> str:
    """Returns the first method that is within one standard error (over groups) of the best."""
    best = max(held_out, key=lambda method: quality(held_out[method], known))
    if known.is_multi_label:
        return best
    right = {method: is_right(scores, known.labels).astype(float) for method, scores in held_out.items()}
    for method, ours in right.items():
        loss = right[best] - ours
        if loss.mean() <= standard_error(loss, known.groups):
            return method
    return best


def _with_thresholds(fusion: Fusion, held_out: np.ndarray | None, known: Evidence, others: Logits | None) -> Fusion:
    """Adds the temperature of an SVM's decisions, the threshold for unsure answers, and that for one stream alone."""
    if held_out is None:
        return fusion
    if fusion.name == "svm":
        heat = temperatures(Evidence(("svm",), (held_out[:, None],), known.labels, known.groups))[0]
        fusion = replace(fusion, sharpness=1.0 / heat)
    if known.is_multi_label or known.num_videos < _LEAST:
        return fusion
    shares = as_probabilities(fusion.method, fusion.sharpness * held_out, multi_label=False)
    sure, unknown = shares.max(axis=1), None if others is None else fusion.probabilities(others).max(axis=1)
    # Rounded down, so that rounding never makes another answer unsure.
    below = min(_HIGHEST, float(np.floor(1e4 * threshold(sure, unknown)) / 1e4))
    doubt = Doubt(
        below,
        float((sure >= below).mean()),
        known.num_videos,
        calibrating_temperature(shares, known.labels),
        0 if unknown is None else len(unknown),
        0.0 if unknown is None else float((unknown >= below).mean()),
    )
    return replace(fusion, doubt=doubt, alone=_alone(shares, known))


def _alone(fused: np.ndarray, known: Evidence) -> Alone:
    """Returns the lowest threshold above which the first stream may answer alone.

    On held-out videos, this loses at most one standard error of accuracy.
    """
    first = softmax(known.logits[0])
    sure = first.max(axis=1)
    right, right_fused = (is_right(each, known.labels).astype(float) for each in (first, fused))
    for above in np.unique(np.floor(1e4 * sure) / 1e4):
        together = np.where(sure >= above, right, right_fused)
        lost = right_fused - together
        if lost.mean() <= standard_error(lost, known.groups):
            break
    else:
        above, together = 1.0, right_fused
    share = float((sure >= above).mean())
    return Alone(float(above), share, float(together.mean()), float(right_fused.mean()))
