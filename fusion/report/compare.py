"""Compares two evaluations of the same videos: which one is better, and whether the difference may be chance."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, cast

import numpy as np

from commands.schema import read_json
from fusion.methods.by_groups import exchange_groups
from fusion.report.all_splits import MeanReport
from fusion.report.numbers import ComparedRow, Comparison, Report


class _Compared(TypedDict):
    """The part of a report of one split that is compared."""

    videos: list[str]
    labels: list[int] | list[list[int]]
    groups: list[str]
    classes: list[str]
    decisions: dict[str, list[int]]
    video_accuracy: dict[str, float]


class _ComparedMean(TypedDict):
    """The part of a report of all splits that is compared."""

    video_accuracy: dict[str, float]
    splits: dict[str, _Compared]


_Any = Report | MeanReport | _Compared | _ComparedMean
_ADVICE = "Pass the report.json of an evaluation of the same splits."


def compare(ours: Report | MeanReport, other: str) -> Comparison:
    """Returns how many videos only one side has right, and the p-value of exchanging groups.

    `other` is the file of another report, whose streams and methods are compared with ours of the same name. Or it is
    the name of one of our streams or methods, with which all others are compared.
    """
    if other in ours["video_accuracy"]:
        return {"with": other, "rows": {name: _row(ours, ours, name, other) for name in _shared(ours, ours, other)}}
    theirs = read_report(Path(other))
    _check_same_videos(ours, theirs, other)
    return {"with": other, "rows": {name: _row(ours, theirs, name, name) for name in _shared(ours, theirs)}}


def read_report(path: Path) -> _Compared | _ComparedMean:
    """Reads a `report.json`, of one split or of all."""
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no report {path}, and no stream or method of this name. Name the report.json of another "
            "evaluation, or a stream or method of this one."
        )
    of_several = "splits" in read_json(path, dict[str, object], _ADVICE)
    report = read_json(path, _ComparedMean, _ADVICE) if of_several else read_json(path, _Compared, _ADVICE)
    for each in splits_of(report).values():
        count, classes = len(each["videos"]), len(each["classes"])
        decisions = each["decisions"].values()
        fits = all(len(values) == count for values in (each["labels"], each["groups"], *decisions))
        if not fits or not all(0 <= label < classes for values in decisions for label in values):
            raise ValueError(f"{path} can't be used: its labels, groups or decisions don't fit its {count} videos.")
    return report


def splits_of(report: _Any) -> Mapping[str, _Compared]:
    """Returns the reports of the splits by their numbers. A report of one split has only itself."""
    return cast(Mapping[str, _Compared], report.get("splits") or {str(report.get("split", "")): report})


def _shared(ours: _Any, theirs: _Any, but: str = "") -> list[str]:
    return [name for name in ours["video_accuracy"] if name in theirs["video_accuracy"] and name != but]


def _row(ours: _Any, theirs: _Any, name: str, other: str) -> ComparedRow:
    """Returns the comparison of our `name` with their `other`, over the videos of all splits together."""
    pairs = list(zip(splits_of(ours).values(), splits_of(theirs).values(), strict=True))
    groups = [group for mine, _ in pairs for group in mine["groups"]]
    right = np.concatenate([_right(mine, name) for mine, _ in pairs])
    other_right = np.concatenate([_right(yours, other)[_order(mine, yours)] for mine, yours in pairs])
    only_ours, only_theirs, p_value = exchange_groups(right, other_right, groups)
    return {
        "ours": ours["video_accuracy"][name],
        "theirs": theirs["video_accuracy"][other],
        "only_ours": only_ours,
        "only_theirs": only_theirs,
        "p_value": p_value,
    }


def _check_same_videos(ours: _Any, theirs: _Any, file: str) -> None:
    """Raises ValueError unless both reports are about the same splits, videos, classes and labels."""
    if len(splits_of(ours)) != len(splits_of(theirs)):
        raise ValueError(
            f"{file} has {len(splits_of(theirs))} splits, but this evaluation has {len(splits_of(ours))}. Compare "
            "evaluations of the same splits."
        )
    for mine, yours in zip(splits_of(ours).values(), splits_of(theirs).values(), strict=True):
        different = set(yours["videos"]).symmetric_difference(mine["videos"])
        if different:
            raise ValueError(
                f"{file} has {len(yours['videos'])} videos, but this evaluation has {len(mine['videos'])}; "
                f"{min(different)} is only in one of them. Compare evaluations of the same split."
            )
        labels = [yours["labels"][row] for row in _order(mine, yours)]
        if labels != mine["labels"] or yours["classes"] != mine["classes"]:
            raise ValueError(f"{file} has other classes or labels than this evaluation. Compare like with like.")


def _order(ours: _Compared, theirs: _Compared) -> list[int]:
    """Returns for each of our videos its row among theirs."""
    place = {name: row for row, name in enumerate(theirs["videos"])}
    return [place[name] for name in ours["videos"]]


def _right(report: _Compared, name: str) -> np.ndarray:
    labels, decisions = np.array(report["labels"]), np.array(report["decisions"][name])
    return np.take_along_axis(labels, decisions[:, None], axis=1)[:, 0] > 0 if labels.ndim == 2 else decisions == labels
