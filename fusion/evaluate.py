"""Scores both streams on the test list, fuses them and reports.

python fusion/evaluate.py --dataset ucf101 --split 1
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.table import Table

from commands.options import option, parse
from commands.running import RUNS, run, write_json
from data.prepare import ready_dataset
from fusion.combine import average, check_same_videos
from fusion.measures import accuracy_interval, video_accuracy
from fusion.test_scores import test_scores


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
        test_scores(dataset, config, stream, model)
        for stream, model in (("spatial", config.spatial), ("temporal", config.temporal))
    ]
    check_same_videos(streams)
    labels = streams[0].labels
    groups = [dataset.videos[name].group for name in streams[0].videos]
    results = {scores.stream: scores.logits for scores in streams} | {"average": average(streams)}
    accuracy = {name: video_accuracy(scores, labels) for name, scores in results.items()}
    interval = {name: accuracy_interval(scores, labels, groups) for name, scores in results.items()}
    table = Table("", "video accuracy", "95 % interval", title=f"{dataset.name}, split {config.split}")
    for name, (low, high) in interval.items():
        table.add_row(name.capitalize(), f"{accuracy[name]:.1%}", f"{low:.1%} to {high:.1%}")
    Console().print(table)
    if config.json:
        write_json(config.json, {"video_accuracy": accuracy, "interval": interval, "num_videos": len(labels)})


if __name__ == "__main__":
    run(main)
