"""Tells the format of an exported model, and reads the texts inside it: labels, model cards, fusion."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from commands.files import read_file, read_member
from commands.schema import parsed
from fusion.methods.kept import Fusion, KeptFusions
from streams.runs.model_file import ModelCard

LABELS, CARDS, FUSION_FILE = "labels.txt", "streams.json", "fusion.json"
# The folder inside a SavedModel for files that TensorFlow ignores.
EXTRA = "assets.extra"


def kind_of(path: Path) -> str:
    """Returns the kind of a model: keras, savedmodel, hub, onnx or litert."""
    if path.is_dir():
        return "savedmodel" if (path / "saved_model.pb").is_file() else "hub"
    return {".onnx": "onnx", ".tflite": "litert"}.get(path.suffix.lower(), "keras")


def texts_of(cards: Mapping[str, ModelCard], fusion: Fusion) -> dict[str, str]:
    """Returns the texts that are written into a model, by file name."""
    classes = next(iter(cards.values())).classes
    described = json.dumps({name: asdict(card) for name, card in cards.items()}, indent=2)
    texts = {LABELS: "\n".join(classes) + "\n", CARDS: described}
    if len(cards) < 2:
        return texts
    kept = KeptFusions(fusion.method, classes, {}, {fusion.method: fusion})
    return {**texts, FUSION_FILE: json.dumps(kept.as_json(), indent=2) + "\n"}


def text_in(path: Path, name: str) -> bytes | None:
    """Returns a text inside an exported model, or None if it has none of this name."""
    kind = kind_of(path)
    if kind in ("savedmodel", "hub"):
        file = (path / EXTRA if kind == "savedmodel" else path) / name
        return read_file(file) if file.is_file() else None
    if kind == "onnx":
        found = [entry.value.encode() for entry in onnx_model(path).metadata_props if entry.key == name]
        return found[0] if found else None
    return read_member(path, name)


def cards_in(path: Path) -> dict[str, ModelCard] | None:
    """Returns the model cards of the streams in an exported model, or None if there are none."""
    text = text_in(path, CARDS)
    if text is None:
        return None
    return {name: card.checked() for name, card in parsed(text, dict[str, ModelCard]).items()}


def labels_in(path: Path) -> tuple[str, ...]:
    """Returns the labels inside an exported model."""
    return tuple((text_in(path, LABELS) or b"").decode().splitlines())


def onnx_model(path: Path):  # type: ignore[no-untyped-def]
    """Reads an ONNX file. It could name other files with weights; these are not read."""
    try:
        import onnx
    except ImportError:
        raise ImportError(f"{path} needs onnx and onnxruntime: pip install -r requirements-export.txt") from None
    try:
        return onnx.load_model_from_string(read_file(path, _MOST_BYTES))
    except FileNotFoundError:
        raise
    except Exception as error:  # For a damaged file, the parser may raise almost any exception.
        raise ValueError(f"{path} can't be read as an ONNX model: {error}. Export it again.") from None


# ONNX files can't be larger than this.
_MOST_BYTES = 2**31
