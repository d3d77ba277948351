"""Scores both streams on the test list, fuses them in every way, and reports.

python fusion/evaluate.py --dataset ucf101 --split 1
python fusion/evaluate.py --scores scores.npz:spatial --scores scores.npz:temporal
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
from commands.running import RUNS, run, write_json
from data.catalog import DataSet, open_dataset
from data.ready import home_of, ready_dataset
from fusion.evaluation import evaluate, write_report
from fusion.gather import FITS, Gathered, from_files, from_models
from fusion.methods import FIXED, METHODS, check_method
from fusion.stream_scores import Protocol


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is evaluated, and how."""

    dataset: str | None = option(None, "the data set's name; shapes, the built-in one, unless given", metavar="NAME")
    root: Path | None = option(None, "its folder, instead of datasets/<data set>", metavar="DIR")
    split: int = option(1, "which of its splits to test on", metavar="N")
    stream: tuple[str, ...] = option(
        (), "a stream to fuse, once for each; spatial and temporal unless given", repeat=True, metavar="NAME[=FILE]"
    )
    spatial: Path | None = option(None, "the spatial model, instead of the one trained here", metavar="FILE")
    temporal: Path | None = option(None, "the temporal model, instead of the one trained here", metavar="FILE")
    method: tuple[str, ...] = option(
        (), f"a way to fuse, once for each: {', '.join(METHODS)} or weighted:1,1.5; all unless given", repeat=True
    )
    fit: str = option("validation", "the videos that some methods learn from", choices=FITS)
    views: int = option(25, "frames or stacks of each video, evenly spaced", metavar="N")
    crops: str = option("10", "centre; corners, centre, mirrored; whole frames", choices=("1", "10", "full"))
    precision: str = option("float32", "in which networks compute", choices=("float32", "bfloat16"))
    scores: tuple[str, ...] = option(
        (), "fuse these scores instead of models', once for each stream", repeat=True, metavar="FILE[:ARRAY]"
    )
    names: Path | None = option(None, "the videos of score files that have none, one a line", metavar="FILE")
    rescore: bool = option(False, "score again what was scored before")
    runs: Path = option(RUNS, "where runs are kept", metavar="DIR")
    json: Path | None = option(None, "write what came out here too", metavar="FILE")

    def __post_init__(self) -> None:
        """Refuses methods that do not exist."""
        for method in self.method:
            check_method(method)
        if self.views < 1:
            raise ValueError(f"--views must be at least 1. Received {self.views}.")


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluates the models, or the score files, that the command line names."""
    config = parse(EvaluateConfig, argv, __doc__)
    methods = config.method or METHODS
    dataset, gathered = _gather(config, methods)
    report, fused = evaluate(gathered, methods)
    if not fused:
        raise ValueError(
            "Nothing could be fused. " + " ".join(f"{name}: {why}" for name, why in report["missing"].items())
        )
    print_report(report)
    first = gathered.streams[0]
    folder = config.runs / first.data_set / "fusion" / (f"split{first.split}" if not config.scores else "files")
    pictures = None if config.scores else dataset
    written = write_report(folder, report, gathered, next(iter(fused.values())), pictures, config.runs)
    if config.json:
        write_json(config.json, report)
    print(f"Report: {written}")
    print("Video accuracy: " + ", ".join(f"{name} {share:.2%}" for name, share in report["video_accuracy"].items()))


def print_report(report: Mapping[str, Any]) -> None:
    """Prints a row for each stream and each way of fusing them, and why some ways are missing."""
    table = Table("", "video accuracy", "95 % interval", title=f"{report['data_set']}, split {report['split']}")
    for name, (low, high) in report["interval"].items():
        shown = f"{report['video_accuracy'][name]:.1%}"
        table.add_row(
            name.capitalize(), shown, f"{low:.1%} to {high:.1%}", end_section=name == [*report["streams"]][-1]
        )
    console = Console()
    console.print(table)
    for name, reason in report["missing"].items():
        console.print(f"Without {name}: {reason}", style="dim", highlight=False)


def _gather(config: EvaluateConfig, methods: Sequence[str]) -> tuple[DataSet | None, Gathered]:
    if config.scores:
        lists = open_dataset(config.dataset, config.root or home_of(config.dataset)) if config.dataset else None
        return lists, from_files(config.scores, lists, config.split, config.names)
    dataset = ready_dataset(config.dataset or "shapes", config.root)
    models = {"spatial": config.spatial, "temporal": config.temporal}
    streams = []
    for entry in config.stream or ("spatial", "temporal"):
        stream, _, file = entry.partition("=")
        streams.append(stream)
        if file:
            models[stream] = Path(file)
    protocol = Protocol(
        runs=config.runs,
        views=config.views,
        crops=config.crops,
        precision=config.precision,
        rescore=config.rescore,
        models={stream: file for stream, file in models.items() if file},
    )
    learns = any(method not in FIXED and ":" not in method for method in methods)
    return dataset, from_models(dataset, config.split, streams, protocol, config.fit if learns else "")


if __name__ == "__main__":
    run(main)
