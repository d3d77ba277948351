"""Prints the report as tables in the terminal."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from fusion.methods.table import LEARNED
from fusion.report.all_splits import MeanReport
from fusion.report.expected import Expectation
from fusion.report.markup import by_reason, points, title
from fusion.report.numbers import Comparison, Report


def print_report(report: Report) -> None:
    """Prints a row for each stream and each fusion method, and the reasons for missing ones."""
    networks = {**report["streams"], **report["joint"]}
    selections = {name: network["selection"] for name, network in networks.items()}
    console = Console()
    console.print(_results(report, f"{report['data_set']}, split {report['split']}", selections))
    for warning in report.get("warnings", []):
        console.print(f"Warning: {warning}", style="bold red", highlight=False)
    if report.get("warnings"):
        console.print(
            "Check what the networks see (./run show), the data set (./run doctor) and the learning "
            "curves in the report.",
            highlight=False,
        )
    if report.get("suspects"):
        first = [f"{each['video']} ({each['label']}, looks like {each['seen']})" for each in report["suspects"][:5]]
        names_of = ", ".join(first)
        count = len(report["suspects"])
        console.print(f"{count} labels may be wrong; the report lists all: {names_of}", highlight=False)
    asked = report.get("options", {}).get("method")  # Missing methods matter only if the user named them.
    for reason, names in by_reason(report["missing"] if asked else {}).items():
        console.print(f"Not fused by {', '.join(names)}: {reason}", style="dim", highlight=False)
    _print_comparison(console, report.get("comparison"))


def print_mean(report: MeanReport) -> None:
    """Prints a row for each stream and each fusion method: the mean over splits and its standard deviation."""
    selections = {name: each["selection"] for name, each in report["streams"].items()}
    console = Console()
    console.print(_results(report, f"{report['data_set']}, mean of {len(report['splits'])} splits", selections))
    _print_comparison(console, report.get("comparison"))


def print_expected(expected: Expectation | None) -> None:
    """Prints the figures of the recipe beside the measured ones, if all runs were made by one recipe."""
    if not expected:
        return
    table = Table("", "expected", "measured", "tolerance", "verdict", title=f"recipe {expected['recipe']}")
    for name, row in expected["rows"].items():
        numbers = f"{row['expected']:.1f} %", f"{row['measured']:.1f} %", f"± {row['tolerance']:g}"
        table.add_row(title(name), *numbers, row["verdict"])
    changed = f"; the runs differ from it in {', '.join(expected['changed'])}" if expected["changed"] else ""
    table.caption = f"expected as in {expected['source']}{changed}"
    Console().print(table)


def _results(report: Report | MeanReport, heading: str, selections: Mapping[str, str]) -> Table:
    deviation: Mapping[str, Mapping[str, float]] = report.get("deviation", {})  # type: ignore[assignment]
    measures = {"video accuracy": "video_accuracy"}
    if "top_accuracy" in report and report["top"] > 1:
        measures[f"top-{report['top']}"] = "top_accuracy"
    if "mean_average_precision" in report:
        measures["mean average precision"] = "mean_average_precision"
    chosen = ", ".join(f"{name} {selection}" for name, selection in selections.items())
    caption, learnt = f"selection of weights: {chosen}", report.get("learned_from")
    if learnt and LEARNED.keys() & report["video_accuracy"].keys():
        caption += f"\n* learnt from {learnt}"
    table = Table("", *measures, title=heading, caption=caption)
    table.add_column("95 % interval")
    for name, (low, high) in report["interval"].items():
        cells = []
        for measure in measures.values():
            spread = f" ± {100 * deviation[measure][name]:.1f}" if measure in deviation else ""
            cells.append(f"{report[measure][name]:.1%}{spread}")  # type: ignore[literal-required]
        shown = title(name) + (" *" if name in LEARNED else "")
        table.add_row(shown, *cells, f"{low:.1%} to {high:.1%}", end_section=name == [*report["streams"]][-1])
    return table


def _print_comparison(console: Console, comparison: Comparison | None) -> None:
    if not comparison:
        return
    heading = f"compared with {comparison['with']}"
    table = Table("", "points", "only this right", "only the other right", "p", title=heading)
    for name, row in comparison["rows"].items():
        counts = str(row["only_ours"]), str(row["only_theirs"])
        table.add_row(title(name), points(row["ours"] - row["theirs"], 2), *counts, f"{row['p_value']:.2g}")
    table.caption = "p: the probability of such a difference by chance, by exchanging whole groups of videos"
    console.print(table)
