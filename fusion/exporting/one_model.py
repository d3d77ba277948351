"""Writes both streams as one model in a common format. Pixels go in, probabilities come out, the labels are inside."""

import functools
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef

from commands.files import scratch_folder
from commands.running import swallowed_stderr
from fusion.exporting.fused_output import fused_output
from fusion.exporting.in_order import put_in_order
from fusion.exporting.int8 import with_int8
from fusion.methods.kept import AVERAGE, Fusion
from fusion.prediction.exported import KERAS_COPY, LOGITS, SIGNATURE, Arrays
from fusion.prediction.exported_texts import EXTRA
from fusion.prediction.prediction import FUSED
from fusion.prediction.scorer import Scorer
from streams.runs.model_file import save_alike

FINGERPRINT = "fingerprint.pb"  # Of a SavedModel.


class Format(NamedTuple):
    """A format: the name of its file or folder, and the largest accepted difference from the Keras model's answers."""

    file: str
    tolerance: float = 1e-4  # Runtimes round differently: small networks differ by up to 1e-5.


FORMATS = {
    "keras": Format("two_stream.keras"),
    "savedmodel": Format("two_stream_savedmodel"),
    "onnx": Format("two_stream.onnx"),
    "onnx-float16": Format("two_stream_float16.onnx", 0.02),
    "litert": Format("two_stream.tflite"),
    "litert-float16": Format("two_stream_float16.tflite", 0.02),
    "litert-int8": Format("two_stream_int8.tflite", 0.25),
}


def joined(scorers: Mapping[str, Scorer], fusion: Fusion = AVERAGE) -> keras.Model:
    """Returns one network of all streams. It outputs each stream's probabilities, the fused ones, and all logits."""
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
    # If a stream takes several views, their logits are averaged first.
    outputs.update({LOGITS.format(name): logits for name, logits in of_stream.items()})
    return keras.Model(inputs, outputs, name="two_stream")


def write(model: keras.Model, texts: Mapping[str, str], kind: str, path: Path, clips: Arrays) -> None:
    """Writes a joined model in one of the formats, with its metadata. The clips set the ranges of int8."""
    name, _, precision = kind.partition("-")
    if name == "keras":
        save_alike(model, path, texts)
    elif name == "savedmodel":
        _write_savedmodel(model, texts, path)
    elif name == "onnx":
        _write_onnx(model, texts, path, half=precision == "float16")
    else:
        path.write_bytes(_litert(model, precision, clips))
        _append(texts, path)


def _write_savedmodel(model: keras.Model, texts: Mapping[str, str], path: Path) -> None:
    with swallowed_stderr():
        _archive(model, {"serve": model}).write_out(str(path), verbose=False)
    fingerprint = FingerprintDef.FromString((path / FINGERPRINT).read_bytes())
    # TensorFlow draws one by chance.
    fingerprint.uuid = f"{fingerprint.saved_model_checksum}-{fingerprint.checkpoint_hash}"
    (path / FINGERPRINT).write_bytes(fingerprint.SerializeToString(deterministic=True))
    (path / EXTRA).mkdir(exist_ok=True)
    save_alike(model, path / EXTRA / KERAS_COPY, {})
    for name, text in texts.items():
        (path / EXTRA / name).write_text(text, encoding="utf-8")


def _write_onnx(model: keras.Model, texts: Mapping[str, str], path: Path, *, half: bool) -> None:
    import onnx

    with swallowed_stderr():
        model.export(path, format="onnx", verbose=False)
    written = onnx.load(path)
    put_in_order(written.graph)
    if half:
        from onnxruntime.transformers.float16 import convert_float_to_float16

        written = convert_float_to_float16(written, keep_io_types=True)
    onnx.helper.set_model_props(written, dict(texts))
    onnx.save(written, path)


def _litert(model: keras.Model, precision: str, clips: Arrays) -> bytes:
    """Returns a LiteRT model with one signature for all outputs, and one for each stream."""
    entries = {SIGNATURE: model, **_streams(model)}
    with scratch_folder() as folder, swallowed_stderr():
        # With an unknown number of clips, networks that look at many frames of each can't be laid out in memory.
        _archive(model, entries, count=1).write_out(str(folder / "saved"), verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"), signature_keys=[*entries])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        if precision:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.representative_dataset = functools.partial(_examples, entries, clips)
        written: bytes = with_int8(converter) if precision == "int8" else converter.convert()
    return written


def _archive(
    model: keras.Model, entries: Mapping[str, keras.Model], count: int | None = None
) -> keras.export.ExportArchive:
    """Returns a writer of a model in TensorFlow's format, with an entry for each network; `count` fixes their clips."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    place = {id(each.value): number for number, each in enumerate(model.variables)}
    for name, part in entries.items():
        spec = {each.name: tf.TensorSpec([count, *each.shape[1:]], tf.uint8, name=each.name) for each in part.inputs}
        called = functools.partial(part.__call__, training=False)
        graph = archive.add_endpoint(name, called, input_signature=[spec]).get_concrete_function().graph
        # TensorFlow orders them by address, so that equal models would give files that differ.
        graph.variables = sorted(graph.variables, key=lambda each: place.get(id(each), -1))
    return archive


def _streams(model: keras.Model) -> dict[str, keras.Model]:
    """Returns for each stream, by name, a network that computes its logits."""
    names = [name for name in model.output if LOGITS.format(name) in model.output]
    parts = {}
    for name in names:
        own = {each.name for each in model.get_layer(name).inputs}
        inputs = {each.name: each for each in model.inputs if each.name in own}
        logits = LOGITS.format(name)
        parts[name] = keras.Model(inputs, {logits: model.output[logits]})
    return parts


def _examples(entries: Mapping[str, keras.Model], clips: Arrays) -> Iterator[tuple[str, Arrays]]:
    """Yields the inputs of each signature, one clip at a time; the converter takes the ranges of int8 from them."""
    for name, part in entries.items():
        for place in range(len(next(iter(clips.values())))):
            yield name, {each.name: np.asarray(clips[each.name][place : place + 1]) for each in part.inputs}


def _append(texts: Mapping[str, str], path: Path) -> None:
    """Appends a zip archive to a model: LiteRT's own metadata keep label files this way. Runtimes ignore it."""
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name), text)
