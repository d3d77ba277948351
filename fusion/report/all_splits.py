"""Several splits as one: the mean over them, as the field reports its data sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from commands.files import write_json, write_text
from fusion.report.markup import render
from fusion.report.numbers import Report
from fusion.report.page import test_selected
from fusion.report.published import PUBLISHED


class Selection(TypedDict):
    """How the weights of one network were selected, in all splits."""

    selection: str


class MeanReport(TypedDict):
    """The report of all splits, as `report.json` holds it."""

    data_set: str
    streams: dict[str, Selection]
    split: str
    num_videos: int
    video_accuracy: dict[str, float]
    splits: dict[str, Report]


def mean_report(reports: Sequence[Report]) -> MeanReport:
    """Returns the mean accuracies over splits of the streams and methods that all of them have."""
    common = [name for name in reports[0]["video_accuracy"] if all(name in each["video_accuracy"] for each in reports)]
    networks = [{**each["streams"], **each["joint"]} for each in reports]
    selections = {
        name: sorted({each[name]["selection"] for each in networks if name in each})
        for name in {name: None for each in networks for name in each}
    }
    return {
        "data_set": reports[0]["data_set"],
        "streams": {name: {"selection": ", ".join(selected)} for name, selected in selections.items()},
        "split": "all",
        "num_videos": sum(each["num_videos"] for each in reports),
        "video_accuracy": {name: float(np.mean([each["video_accuracy"][name] for each in reports])) for name in common},
        "splits": {str(each["split"]): each for each in reports},
    }


def write_mean(folder: Path, report: MeanReport) -> Path:
    """Writes the mean as `report.json` and `report.html`, with links to the pages of the splits beside."""
    selections = {name: each["selection"] for name, each in report["streams"].items()}
    shown = render(
        "all_splits.html",
        name=f"{report['data_set']}, all splits",
        report=report,
        selections=selections,
        test_selected=test_selected(selections),
        published=PUBLISHED.get((report["data_set"], "all"), ()),
    )
    write_json(folder / "report.json", report)
    write_text(folder / "report.html", shown)
    return folder / "report.html"
