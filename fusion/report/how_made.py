"""Describes how a model was made, for the report: all that is needed to repeat it."""

import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

from data.catalog import DataSet
from data.store.index import READY, index_path, read_index
from pipelines.inputs import MOST, Input
from streams.recipes.imagenet_files import NAMES
from streams.tricks import Tricks


def how_made(model: Path, dataset: DataSet) -> dict[str, str]:
    """Returns the rows of a table about the training, from the configuration beside a model; none without it."""
    path = model.with_name("config.json")
    if not path.is_file():
        return {}
    described = json.loads(path.read_text(encoding="utf-8"))
    options, made, result = (described.get(name, {}) for name in ("options", "made", "result"))
    found = {
        "Network": str(options.get("backbone", "")),
        "Initial weights": _weights(options),
        "Recipe": str(options.get("recipe") or "none"),
        "Input": f"{options.get('input', '')}, {options.get('length', 1)} per clip",
        "Crop": _crop(options, dataset),
        "Augmentation": str(options.get("augment", "")),
        "Tricks": _tricks(options),
        "Trained for": _length(options, result),
        "Seed": str(options.get("seed", "")),
        "Time": _duration(described.get("seconds")),
        "Date": made.get("date", ""),
        "Machine": ", ".join(filter(None, (made.get("machine", ""), made.get("graphics", "")))),
        "Versions": ", ".join(f"{name} {version}" for name, version in described.get("versions", {}).items()),
        "Commit": made.get("commit", ""),
    }
    return {name: value for name, value in found.items() if value}


def _weights(options: dict[str, Any]) -> str:
    """Returns the initial weights of the network, as `streams/networks/start.py` chose them."""
    source = str(options.get("weights", ""))
    if source == "auto":
        source = "imagenet" if options["backbone"] in NAMES and not Input(options["input"]).is_flow else "none"
    return {"imagenet": "ImageNet", "none": "random"}.get(source, source)


def _crop(options: dict[str, Any], dataset: DataSet) -> str:
    size = options.get("crop_size")
    if not size:
        return ""
    return f"{size} x {size} pixels, {_share(options, dataset):.0%} of the frame"


def _share(options: dict[str, Any], dataset: DataSet) -> float:
    """Returns the share of an average frame that a crop covers."""
    rows = [row for row in read_index(index_path(dataset.root)).values() if row.state == READY and row.width]
    if options.get("shown") == "whole" or not rows:
        return 1.0
    width, height = statistics.median(row.width for row in rows), statistics.median(row.height for row in rows)
    side = MOST * min(width, height) if options.get("shown") == "most" else options["crop_size"]
    return float(min(1.0, side * side / (width * height)))


def _tricks(options: dict[str, Any]) -> str:
    """Returns the options of the group tricks that were set, as they are typed."""
    given = {
        each.name: options[each.name]
        for each in dataclasses.fields(Tricks)
        if options.get(each.name) not in (None, each.default, [])
    }
    values = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    return ", ".join(f"{name.replace('_', '-')} {' '.join(map(str, value))}" for name, value in values.items())


def _length(options: dict[str, Any], result: dict[str, Any]) -> str:
    if options.get("optimizer") == "exact":
        return "last layer solved, not trained"
    epochs, best = result.get("epochs"), result.get("epoch")
    return f"{epochs} epochs; epoch {best} is kept" if epochs else ""


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds / 3600:.1f} hours" if seconds > 5400 else f"{seconds / 60:.1f} minutes"
