"""Computes the numbers of the charts in the report; templates/charts.html draws them as inline SVG."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from commands.files import read_table
from fusion.report.more_clips import MoreClips

# The columns of history.csv that are drawn, with their names. True marks shares.
_MEASURES = {"accuracy": ("frame accuracy", True), "loss": ("loss", False)}


class Curves(NamedTuple):
    """Curves of one measure over the epochs. Coordinates are shares of the chart's width and height."""

    measure: str
    training: list[tuple[float, float]]
    validation: list[tuple[float, float]]
    ticks: list[tuple[float, str]]
    epochs: int
    kept: int  # The epoch whose weights are kept.


class Cell(NamedTuple):
    """One entry of a confusion matrix that is not zero: its row and column, its videos, and their share of the row."""

    row: int
    column: int
    videos: int
    share: float


class GrowthPoint(NamedTuple):
    """The accuracy for one number of training videos. Coordinates are shares of the chart's width and height."""

    videos: int
    share: float
    x: float
    y: float
    low: float
    high: float


class Growth(NamedTuple):
    """A learning curve over the number of videos. Its last point is the expectation for twice as many."""

    points: list[GrowthPoint]
    ticks: list[tuple[float, str]]


def growth_curve(more: MoreClips) -> Growth:
    """Returns the chart of a learning curve: logarithmic in the number of videos; accuracies start near the lowest."""
    points = [*more["steps"], more["doubled"]]
    floor = np.floor(10 * min(point["interval"][0] for point in points)) / 10
    counts = np.log([max(1, point["videos"]) for point in points])
    spread = max(counts[-1] - counts[0], 1e-9)

    def height(share: float) -> float:
        return float(np.clip((share - floor) / (1 - floor or 1), 0, 1))

    placed = [
        GrowthPoint(
            point["videos"],
            point["accuracy"],
            0.05 + 0.9 * float((count - counts[0]) / spread),
            height(point["accuracy"]),
            height(point["interval"][0]),
            height(point["interval"][1]),
        )
        for point, count in zip(points, counts, strict=True)
    ]
    shares = np.linspace(floor, 1, 1 + round(10 * (1 - floor)) if floor > 0.4 else 6)
    return Growth(placed, [(height(float(share)), f"{share:.0%}") for share in shares])


def learning_curves(path: Path) -> list[Curves]:
    """Returns the curves of a training's history, or none if the file or its numbers are missing."""
    columns = read_history(path)
    kept = _kept_epoch(columns)
    return [
        _curves(name, columns.get(measure, []), columns.get(f"val_{measure}", []), kept, is_share=is_share)
        for measure, (name, is_share) in _MEASURES.items()
        if measure in columns or f"val_{measure}" in columns
    ]


def read_history(path: Path) -> dict[str, list[float]]:
    """Returns the columns of a history. Cells without a number are NaN; a missing file has no columns."""
    if not path.is_file():
        return {}
    columns, rows = read_table(path)
    return {name: [_number(row[name]) for row in rows] for name in columns} if rows else {}


def confusion_cells(counts: list[list[int]]) -> list[Cell]:
    """Returns the entries of a confusion matrix that are not zero."""
    matrix = np.array(counts)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return [
        Cell(int(row), int(column), int(matrix[row, column]), float(shares[row, column]))
        for row, column in zip(*np.nonzero(matrix), strict=True)
    ]


def _curves(name: str, training: list[float], validation: list[float], kept: int, *, is_share: bool) -> Curves:
    finite = [value for value in (*training, *validation) if np.isfinite(value)]
    top = 1.0 if is_share else _round_top(max(finite, default=1.0))
    length = max(len(training), len(validation))
    quarters = (0, 0.25, 0.5, 0.75, 1)
    ticks = [(share, f"{share:.0%}" if is_share else f"{top * share:.2g}") for share in quarters]
    return Curves(name, _places(training, top, length), _places(validation, top, length), ticks, length, kept)


def _kept_epoch(columns: dict[str, list[float]]) -> int:
    """Returns the epoch with the lowest validation loss, or the last one."""
    losses = columns.get("val_loss", [])
    if not np.isfinite(losses).any():
        return max(map(len, columns.values()), default=0)
    return 1 + int(np.nanargmin(losses))


def _places(curve: list[float], top: float, length: int) -> list[tuple[float, float]]:
    return [
        (step / max(length - 1, 1), float(np.clip(value / top, 0, 1)))
        for step, value in enumerate(curve)
        if np.isfinite(value)
    ]


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _round_top(highest: float) -> float:
    """Returns the next larger number whose quarters have few digits."""
    power = 10.0 ** np.floor(np.log10(max(highest, 1e-9)))
    return float(next(step * power for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * power >= highest))
