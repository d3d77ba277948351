"""Writes the report as one HTML page. It is one file, opens from disk, and can be read on a phone and in print.

This module prepares names and numbers. templates/report.html turns them into HTML.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fusion.explaining.pictures import wheel_picture
from fusion.methods.by_groups import Interval
from fusion.methods.evidence import Evidence
from fusion.methods.fixed import probabilities
from fusion.methods.table import LEARNED
from fusion.report.charts import Growth, confusion_cells, growth_curve, learning_curves
from fusion.report.examples import Example
from fusion.report.markup import by_reason, render
from fusion.report.numbers import Calibration, Report
from fusion.report.published import PUBLISHED

_STREAM_TONES = ("var(--first)", "var(--second)", "var(--third)", "var(--fourth)")
_FUSED_TONE = "var(--fused)"
# The most classes that a table shows unfolded, and the most pairs of classes that are listed.
_OPEN_CLASSES, _PAIRS = 30, 5


class Measure(NamedTuple):
    """The measure that ranks the methods: video accuracy, or mean average precision."""

    name: str
    values: Mapping[str, float]
    intervals: Mapping[str, Interval]


class Pair(NamedTuple):
    """A confusion of two classes: its number of videos before and after fusion."""

    truth: str
    taken: str
    before: int
    after: int


class ClassRow(NamedTuple):
    """One class: its number of videos, the results of each stream and of fusion, and the gain over the first stream."""

    name: str
    videos: int
    shares: list[float | None]
    gain: float


class Guess(NamedTuple):
    """A likely class according to a stream. Its probability is None if the scores are not probabilities."""

    name: str
    is_right: bool
    length: float
    probability: float | None


def page(
    report: Report,
    evidence: Evidence,
    fused: np.ndarray,
    examples: Sequence[Example],
    histories: Mapping[str, Path],
) -> str:
    """Returns the page of a report. `fused` are the scores of the method that the page shows in detail."""
    streams = report["streams"]
    shown = [*streams, report["methods"][0]]
    networks = {**streams, **report["joint"]}
    classes = _class_rows(report, shown)
    return render(
        "report.html",
        name=f"{report['data_set']}, split {report['split']}",
        report=report,
        shown=shown,
        tones=_tones(report),
        networks=networks,
        looked_at=sorted({each.get("looked_at", f"views × crops {each['protocol']}") for each in networks.values()}),
        test_selected=test_selected({name: each["selection"] for name, each in networks.items()}),
        measure=_measure(report),
        missing=by_reason(report.get("missing", {}) if report.get("options", {}).get("method") else {}),
        learners=[name for name in report["methods"] if name in LEARNED],
        details=list(dict.fromkeys(name for each in networks.values() for name in each.get("made", {}))),
        published=PUBLISHED.get((report["data_set"], str(report["split"])), ()),
        agreement=_agreement(report),
        changes=_changes(report),
        classes=classes,
        open_classes=_OPEN_CLASSES,
        confusions={name: confusion_cells(report["confusion"][name]) for name in shown if "confusion" in report},
        confused=_most_confused(report, shown[-1]),
        hardest=min(classes, key=lambda row: row.shares[-1] or 0, default=None),
        confidence={name: _overconfidence(each) for name, each in report["reliability"].items()},
        examples=[_example(report, evidence, fused, example) for example in examples],
        wheel=wheel_picture() if examples else "",
        curve=_growth(report),
        curves={stream: learning_curves(path) for stream, path in histories.items()},
    )


def test_selected(selections: Mapping[str, str]) -> list[str]:
    """Returns the networks whose weights were selected on the same videos on which they are evaluated."""
    return [name for name, selection in selections.items() if "test-selected" in selection]


def _tones(report: Report) -> dict[str, str]:
    """Returns the colour of each stream and method. Each stream has its own, and all methods share one."""
    streams = {name: _STREAM_TONES[place % len(_STREAM_TONES)] for place, name in enumerate(report["streams"])}
    return streams | dict.fromkeys(report["methods"], _FUSED_TONE)


def _measure(report: Report) -> Measure:
    if "mean_average_precision" in report:
        return Measure("Mean average precision", report["mean_average_precision"], report["precision_interval"])
    return Measure("Video accuracy", report["video_accuracy"], report["interval"])


def _agreement(report: Report) -> list[tuple[str, int, str]]:
    """Returns the parts of the bar that shows which streams are right: name, number of videos, and colour."""
    names, counts, tones = list(report["streams"]), report["agreement"], _tones(report)
    if len(names) < 2:
        return []
    parts = [("all streams", counts["all"], _FUSED_TONE)]
    parts += [(f"only {name}", counts[f"only_{place}"], tones[name]) for place, name in enumerate(names)]
    parts += [("several, not all", counts["several"], "var(--several)")] if counts["several"] else []
    return [*parts, ("none", counts["none"], "var(--grey)")]


def _changes(report: Report) -> dict[str, list[Pair]]:
    """Returns the confusions of the best stream that fusion corrects, and the new ones that it makes."""
    if "confusion" not in report or not report["gain"]:
        return {}
    before, after = (np.array(report["confusion"][report["gain"][name]]) for name in ("stream", "method"))
    change = after - before
    np.fill_diagonal(change, 0)
    return {"Corrected": _pairs(report, before, after, -change), "Added": _pairs(report, before, after, change)}


def _pairs(report: Report, before: np.ndarray, after: np.ndarray, change: np.ndarray) -> list[Pair]:
    """Returns the pairs of classes with the largest positive change."""
    order = np.argsort(-change, axis=None, kind="stable")[:_PAIRS]
    return [
        Pair(report["classes"][row], report["classes"][column], int(before[row, column]), int(after[row, column]))
        for row, column in zip(*np.unravel_index(order, change.shape), strict=True)
        if change[row, column] > 0
    ]


def _most_confused(report: Report, method: str) -> Pair | None:
    if "confusion" not in report:
        return None
    counts = np.array(report["confusion"][method])
    np.fill_diagonal(counts, 0)
    return next(iter(_pairs(report, counts, counts, counts)), None)


def _class_rows(report: Report, shown: Sequence[str]) -> list[ClassRow]:
    """Returns the classes that have test videos, those with the largest gain by fusion first."""
    values = report["class_accuracy"] if "class_accuracy" in report else report["class_precision"]
    labels = np.array(report["labels"])
    counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=len(report["classes"]))
    rows = []
    for place, name in enumerate(report["classes"]):
        first, last = values[shown[0]][place], values[shown[-1]][place]
        if first is not None and last is not None:
            shares = [values[each][place] for each in shown]
            rows.append(ClassRow(name, int(counts[place]), shares, last - first))
    return sorted(rows, key=lambda row: -row.gain)


def _growth(report: Report) -> Growth | None:
    """Returns the chart of the learning curve, if there is one."""
    questions = report.get("questions")
    return growth_curve(questions["more_clips"]) if questions and questions["more_clips"] else None


def _overconfidence(calibration: Calibration) -> float:
    """Returns the mean confidence minus the accuracy: above zero is overconfident, below zero underconfident."""
    counts = np.array([each["count"] for each in calibration["bins"]])
    excess = np.array([each["confidence"] - each["accuracy"] for each in calibration["bins"]])
    return float(np.average(excess, weights=counts))


def _example(report: Report, evidence: Evidence, fused: np.ndarray, example: Example) -> dict[str, object]:
    """Returns what the page shows of an example: the reason, the video, the true class, and the guesses."""
    names, label = list(report["streams"]), report["labels"][example.place]
    truth = [label] if isinstance(label, int) else [place for place, is_shown in enumerate(label) if is_shown]
    scores = dict(zip(evidence.streams, probabilities(evidence), strict=True)) | {report["methods"][0]: fused}
    return {
        "reason": example.reason.replace("the first stream", names[0]).replace("the last stream", names[-1]),
        "video": report["videos"][example.place],
        "truth": ", ".join(report["classes"][place] for place in truth) or "none of the classes",
        "frames": example.frames,
        "flow": example.flow,
        "looks": example.looks,
        "guesses": {name: _guesses(each[example.place], report["classes"], truth) for name, each in scores.items()},
    }


def _guesses(scores: np.ndarray, classes: Sequence[str], truth: Sequence[int]) -> list[Guess]:
    """Returns the three top classes. The bars of scores that are not probabilities are relative to the highest."""
    are_shares = scores.min() >= 0 and scores.max() <= 1
    lengths = scores if are_shares else np.exp(scores - scores.max())
    return [
        Guess(classes[place], place in truth, float(lengths[place]), float(scores[place]) if are_shares else None)
        for place in np.argsort(-scores, kind="stable")[:3]
    ]
