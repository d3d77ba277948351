"""Evaluates one split: its scores, all fusions of them, and the report in its folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from commands.files import write_json, write_text
from commands.waiting import Now
from fusion.methods.by_groups import Part
from fusion.methods.choosing import fusions_of
from fusion.methods.kept import KeptFusions
from fusion.methods.table import Fused, fuse
from fusion.prediction.chosen_fusion import FUSION_FILE
from fusion.report.examples import Example
from fusion.report.numbers import Report, build_report, parts_of, results_of, suspects_of, warnings_of
from fusion.report.page import page
from fusion.scores.gather import Gathered
from streams.runs.run_folder import Run


class Evaluation(NamedTuple):
    """The report of one split, the scores on which it is based, and the fusions to save."""

    report: Report
    gathered: Gathered
    fused: dict[str, np.ndarray]  # The scores [V, C] of each method.
    kept: KeptFusions | None

    @property
    def shown(self) -> np.ndarray:
        """The scores of the method that the page shows in detail."""
        return next(iter(self.fused.values()))

    @property
    def parts(self) -> dict[str, Part]:
        """The scores of each stream and method, with the labels and groups of their videos."""
        return parts_of(results_of(self.gathered.unseen, self.fused), self.gathered.unseen)


def evaluate(gathered: Gathered, methods: Sequence[str], top: int = 5) -> Evaluation:
    """Fuses by all these methods, and builds the report."""
    from_itself = gathered.known is None and bool(gathered.learns_from)
    fused = fuse(methods, gathered.unseen, gathered.known, folds=from_itself, why_not=gathered.why_not)
    if not fused.scores:
        raise ValueError(
            "Nothing could be fused. " + " ".join(f"{name}: {reason}" for name, reason in fused.missing.items())
        )
    kept = _kept(gathered, fused)
    if kept:  # The choice of validation comes first: the page shows it in detail, and predict uses it.
        fused = fused._replace(scores={kept.chosen: fused.scores[kept.chosen], **fused.scores})
    Now.doing = "Computing the measures"
    report = build_report(gathered.streams, fused.scores, gathered.unseen, gathered.joint, top)
    report["learned"] = {name: learned for name, learned in fused.learned.items() if learned}
    report["learned_from"] = gathered.learns_from
    report["missing"] = fused.missing
    report["warnings"] = warnings_of(report)
    if gathered.known and gathered.held_out:
        report["suspects"] = suspects_of(gathered.known, gathered.held_out, report["classes"])
    if kept:
        report["chosen"] = kept.chosen
    return Evaluation(report, gathered, fused.scores, kept)


def _kept(gathered: Gathered, fused: Fused) -> KeptFusions | None:
    """Returns fusions for other videos: only those that learned from videos that the streams were not trained on."""
    if gathered.known is None or not gathered.is_held_out or len(gathered.streams) < 2 or not fused.parameters:
        return None
    chosen, fusions = fusions_of(fused.parameters, gathered.known, gathered.learns_from, gathered.others)
    hashes = {scores.stream: scores.model_hash for scores in gathered.streams}
    return KeptFusions(chosen, gathered.streams[0].classes, hashes, fusions)


def write_report(folder: Path, evaluation: Evaluation, examples: Sequence[Example], runs: Path) -> Path:
    """Writes `report.json`, `report.html` and the learned fusions, `fusion.json`. Returns the path of the page."""
    Now.doing = "Writing the report"
    report, gathered = evaluation.report, evaluation.gathered
    histories = {each.stream: Run.of(runs, each.data_set, each.stream, each.split).history for each in gathered.streams}
    write_json(folder / "report.json", report)
    write_text(folder / "report.html", page(report, gathered.unseen, evaluation.shown, examples, histories))
    if evaluation.kept:
        evaluation.kept.write(folder / FUSION_FILE)
    return folder / "report.html"
