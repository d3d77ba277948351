"""Writes predictions as a table for people, and as JSON and CSV for programs."""

import csv
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from rich.console import Group
from rich.table import Table
from rich.text import Text

from commands.files import write_json, write_text
from commands.text import as_cell, printable
from fusion.prediction.over_time.colours import DARK, OTHER
from fusion.prediction.over_time.timeline import timeline
from fusion.prediction.prediction import Json, Prediction

STANDARD_OUTPUT = "-"
BAR = 16
CONFIDENCE = "Confidence {0:.1%}, calibrated on {1.videos:,} held-out videos."
UNSURE = "Unsure: it may be none of the classes. Of held-out videos of the classes, {0.kept:.0%} reached {0.below:.1%}."
# Writing results takes at most this fraction of the time, as a reciprocal.
_SHARE_OF_TIME = 20


class Failure(TypedDict):
    """A video that could not be predicted."""

    video: str
    error: str


def as_table(prediction: Prediction, count: int) -> Group:
    """Returns the best classes of each stream and of their fusion side by side, and the duration of each stage."""
    table = Table()
    columns = []
    for name in prediction.probabilities:
        table.add_column(name.capitalize(), no_wrap=True)
        columns.append([_bar(label, score, DARK.get(name, OTHER)) for label, score in prediction.top(count, name)])
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    return Group(Text(printable(prediction.video), "bold"), table, Text(_caption(prediction), "bright_black"))


def as_line(prediction: Prediction) -> str:
    """Returns the decision about a video as one line."""
    (label, score), *_ = prediction.top(1)
    streams = [name for name in prediction.view_logits if len(prediction.view_logits) > 1]
    others = ", ".join(f"{name} {prediction.top(1, name)[0][0]}" for name in streams)
    decided = f"unsure, {label} {score:.1%}" if prediction.is_unsure else f"{label} {score:.1%}"
    return f"{printable(prediction.video)}: {decided}" + (f" ({others})" if others else "")


class Results:
    """Writes the results of several videos as JSON and CSV as they come, so that an interruption loses none.

    With a `window`, the JSON also has the timeline. `delay` is that of `timeline`.
    """

    def __init__(
        self,
        json: str | None,
        csv: str | None,
        *,
        count: int,
        window: float | None = None,
        delay: float | None = None,
    ) -> None:
        self.failed: list[Failure] = []
        self._json, self._csv, self._count, self._window, self._delay = json, csv, count, window, delay
        self._predictions: list[Json] = []
        self._rows: list[tuple[object, ...]] = []
        self._next = 0.0

    def __enter__(self) -> "Results":
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Writes all results, also after an interruption. Standard output is written only now."""
        self._write(self._json, self._csv)

    def add(self, result: Prediction | Failure) -> None:
        """Adds the result of one video. Writes the files, unless writing has taken too much of the time."""
        if isinstance(result, Prediction):
            self._predictions.append(self._described(result))
            self._rows += _rows(result, self._count)
        else:
            self.failed.append(result)
        began = time.monotonic()
        if began >= self._next:
            self._write(*(place if place != STANDARD_OUTPUT else None for place in (self._json, self._csv)))
            # Each time, everything is written. So with more and more videos, it has to happen less often.
            self._next = time.monotonic() + _SHARE_OF_TIME * (time.monotonic() - began)

    def _described(self, prediction: Prediction) -> Json:
        found = prediction.as_dictionary(self._count)
        if self._window:
            line = timeline(prediction, self._window, self._delay)
            found["timeline"] = {
                name: [part.as_dictionary() for part in line.stretches(name)] for name in line.probabilities
            }
        return found

    def _write(self, json: str | None, csv: str | None) -> None:
        write_to(json, {"predictions": self._predictions, "failed": self.failed})
        _write_csv(csv, self._rows)


def write_to(place: str | None, value: object) -> None:
    """Writes a value as JSON to a file or to standard output. Without a place, does nothing."""
    if place == STANDARD_OUTPUT:
        json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
        print()
    elif place:
        write_json(Path(place), value)


def _rows(prediction: Prediction, count: int) -> Iterator[tuple[object, ...]]:
    """Yields one row for each of the best classes of each stream."""
    for name in prediction.probabilities:
        for rank, (label, score) in enumerate(prediction.top(count, name), start=1):
            yield as_cell(printable(prediction.video)), name, rank, as_cell(label), f"{score:.6f}"


def _write_csv(place: str | None, rows: Sequence[tuple[object, ...]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "stream", "rank", "class", "probability"])
    writer.writerows(rows)
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
    sure = [] if prediction.confidence is None else [CONFIDENCE.format(prediction.confidence, prediction.fusion.doubt)]
    unsure = [UNSURE.format(prediction.fusion.doubt)] if prediction.is_unsure and prediction.fusion.doubt else []
    return "\n".join(
        [*unsure, *sure, f"{played}; took {total}: {', '.join(stages)}", *(f"Note: {n}." for n in prediction.notes)]
    )


def _label(video: Path, depth: int) -> str:
    """Returns a name for the results of a video: its stem, then with its extension, then with its folders."""
    if depth == 0:
        return printable(video.stem)
    folders = [part for part in video.parts[:-1] if part not in (video.anchor, "..")]
    return printable("_".join([*folders[len(folders) - depth + 1 :], video.name]))


def places_of(name: str, videos: Sequence[Path], extension: str) -> dict[Path, Path]:
    """Returns the output file for each video: `name` itself, or a file in that folder with the video's name.

    Videos of the same name in several folders get longer names, so that none overwrites another.
    """
    place = Path(name)
    if len(videos) == 1 and place.suffix and not place.is_dir():
        return {videos[0]: place}
    deepest = max((len(video.parts) for video in videos), default=0)
    labels = [{video: _label(video, depth) for video in videos} for depth in range(deepest + 1)]
    counts = [Counter(of_depth.values()) for of_depth in labels]
    taken: set[str] = set()
    found = {}
    for video in videos:
        alone = [of_depth[video] for of_depth, count in zip(labels, counts, strict=True) if count[of_depth[video]] == 1]
        numbered = (f"{_label(video, 0)}-{number}" for number in range(2, len(videos) + 2))
        label = next(each for each in (*alone, *numbered) if each not in taken)
        taken.add(label)
        found[video] = place / f"{label}{extension}"
    return found
