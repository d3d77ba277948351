"""Several splits as one: the mean over them, as the field reports its data sets."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from commands.running import write_json, write_text
from fusion.markup import percent, section, table, title
from fusion.page import document, selection_warning
from fusion.published import PUBLISHED


def mean_report(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns the mean accuracies over splits of the streams and methods that all of them have."""
    common = [name for name in reports[0]["video_accuracy"] if all(name in each["video_accuracy"] for each in reports)]
    networks = [{**each["streams"], **each.get("joint", {})} for each in reports]
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


def write_mean(folder: Path, report: dict[str, Any]) -> Path:
    """Writes the mean as `report.json` and `report.html`, with links to the pages of the splits beside."""
    splits, selected = report["splits"], {name: each["selection"] for name, each in report["streams"].items()}
    rows = [
        [
            title(name),
            selected.get(name, ""),
            *(percent(each["video_accuracy"][name]) for each in splits.values()),
            f"<b>{percent(mean)}</b>",
        ]
        for name, mean in report["video_accuracy"].items()
    ]
    columns = [
        "",
        "Weights chosen by",
        *(f'<a href="../split{split}/report.html">Split {split}</a>' for split in splits),
        "Mean",
    ]
    published = "".join(
        f"<li>{escape(row.source)}: spatial {row.spatial} %, temporal {row.temporal} %, average {row.average} %"
        + (f", SVM {row.svm} %</li>" if row.svm else "</li>")
        for row in PUBLISHED.get((report["data_set"], "all"), ())
    )
    name = f"{report['data_set']}, all splits"
    words = "Video accuracy on the test list of each split, and the mean."
    parts = [
        f'<p class="eyebrow">Two-stream action recognition</p><h1>{escape(name)}</h1>',
        selection_warning(report),
        section("Results", words, table(columns, rows, text=[1])),
        section("Published for these lists", "", f"<ul>{published}</ul>" if published else ""),
    ]
    write_json(folder / "report.json", report)
    write_text(folder / "report.html", document(name, parts))
    return folder / "report.html"
