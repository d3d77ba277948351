"""One split, evaluated: scores, every way of fusing them, and the report in its folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from commands.running import write_json, write_text
from data.catalog import DataSet
from fusion.examples import choose_examples, picture
from fusion.gather import Gathered
from fusion.methods import fuse
from fusion.page import page
from fusion.report import build_report
from streams.runs import Run


def evaluate(gathered: Gathered, methods: Sequence[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns the report of one split, and the scores of each method."""
    from_itself = gathered.known is None and bool(gathered.learns_from)
    fused = fuse(methods, gathered.unseen, gathered.known, folds=from_itself, why_not=gathered.why_not)
    report = build_report(gathered.streams, fused.scores, gathered.unseen)
    report["learned"] = {name: learned for name, learned in fused.learned.items() if learned}
    report["learned_from"] = gathered.learns_from
    report["missing"] = fused.missing
    return report, fused.scores


def write_report(
    folder: Path, report: Mapping[str, Any], gathered: Gathered, scores: np.ndarray, dataset: DataSet | None, runs: Path
) -> Path:
    """Writes `report.json` and `report.html`, which shows in detail the method whose scores are given."""
    streams = gathered.streams
    examples = []
    if dataset is not None:
        chosen = choose_examples(gathered.unseen.logits, scores, streams[0].labels)
        videos = [dataset.videos[name] for name in streams[0].videos]
        examples = [picture(dataset, videos[place], place, reason) for place, reason in chosen]
    histories = {each.stream: Run.of(runs, each.data_set, each.stream, each.split).history for each in streams}
    write_json(folder / "report.json", report)
    write_text(folder / "report.html", page(report, gathered.unseen, scores, examples, histories))
    return folder / "report.html"
