"""Estimates how much more clips would help, overall and per class, and how clips of unknown classes are treated.

The last layers are solved again on the features that training kept: from fewer videos, and without one class.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from fusion.methods.by_groups import Interval, interval
from fusion.methods.doubting import KEPT, area_under_roc, false_alarms

if TYPE_CHECKING:  # It imports Keras, which reports of score files don't need.
    from streams.last_layer.subsets import Outsiders, Step, Subsets

_DRAWS = 1000
# The steepest fall of errors that is assumed: half the errors with twice the videos.
_STEEPEST = 1.0


class CurvePoint(TypedDict):
    """The accuracy of the last layer when it learns from this number of videos."""

    videos: int
    accuracy: float
    interval: Interval


class ClassNeed(TypedDict):
    """One class: its training videos, their accuracy, and the expected gain from twice as many."""

    name: str
    videos: int
    recognised: float
    gain: float  # Of the accuracy over all classes.
    interval: Interval


class MoreClips(TypedDict):
    """The learning curve, its extrapolation to twice as many videos, and the class with the largest gain."""

    steps: list[CurvePoint]
    doubled: CurvePoint
    gain: float
    gain_interval: Interval
    classes: list[ClassNeed]
    left_out: list[str]  # Classes for which there was no time.


class OutsiderRow(TypedDict):
    """One class treated as unknown: how well confidence separates its videos from those of the others."""

    name: str
    auroc: float
    false_alarms: float  # The share of its videos that are answered at a threshold that almost all of the others pass.


class Outside(TypedDict):
    """The separation of known from unknown classes by confidence, overall and for each class."""

    rows: list[OutsiderRow]
    auroc: float
    false_alarms: float
    kept: float
    left_out: list[str]


def more_clips_of(subsets: "Subsets", classes: Sequence[str]) -> MoreClips:
    """Returns the learning curve and its extrapolation."""
    steps = subsets.learning_curve()
    resample = _Resample(subsets.groups)
    drawn = resample.shares(np.stack([step.right for step in steps]))
    errors = np.array([1 - step.right.mean() for step in steps])
    counts = np.array([step.videos for step in steps])
    least = 0.5 / len(subsets.labels)
    slope, slopes = _slope(counts, errors, least), np.array([_slope(counts, 1 - each, least) for each in drawn])
    left = 2.0**-slope, 2.0**-slopes  # The share of errors that remains with twice the videos.
    after, drawn_after = 1 - errors[-1] * left[0], 1 - (1 - drawn[:, -1]) * left[1]
    full = round(counts[-1])
    needs, left_out = [], []
    order = sorted(
        np.unique(subsets.labels).tolist(), key=lambda label: steps[-1].right[subsets.labels == label].mean()
    )
    for label in order:
        fewer = subsets.with_fewer(label)
        if fewer is None:
            left_out.append(classes[label])
            continue
        lost = resample.shares((steps[-1].right - fewer)[None])[:, 0]
        needs.append(
            ClassNeed(
                name=classes[label],
                videos=int((subsets.labels == label).sum()),
                recognised=float(steps[-1].right[subsets.labels == label].mean()),
                gain=float((steps[-1].right - fewer).mean() * left[0]),
                interval=interval(lost * left[1]),
            )
        )
    return MoreClips(
        steps=[_point(step, each) for step, each in zip(steps, drawn.T, strict=True)],
        doubled=CurvePoint(videos=2 * full, accuracy=float(after), interval=interval(drawn_after)),
        gain=float(after - (1 - errors[-1])),
        gain_interval=interval(drawn_after - drawn[:, -1]),
        classes=sorted(needs, key=lambda need: -need["gain"]),
        left_out=left_out,
    )


def outside_of(subsets: "Subsets", classes: Sequence[str]) -> Outside | None:
    """Returns how well confidence separates an unknown class from the others; None with fewer than three classes."""
    labels = np.unique(subsets.labels).tolist()
    if len(labels) < 3:
        return None
    found = {classes[label]: subsets.without(label) for label in labels}
    rows = [_row(name, each) for name, each in found.items() if each]
    if not rows:
        return None
    return Outside(
        rows=sorted(rows, key=lambda row: row["auroc"]),
        auroc=float(np.mean([row["auroc"] for row in rows])),
        false_alarms=float(np.mean([row["false_alarms"] for row in rows])),
        kept=KEPT,
        left_out=[name for name, each in found.items() if not each],
    )


def _row(name: str, found: "Outsiders") -> OutsiderRow:
    known, unknown = found.sure_of_known, found.sure_of_unknown
    return OutsiderRow(name=name, auroc=area_under_roc(known, unknown), false_alarms=false_alarms(known, unknown))


class _Resample:
    """Bootstrap samples of groups; everything that is compared uses the same ones."""

    def __init__(self, groups: np.ndarray) -> None:
        _, self._member = np.unique(groups, return_inverse=True)
        self._totals = np.bincount(self._member)
        count = len(self._totals)
        self._drawn = np.random.default_rng(0).integers(0, count, (_DRAWS, count))

    def shares(self, values: np.ndarray) -> np.ndarray:
        """Returns the means of values [K, V] in each sample, [draws, K]."""
        sums = np.stack([np.bincount(self._member, row) for row in values], axis=1)
        means: np.ndarray = sums[self._drawn].sum(axis=1) / self._totals[self._drawn].sum(axis=1)[:, None]
        return means


def _slope(counts: np.ndarray, errors: np.ndarray, least: float) -> float:
    """Returns the exponent by which errors fall with the number of videos: the slope of a line in logarithms."""
    x, y = np.log(counts), np.log(np.maximum(errors, least))
    centred = x - x.mean()
    return float(np.clip(-(centred @ y) / (centred @ centred), 0.0, _STEEPEST))


def _point(step: "Step", drawn: np.ndarray) -> CurvePoint:
    return CurvePoint(videos=round(step.videos), accuracy=float(step.right.mean()), interval=interval(drawn))
