"""Scores both streams on the test list, fuses them and reports.

python fusion/evaluate.py --dataset ucf101 --split 1
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.table import Table

from commands.options import option, parse
from commands.running import RUNS, run, write_json, write_text
from data.catalog import DataSet
from data.prepare import ready_dataset
from fusion.combine import average, check_same_videos
from fusion.examples import choose_examples, picture
from fusion.page import page
from fusion.report import build_report
from fusion.stream_scores import stream_scores
from streams.runs import Run
from streams.scores import Scores


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is evaluated, and how."""

    dataset: str = option("shapes", "the data set's name", metavar="NAME")
    root: Path | None = option(None, "its folder, instead of datasets/<data set>", metavar="DIR")
    split: int = option(1, "which of its splits to test on", metavar="N")
    spatial: Path | None = option(None, "the spatial model, instead of the one trained here", metavar="FILE")
    temporal: Path | None = option(None, "the temporal model, instead of the one trained here", metavar="FILE")
    views: int = option(25, "frames or stacks of each video, evenly spaced", metavar="N")
    crops: int = option(10, "1 (centre) or 10 (corners, centre, mirrored)", metavar="N")
    rescore: bool = option(False, "score again what was scored before")
    runs: Path = option(RUNS, "where runs are kept", metavar="DIR")
    json: Path | None = option(None, "write what came out here too", metavar="FILE")


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluates the models of the split that the command line names."""
    config = parse(EvaluateConfig, argv, __doc__)
    dataset = ready_dataset(config.dataset, config.root)
    streams = [
        stream_scores(dataset, config, stream, model)
        for stream, model in (("spatial", config.spatial), ("temporal", config.temporal))
    ]
    check_same_videos(streams)
    fused = {"average": average(streams)}
    groups = [dataset.videos[name].group for name in streams[0].videos]
    report = build_report(streams, fused, groups)
    print_table(report)
    folder = config.runs / dataset.name / "fusion" / f"split{config.split}"
    write_report(folder, report, streams, fused, dataset, config.runs)
    if config.json:
        write_json(config.json, report)
    accuracy = report["video_accuracy"]
    print(f"Report: {folder / 'report.html'}")
    print(", ".join(f"{name} {share:.2%}" for name, share in accuracy.items()))


def print_table(report: Mapping[str, Any]) -> None:
    """Prints a row for each stream and each way of fusing them."""
    table = Table("", "video accuracy", "95 % interval", title=f"{report['data_set']}, split {report['split']}")
    for name, (low, high) in report["interval"].items():
        table.add_row(name.capitalize(), f"{report['video_accuracy'][name]:.1%}", f"{low:.1%} to {high:.1%}")
    Console().print(table)


def write_report(
    folder: Path,
    report: Mapping[str, Any],
    streams: Sequence[Scores],
    fused: Mapping[str, Any],
    dataset: DataSet,
    runs: Path,
) -> None:
    """Writes `report.json` and `report.html`."""
    shown = next(iter(fused.values()))
    chosen = choose_examples([scores.logits for scores in streams], shown, streams[0].labels)
    videos = [dataset.videos[name] for name in streams[0].videos]
    examples = [picture(dataset, videos[place], place, reason) for place, reason in chosen]
    histories = {
        scores.stream: Run.of(runs, scores.data_set, scores.stream, scores.split).history for scores in streams
    }
    write_json(folder / "report.json", report)
    write_text(folder / "report.html", page(report, streams, shown, examples, histories))


if __name__ == "__main__":
    run(main)
