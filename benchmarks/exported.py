"""Compares the formats that models are exported to: accuracy on the test videos of a real data set, time, and size.

python benchmarks/exported.py --dataset fights --videos FOLDER

The models are those of ./run own. Each format gets the same squares of every test video: its centre at a few times.
The ranges of int8 are found on training videos. Times are processor time, the least of some rounds in which all formats
take turns, so that they compare on a machine that others use, too.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import numpy as np
from rich.console import Console
from rich.table import Table

from commands.files import DATASETS, RUNS, scratch_folder, write_json
from commands.options import positive
from commands.running import quiet_tensorflow, run
from commands.waiting import Now
from data.catalog import Video
from data.ready import ready_dataset
from fusion.prediction.chosen_models import trained_models

FORMATS = ("keras", "savedmodel", "onnx", "onnx-float16", "litert", "litert-float16", "litert-int8")
ROUNDS = 15


def main(argv: Sequence[str] | None = None) -> None:
    """Exports to every format, runs each, and prints the table."""
    options = _parse(argv)
    dataset = ready_dataset(options.dataset, options.datasets / options.dataset)
    test = dataset.part(1, "test")
    calibrating = _of_each_class(dataset.part(1, "train"), options.calibrating)
    files = {video.name: options.videos / video.relative_path for video in (*test, *calibrating)}
    models = trained_models(options.runs / options.dataset, 1)
    quiet_tensorflow()
    from fusion.exporting.formats import Asked, export, squares
    from fusion.prediction.exported import opened
    from fusion.two_stream import TwoStream

    two_stream = TwoStream(models)
    Now.doing = "Computing the flow of the test videos"
    clips = [squares(two_stream, files[video.name], options.views) for video in test]
    with scratch_folder() as folder:
        checked, ranged = ([files[each.name] for each in some] for some in (test[:3], calibrating))
        found, refused = [], []
        for kind in options.formats:
            try:
                found += export(models, Asked((kind,), checked, ranged), folder)
            except ValueError as error:  # Its answers differ too much, so that no file was written.
                refused.append(str(error))
        answers = {each["format"]: opened(Path(each["file"])) for each in found}
        fused = {
            name: np.stack([answer(each)["fused"].mean(axis=0) for each in clips]) for name, answer in answers.items()
        }
        one = {name: part[:1] for name, part in clips[0].items()}
        seconds = _seconds({name: lambda answer=answer: answer(one) for name, answer in answers.items()})
    labels = np.array([video.label for video in test])
    rows = [
        {
            "format": each["format"],
            "megabytes": each["megabytes"],
            "milliseconds": 1000 * seconds[each["format"]],
            "accuracy": float(np.mean(fused[each["format"]].argmax(axis=1) == labels)),
            "agreement": float(np.mean(fused[each["format"]].argmax(axis=1) == fused["keras"].argmax(axis=1))),
            "difference": float(np.abs(fused[each["format"]] - fused["keras"]).max()),
        }
        for each in found
    ]
    _print(rows, len(test), len(calibrating))
    print(*refused, sep="\n")
    if options.json:
        write_json(options.json, rows)


def _of_each_class(videos: Sequence[Video], count: int) -> list[Video]:
    """Returns the first videos of each class."""
    by_class: dict[int, list[Video]] = {}
    for video in videos:
        by_class.setdefault(video.label, []).append(video)
    return [video for of_class in by_class.values() for video in of_class[:count]]


def _seconds(asks: Mapping[str, object]) -> dict[str, float]:
    """Returns the least seconds of a processor that each took in rounds in which all take turns."""
    least = dict.fromkeys(asks, float("inf"))
    for _ in range(ROUNDS):
        for name, ask in asks.items():
            start = time.process_time()
            ask()  # type: ignore[operator]
            least[name] = min(least[name], time.process_time() - start)
    return least


def _print(rows: Sequence[Mapping[str, object]], videos: int, calibrating: int) -> None:
    table = Table("format", "MB", "processor ms a clip", "accuracy", "same class as Keras", "largest difference")
    for row in rows:
        table.add_row(
            str(row["format"]),
            f"{row['megabytes']:.2f}",
            f"{row['milliseconds']:.1f}",
            f"{row['accuracy']:.1%}",
            f"{row['agreement']:.1%}",
            f"{row['difference']:.1e}",
        )
    Console(highlight=False).print(table, f"{videos} test videos; int8 by {calibrating} training videos.", sep="\n")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--dataset", required=True, metavar="NAME", help="a data set that ./run own has trained on")
    parser.add_argument("--videos", type=Path, required=True, metavar="FOLDER", help="its videos")
    parser.add_argument("--datasets", type=Path, default=DATASETS, metavar="FOLDER", help="where its frames lie")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="FOLDER", help="where its models lie")
    parser.add_argument("--views", type=positive, default=1, metavar="N", help="times of a video that are looked at")
    parser.add_argument(
        "--calibrating", type=positive, default=10, metavar="N", help="training videos a class for int8"
    )
    words = "formats to compare; keras is always one of them (default: all)"
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS, metavar="NAME", help=words)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table here too")
    options = parser.parse_args(argv)
    options.formats = [name for name in FORMATS if name in {"keras", *options.formats}]
    return options


if __name__ == "__main__":
    run(main)
