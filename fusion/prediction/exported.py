"""Opens exported models with the runtime of their format. Returns each stream in them as a Keras network."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf

from commands.running import first_line, swallowed_stderr
from fusion.prediction.exported_texts import EXTRA, cards_in, kind_of, onnx_model
from fusion.prediction.prediction import FUSED
from fusion.prediction.scorer import Scorer
from pipelines.inputs import Input
from streams.runs.model_file import BOTH, ModelCard, open_network, read_card

Arrays: TypeAlias = dict[str, np.ndarray]
Answer: TypeAlias = Callable[[Arrays], Arrays]
# The Keras model inside a SavedModel. Running a SavedModel from others would let it read and write files.
KERAS_COPY = "two_stream.keras"
# The LiteRT signature with all outputs. The signatures of single streams have the streams' names.
SIGNATURE = "serving_default"
# The name of the output with the logits of a stream.
LOGITS = "{}_logits"


def opened(path: Path) -> Answer:
    """Returns a function from the inputs of a model of ours to its outputs, run by the format's own runtime."""
    openers = {"savedmodel": _open_savedmodel, "onnx": _open_onnx, "litert": _open_litert}
    return openers.get(kind_of(path), _open_keras)(path)


def scorers_in(path: Path) -> dict[str, Scorer]:
    """Returns the streams in an exported model, or the network itself if both streams were trained as one."""
    kind = kind_of(path)
    try:
        cards = cards_in(path)
    except ValueError as error:
        raise ValueError(f"{path} can't be used as an exported model: {error}. Export it again.") from None
    if cards is None and kind == "keras" and read_card(path).stream == BOTH:
        return {FUSED: Scorer.load(path)}
    if cards is None:
        raise ValueError(
            f"{path} is neither a model that ./run export wrote nor a network of both streams that this project "
            "trained. Pass the model of one stream as --spatial or --temporal."
        )
    try:
        if kind == "hub":  # File names in its contents are ignored: its files have fixed names.
            found = {file.stem: Scorer.load(file) for file in sorted(path.glob("*.keras"))}
            scorers = {name: found[name] for name in cards}
        else:
            networks = _keras_networks if kind in ("keras", "savedmodel") else _foreign_networks
            scorers = {name: Scorer(network, cards[name]) for name, network in networks(path, cards).items()}
        if not scorers or any(each.network.output_shape[-1] != len(each.card.classes) for each in scorers.values()):
            raise ValueError("its streams don't score the classes that it names")
        return scorers
    except (KeyError, ValueError) as error:
        what = f"it has no stream {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} can't be used as an exported model: {what}. Export it again.") from None


def names_of_inputs(card: ModelCard) -> list[str]:
    """Returns the names of the inputs that a stream takes."""
    return ["flow" if Input(part.input_kind, part.length).is_flow else "rgb" for part in card.parts.values()]


def _keras_networks(path: Path, cards: dict[str, ModelCard]) -> dict[str, keras.Model]:
    model = open_network(path if path.is_file() else path / EXTRA / KERAS_COPY)
    return {name: model.get_layer(name) for name in cards}


def _foreign_networks(path: Path, cards: dict[str, ModelCard]) -> dict[str, keras.Model]:
    """Returns a Keras network for each stream, which calls the runtime of the format."""
    answers = _streams_of_onnx(path, cards) if kind_of(path) == "onnx" else _streams_of_litert(path, cards)
    networks = {}
    for name, (answer, shapes) in answers.items():
        inputs = {each: keras.Input(shape[1:], dtype="uint8", name=each) for each, shape in shapes.items()}
        logits = _Asking(answer, LOGITS.format(name), len(cards[name].classes))(inputs)
        networks[name] = keras.Model(inputs if len(inputs) > 1 else next(iter(inputs.values())), logits, name=name)
    return networks


class _Asking(keras.layers.Layer):
    """A layer whose output another runtime computes."""

    def __init__(self, answer: Answer, output: str, num_classes: int) -> None:
        super().__init__(trainable=False, dtype="float32")
        self._ask, self._output, self._num_classes = answer, output, num_classes

    def call(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        """Returns the logits, [B, C]."""
        names = list(inputs)

        def ask(*arrays: np.ndarray) -> np.ndarray:
            return self._ask(dict(zip(names, arrays, strict=True)))[self._output].astype(np.float32)

        return tf.ensure_shape(tf.numpy_function(ask, list(inputs.values()), tf.float32), [None, self._num_classes])

    def compute_output_shape(self, input_shape: object) -> tuple[int | None, int]:
        """Returns the shape of the logits."""
        return None, self._num_classes


# For each stream, the function that computes its answer, and the shapes of its inputs.
_Streams: TypeAlias = dict[str, tuple[Answer, Mapping[str, Sequence[int | None]]]]


def _streams_of_onnx(path: Path, cards: dict[str, ModelCard]) -> _Streams:
    """Returns each stream as a separate model, so that using one doesn't compute the other."""
    model = onnx_model(path)
    import onnx.utils  # Imported only after the package was found, so that a message can name it.

    answers: _Streams = {}
    for name, card in cards.items():
        try:
            part = onnx.utils.Extractor(model).extract_model(names_of_inputs(card), [LOGITS.format(name)])
            answer, session = _of_session(part.SerializeToString())
        except Exception as error:  # The runtime raises exceptions of many kinds.
            raise ValueError(f"its stream {name} can't be run: {first_line(error)[:200]}") from None
        answers[name] = answer, {each.name: [None, *map(int, each.shape[1:])] for each in session.get_inputs()}
    return answers


def _streams_of_litert(path: Path, cards: dict[str, ModelCard]) -> _Streams:
    interpreter = _interpreter(path)
    if missing := [name for name in cards if name not in interpreter.get_signature_list()]:
        raise ValueError(f"it has no stream {missing[0]!r}")
    answers: _Streams = {}
    for name in cards:
        runner = interpreter.get_signature_runner(name)
        details = runner.get_input_details().items()
        shapes = {each: [None, *map(int, about["shape_signature"][1:])] for each, about in details}
        answers[name] = _of_runner(runner), shapes
    return answers


def _open_keras(path: Path) -> Answer:
    model = open_network(path)
    return lambda inputs: {name: np.asarray(value) for name, value in model(inputs, training=False).items()}


def _open_savedmodel(path: Path) -> Answer:
    model = tf.saved_model.load(str(path))  # The function below keeps it alive.
    return lambda inputs: {name: value.numpy() for name, value in model.serve(inputs).items()}


def _open_onnx(path: Path) -> Answer:
    return _of_session(path.read_bytes())[0]


def _of_session(model: bytes):  # type: ignore[no-untyped-def]
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True)), session


def _open_litert(path: Path) -> Answer:
    return _of_runner(_interpreter(path).get_signature_runner(SIGNATURE))


def _interpreter(path: Path):  # type: ignore[no-untyped-def]
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise ImportError(f"{path} needs ai-edge-litert: pip install -r requirements-export.txt") from None
    try:
        with swallowed_stderr():
            return Interpreter(str(path))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"it is not a LiteRT model, or a damaged one: {first_line(error)[:200]}") from None


def _of_runner(runner):  # type: ignore[no-untyped-def]
    """Returns a function that scores one clip after the other, because the file is a network for single clips."""

    def answer(inputs: Arrays) -> Arrays:
        clips = [
            {name: clip[None] for name, clip in zip(inputs, each, strict=True)}
            for each in zip(*inputs.values(), strict=True)
        ]
        # The outputs are in memory that the next call overwrites, so they are copied.
        answers = [{name: np.array(value) for name, value in runner(**clip).items()} for clip in clips]
        return {name: np.concatenate([each[name] for each in answers]) for name in answers[0]}

    return answer
