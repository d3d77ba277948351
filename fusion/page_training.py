"""The section of the page with the learning curves of the streams."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusion import charts
from fusion.markup import section, title

# Columns of history.csv that are drawn, with what they are called and whether they are shares.
_MEASURES = {"accuracy": ("frame accuracy", True), "loss": ("loss", False)}


def learning_curves(histories: Mapping[str, Path], tones: Mapping[str, str], streams: Mapping[str, Any]) -> str:
    """Returns the section; streams without a history are left out."""
    cards = []
    for stream, path in histories.items():
        columns = read_history(path)
        for measure, (name, is_share) in _MEASURES.items():
            series = {key: columns[key] for key in (measure, f"val_{measure}") if key in columns}
            if series:
                drawn = charts.lines(
                    series, dict.fromkeys(series, tones[stream]), percent=is_share, label=f"{name} of {stream}"
                )
                cards.append(f'<div class="card"><h3>{title(stream)}, {name}</h3>{drawn}</div>')
    guilty = [title(stream) for stream in histories if streams[stream]["selection"] == "test-selected"]
    words = "Over the epochs: on training videos (solid, with dropout and random crops), on validation videos (dashed"
    words += f"; of {' and '.join(guilty)} these are the test list)." if guilty else ")."
    return section("Learning curves", words, f'<div class="grid pairs">{"".join(cards)}</div>' if cards else "")


def read_history(path: Path) -> dict[str, list[float]]:
    """Returns the columns of a history; cells without a number are NaN, and a missing file has no columns."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [_number(row[name]) for row in rows] for name in rows[0]} if rows else {}


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
