"""One evaluation beside another of the same videos: which is better, and whether that may be chance."""

from pathlib import Path
from typing import TypedDict

import numpy as np

from commands.schema import read_json
from fusion.methods.measures import mcnemar
from fusion.report.numbers import ComparedRow, Comparison, Report


class _Compared(TypedDict):
    """The part of a report that is compared."""

    videos: list[str]
    labels: list[int] | list[list[int]]
    classes: list[str]
    decisions: dict[str, list[int]]
    video_accuracy: dict[str, float]


def compare(ours: Report, path: Path) -> Comparison:
    """Returns, for each stream and method in both reports, who has which videos right, and McNemar's p-value."""
    theirs = read_report(path)
    place = {name: row for row, name in enumerate(theirs["videos"])}
    different = set(place).symmetric_difference(ours["videos"])
    if different:
        raise ValueError(
            f"{path} is about {len(place)} videos, this evaluation about {len(ours['videos'])}; {sorted(different)[0]} "
            "is in one of them only. Compare evaluations of the same split."
        )
    order = [place[name] for name in ours["videos"]]
    if [theirs["labels"][row] for row in order] != ours["labels"] or theirs["classes"] != ours["classes"]:
        raise ValueError(f"{path} has other classes or other labels than this evaluation. Compare like with like.")
    rows: dict[str, ComparedRow] = {}
    for name in (name for name in ours["decisions"] if name in theirs["decisions"]):
        right = _right(ours, name)
        only_ours, only_theirs, p_value = mcnemar(right, _right(theirs, name)[order])
        rows[name] = {
            "ours": ours["video_accuracy"][name],
            "theirs": theirs["video_accuracy"][name],
            "only_ours": only_ours,
            "only_theirs": only_theirs,
            "p_value": p_value,
        }
    return {"with": str(path), "rows": rows}


def read_report(path: Path) -> _Compared:
    """Reads a `report.json` that an evaluation left."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no report {path}. Pass the report.json of another evaluation.")
    report = read_json(path, _Compared, "Pass the report.json of an evaluation of one split.")
    count, classes = len(report["videos"]), len(report["classes"])
    decisions = report["decisions"].values()
    fits = all(len(each) == count for each in (report["labels"], *decisions))
    if not fits or not all(0 <= label < classes for each in decisions for label in each):
        raise ValueError(f"{path} can't be used: its labels or decisions don't fit its {count} videos.")
    return report


def _right(report: Report | _Compared, name: str) -> np.ndarray:
    labels, decisions = np.array(report["labels"]), np.array(report["decisions"][name])
    return np.take_along_axis(labels, decisions[:, None], axis=1)[:, 0] > 0 if labels.ndim == 2 else decisions == labels
