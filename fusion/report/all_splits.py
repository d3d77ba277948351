"""Reports several splits as their mean, which is usual for these data sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from commands.files import write_json, write_text
from fusion.methods.by_groups import Interval, accuracy_interval, precision_interval
from fusion.report.markup import render
from fusion.report.numbers import Comparison, Report
from fusion.report.one_split import Evaluation
from fusion.report.page import test_selected
from fusion.report.published import PUBLISHED

# The measures that are averaged over splits. Each has values by stream or method.
MEASURES = ("video_accuracy", "frame_accuracy", "top_accuracy", "mean_class_accuracy", "mean_average_precision")


class Selection(TypedDict):
    """The selection of one network's weights, over all splits."""

    selection: str


class MeanReport(TypedDict):
    """The report of all splits, as in `report.json`: the mean of each measure by stream or method."""

    data_set: str
    streams: dict[str, Selection]
    split: str
    num_videos: int
    top: int
    video_accuracy: dict[str, float]
    frame_accuracy: dict[str, float]
    top_accuracy: dict[str, float]
    mean_class_accuracy: NotRequired[dict[str, float]]
    mean_average_precision: NotRequired[dict[str, float]]
    deviation: dict[str, dict[str, float]]  # The standard deviation over splits, by measure, then by stream or method.
    interval: dict[str, Interval]  # Of the mean video accuracy.
    precision_interval: NotRequired[dict[str, Interval]]
    comparison: NotRequired[Comparison | None]
    options: NotRequired[dict[str, object]]
    splits: dict[str, Report]


def mean_report(evaluations: Sequence[Evaluation]) -> MeanReport:
    """Returns the mean of every measure over splits, for the streams and methods that all of them have."""
    reports = [each.report for each in evaluations]
    parts = [each.parts for each in evaluations]
    common = [name for name in parts[0] if all(name in each for each in parts)]
    of_splits = {measure: _of_splits(measure, reports) for measure in MEASURES if measure in reports[0]}
    mean = {
        measure: {name: float(np.mean(values)) for name, values in found.items()}
        for measure, found in of_splits.items()
    }
    report: MeanReport = {
        "data_set": reports[0]["data_set"],
        "streams": _selections(reports),
        "split": "all",
        "num_videos": sum(each["num_videos"] for each in reports),
        "top": reports[0]["top"],
        **mean,  # type: ignore[typeddict-item]
        "deviation": {
            measure: {name: _deviation(values) for name, values in found.items()}
            for measure, found in of_splits.items()
        },
        "interval": {name: accuracy_interval(*(each[name] for each in parts)) for name in common},
        "splits": {str(each["split"]): each for each in reports},
    }
    if "mean_average_precision" in report:
        report["precision_interval"] = {name: precision_interval(*(each[name] for each in parts)) for name in common}
    return report


def write_mean(folder: Path, report: MeanReport) -> Path:
    """Writes the mean as `report.json` and `report.html`, with links to the pages of the splits."""
    selections = {name: each["selection"] for name, each in report["streams"].items()}
    shown = render(
        "all_splits.html",
        name=f"{report['data_set']}, all splits",
        report=report,
        measures=[(title, measure) for title, measure in _titles(report) if measure in report],
        selections=selections,
        test_selected=test_selected(selections),
        published=PUBLISHED.get((report["data_set"], "all"), ()),
    )
    write_json(folder / "report.json", report)
    write_text(folder / "report.html", shown)
    return folder / "report.html"


def _of_splits(measure: str, reports: Sequence[Report]) -> dict[str, list[float]]:
    """Returns the values of a measure in all splits, for the names that all splits have."""
    found: list[dict[str, float]] = [each[measure] for each in reports]  # type: ignore[literal-required]
    return {name: [each[name] for each in found] for name in found[0] if all(name in each for each in found)}


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _selections(reports: Sequence[Report]) -> dict[str, Selection]:
    networks = [{**each["streams"], **each["joint"]} for each in reports]
    names = {name: None for each in networks for name in each}
    selected = {name: sorted({each[name]["selection"] for each in networks if name in each}) for name in names}
    return {name: {"selection": ", ".join(ways)} for name, ways in selected.items()}


def _titles(report: MeanReport) -> list[tuple[str, str]]:
    titles = ("Video accuracy", "Frame accuracy", f"Top-{report['top']} accuracy", "Mean class accuracy")
    return list(zip((*titles, "Mean average precision"), MEASURES, strict=True))
