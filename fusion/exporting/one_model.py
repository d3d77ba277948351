"""Writes both streams as one model in a common format, which takes pixels, gives probabilities and holds the labels."""

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from commands.running import swallowed_stderr
from fusion.exporting.fused_output import fused_output
from fusion.methods.kept import AVERAGE, Fusion
from fusion.prediction.chosen_fusion import FUSION_FILE, as_metadata
from fusion.prediction.prediction import FUSED
from fusion.prediction.scorer import CARDS, Scorer
from streams.runs.model_file import ModelCard, open_network, save_alike

# The name of the file or folder of each format.
FORMATS = {
    "keras": "two_stream.keras",
    "savedmodel": "two_stream_savedmodel",
    "onnx": "two_stream.onnx",
    "litert": "two_stream.tflite",
}
LABELS = "labels.txt"
Arrays: TypeAlias = dict[str, np.ndarray]
Answer: TypeAlias = Callable[[Arrays], Arrays]


def joined(scorers: Mapping[str, Scorer], fusion: Fusion = AVERAGE) -> keras.Model:
    """Returns one network with the inputs of all streams; its outputs are their probabilities and the fused ones."""
    inputs, outputs, of_stream = {}, {}, {}
    for name, scorer in scorers.items():
        own = {each.name: keras.Input(each.shape[1:], dtype="uint8", name=each.name) for each in scorer.network.inputs}
        part = keras.Model(scorer.network.input, scorer.network.outputs[0], name=name)
        of_stream[name] = ops.cast(part(own if len(own) > 1 else next(iter(own.values()))), "float32")
        outputs[name] = (ops.sigmoid if scorer.card.multi_label else ops.softmax)(of_stream[name])
        inputs.update(own)
    if len(outputs) > 1:
        several = any(scorer.card.multi_label for scorer in scorers.values())
        order = fusion.streams or tuple(of_stream)
        outputs[FUSED] = fused_output(fusion, [of_stream[name] for name in order], multi_label=several)
    return keras.Model(inputs, outputs, name="two_stream")


def metadata(cards: Mapping[str, ModelCard], fusion: Fusion) -> dict[str, str]:
    """Returns the texts that are stored in a written model (labels, cards), by file name."""
    classes = next(iter(cards.values())).classes
    described = json.dumps({name: asdict(card) for name, card in cards.items()}, indent=2)
    texts = {LABELS: "\n".join(classes) + "\n", CARDS: described}
    return texts | ({FUSION_FILE: as_metadata(fusion, classes)} if len(cards) > 1 else {})


def write(model: keras.Model, texts: Mapping[str, str], kind: str, path: Path) -> None:
    """Writes a joined model in one of the formats, with its metadata."""
    writers = {"keras": _write_keras, "savedmodel": _write_savedmodel, "onnx": _write_onnx, "litert": _write_litert}
    writers[kind](model, texts, path)


def opened(kind: str, path: Path) -> Answer:
    """Returns a function from the inputs of a written model to its outputs, run by the format's own runtime."""
    openers = {"keras": _open_keras, "savedmodel": _open_savedmodel, "onnx": _open_onnx, "litert": _open_litert}
    return openers[kind](path)


def labels_in(kind: str, path: Path) -> tuple[str, ...]:
    """Returns the labels in a written model."""
    return tuple(text_in(kind, path, LABELS).splitlines())


def text_in(kind: str, path: Path, name: str) -> str:
    """Returns one of the texts in a written model."""
    if kind == "savedmodel":
        return (path / "assets.extra" / name).read_text(encoding="utf-8")
    if kind == "onnx":
        import onnx

        return str(next(entry.value for entry in onnx.load(path).metadata_props if entry.key == name))
    with zipfile.ZipFile(path) as archive:
        return archive.read(name).decode()


def _write_keras(model: keras.Model, texts: Mapping[str, str], path: Path) -> None:
    save_alike(model, path, texts)


def _write_savedmodel(model: keras.Model, texts: Mapping[str, str], path: Path) -> None:
    with swallowed_stderr():
        model.export(path, format="tf_saved_model", verbose=False)
    (path / "assets.extra").mkdir(exist_ok=True)
    for name, text in texts.items():
        (path / "assets.extra" / name).write_text(text, encoding="utf-8")


def _write_onnx(model: keras.Model, texts: Mapping[str, str], path: Path) -> None:
    import onnx

    with swallowed_stderr():
        model.export(path, format="onnx", verbose=False)
    written = onnx.load(path)
    onnx.helper.set_model_props(written, dict(texts))
    onnx.save(written, path)


def _write_litert(model: keras.Model, texts: Mapping[str, str], path: Path) -> None:
    with swallowed_stderr():
        model.export(path, format="litert", verbose=False)
    # A zip archive after the model, as LiteRT's own metadata store label files. Runtimes ignore it.
    _append(texts, path)


def _append(texts: Mapping[str, str], path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name), text)


def _open_keras(path: Path) -> Answer:
    model = open_network(path)
    return lambda inputs: {name: np.asarray(value) for name, value in model(inputs, training=False).items()}


def _open_savedmodel(path: Path) -> Answer:
    model = tf.saved_model.load(str(path))  # The function below keeps it alive.
    return lambda inputs: {name: value.numpy() for name, value in model.serve(inputs).items()}


def _open_onnx(path: Path) -> Answer:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))


def _open_litert(path: Path) -> Answer:
    from ai_edge_litert.interpreter import Interpreter

    with swallowed_stderr():
        interpreter = Interpreter(str(path))
        runner = interpreter.get_signature_runner()
    return lambda inputs: {name: np.array(value) for name, value in runner(**inputs).items()}
