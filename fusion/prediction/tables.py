"""Predictions as a table for people, and as JSON and CSV for programs."""

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

from rich.console import Group
from rich.table import Table
from rich.text import Text

from commands.files import write_json, write_text
from fusion.prediction.prediction import Prediction
from fusion.prediction.timeline import timeline

STANDARD_OUTPUT = "-"
# What OpenCV's wheels can write. Browsers play VP9 in .webm; H.264 is in none of the wheels.
CODECS = {".webm": "VP90", ".mp4": "mp4v", ".avi": "MJPG"}
BAR = 16
UNSURE = "Unsure: it may be none of the classes. {0.kept:.0%} of their own videos reached {0.below:.1%}."
COLOURS = {"spatial": "cyan", "temporal": "magenta", "fused": "green"}


class Failure(TypedDict):
    """A video that could not be predicted."""

    video: str
    error: str


def as_table(prediction: Prediction, count: int) -> Group:
    """Returns the best classes of each stream and of both, side by side, with how long each stage took."""
    table = Table()
    columns = []
    for name in prediction.probabilities:
        table.add_column(name.capitalize(), no_wrap=True)
        columns.append([_bar(label, score, COLOURS.get(name, "blue")) for label, score in prediction.top(count, name)])
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    return Group(Text(prediction.video, "bold"), table, Text(_caption(prediction), "bright_black"))


def as_line(prediction: Prediction) -> str:
    """Returns the decision on a video on one line."""
    (label, score), *_ = prediction.top(1)
    streams = [name for name in prediction.view_logits if len(prediction.view_logits) > 1]
    others = ", ".join(f"{name} {prediction.top(1, name)[0][0]}" for name in streams)
    decided = f"unsure, {label} {score:.1%}" if prediction.is_unsure else f"{label} {score:.1%}"
    return f"{prediction.video}: {decided}" + (f" ({others})" if others else "")


def write_predictions(
    place: str | None,
    predictions: Sequence[Prediction],
    failed: Sequence[Failure],
    *,
    count: int,
    window: float | None = None,
) -> None:
    """Writes what came out as JSON, to a file or to standard output; with a `window` also what happens when."""
    found = [prediction.as_dictionary(count) for prediction in predictions]
    if window:
        for prediction, fields in zip(predictions, found, strict=True):
            line = timeline(prediction, window)
            fields["timeline"] = {name: [asdict(part) for part in line.stretches(name)] for name in line.probabilities}
    write_to(place, {"predictions": found, "failed": list(failed)})


def write_to(place: str | None, value: object) -> None:
    """Writes a value as JSON to a file or to standard output; nowhere where no place is named."""
    if place == STANDARD_OUTPUT:
        json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
        print()
    elif place:
        write_json(Path(place), value)


def write_csv(place: str | None, predictions: Sequence[Prediction], count: int) -> None:
    """Writes one row for each of the best classes of each stream, to a file or to standard output."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "stream", "rank", "class", "probability"])
    for prediction in predictions:
        for name in prediction.probabilities:
            for rank, (label, score) in enumerate(prediction.top(count, name), start=1):
                writer.writerow([prediction.video, name, rank, label, f"{score:.6f}"])
    if place == STANDARD_OUTPUT:
        print(text.getvalue(), end="")
    elif place:
        write_text(Path(place), text.getvalue())


def _bar(label: str, score: float, colour: str) -> Text:
    filled = round(score * BAR)
    return Text.assemble(f"{label}\n", ("━" * filled, colour), " " * (BAR - filled), f" {score:6.1%}")


def _caption(prediction: Prediction) -> str:
    stages = [f"{name} {seconds:.2f} s" for name, seconds in prediction.seconds.items()]
    total = f"{sum(prediction.seconds.values()):.2f} s"
    played = f"{prediction.num_frames} frames, {prediction.duration:.1f} s at {prediction.frame_rate:.3g} a second"
    unsure = [UNSURE.format(prediction.fusion.doubt)] if prediction.is_unsure and prediction.fusion.doubt else []
    return "\n".join(
        [*unsure, f"{played}; took {total}: {', '.join(stages)}", *(f"Note: {n}." for n in prediction.notes)]
    )


def place_of(name: str, video: str, extension: str, *, several: bool) -> Path:
    """Returns where something about a video is written: under its name in a folder where there are several videos."""
    place = Path(name)
    return place / f"{Path(video).stem}{extension}" if several or place.is_dir() else place
