"""Joins both streams in one network, from `rgb` and `flow` to logits, in one file that plain Keras opens."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import keras
from keras import layers, ops

from streams.config import FUSIONS
from streams.networks.build import build_network
from streams.networks.fused_maps import MAP, fused_at
from streams.networks.preprocessing import Pixels
from streams.runs.model_file import open_network

# The lowest probability that is used, so that every probability has a logarithm.
_LEAST = 1e-12

Stream: TypeAlias = keras.Model | Path


def two_stream_network(
    num_classes: int,
    *,
    spatial: Stream | None = None,
    temporal: Stream | None = None,
    fusion: str = "average",
    spatial_weight: float = 0.5,
    dropout: float = 0.5,
    multi_label: bool = False,
) -> keras.Model:
    """Returns a network of two streams. Each is a network of ours, a file of one, or by default a fresh small one.

    `average` (or `late`), `weighted` (of probabilities) and `logits` (their mean) need no further training. They return
    logits, whose softmax (or sigmoid, for several labels) is the fused probabilities. `concat` joins the features;
    `conv` joins the last maps, or as in `conv:conv4:conv5` the maps at these places, by a 1x1 convolution
    (Feichtenhofer et al. 2016). Both have layers of their own, which are trained end to end, unless the streams are
    frozen.
    """
    fusion, *places = fusion.split(":")
    if fusion not in FUSIONS or (places and fusion != "conv"):
        raise ValueError(f"There is no fusion {fusion!r}. Choose one of {', '.join(FUSIONS)}.")
    streams = [
        _opened(spatial, Pixels("rgb", 3, 64), num_classes, name="spatial"),
        _opened(temporal, Pixels("flow", 20, 64), num_classes, name="temporal"),
    ]
    inputs = [keras.Input(each.input_shape[1:], dtype="uint8", name=each.inputs[0].name) for each in streams]
    if fusion == "conv" and (places or _has_dense_layers(streams[0])):
        logits = fused_at(streams[0], streams[1], inputs, places or [MAP])
    elif fusion in ("concat", "conv"):
        part = "features" if fusion == "concat" else "map"
        parts = [_until(stream, part)(tensor) for stream, tensor in zip(streams, inputs, strict=True)]
        features = layers.Concatenate(name="joined")(parts) if fusion == "concat" else _joined_maps(parts)
        logits = layers.Dense(num_classes, name="logits", dtype="float32")(layers.Dropout(dropout)(features))
    else:
        scores = [stream(tensor) for stream, tensor in zip(streams, inputs, strict=True)]
        logits = late_scores(scores, fusion, spatial_weight, multi_label=multi_label)
    return keras.Model(dict(zip(("rgb", "flow"), inputs, strict=True)), logits, name=f"two_stream_{fusion}")


def late_scores(
    scores: Sequence[keras.KerasTensor], fusion: str, spatial_weight: float = 0.5, *, multi_label: bool = False
) -> keras.KerasTensor:
    """Returns the fused logits of two streams' logits, by a fusion that has no layers of its own."""
    weight = spatial_weight if fusion == "weighted" else 0.5
    return _mean(scores, weight) if fusion == "logits" else _fused(scores, weight, multi_label)


def _opened(stream: Stream | None, fresh: Pixels, num_classes: int, *, name: str) -> keras.Model:
    if stream is None:
        network = build_network("small", fresh, num_classes)
    elif isinstance(stream, Path):
        network = open_network(stream)
    else:
        network = stream
    found = network.inputs[0].name, network.output_shape[-1]
    if found != (fresh.family, num_classes):
        raise ValueError(
            f"The {name} stream must take {fresh.family} and score {num_classes} classes. Received a network "
            f"that takes {found[0]} and scores {found[1]}."
        )
    # Each is named after its stream, because two networks of one kind have the same name.
    return keras.Model(network.input, network.outputs[0], name=name)


def _has_dense_layers(stream: keras.Model) -> bool:
    """Tells whether dense layers make the class scores from a whole map, as in VGG and CNN-M, not from its mean."""
    return any(isinstance(layer, layers.Flatten) for layer in stream.layers)


def _until(stream: keras.Model, layer: str) -> keras.Model:
    return keras.Model(stream.input, stream.get_layer(layer).output, name=stream.name)


def _joined_maps(maps: list[keras.KerasTensor]) -> keras.KerasTensor:
    sides = [tuple(each.shape[1:3]) for each in maps]
    if sides[0] != sides[1]:
        maps[1] = layers.Resizing(*sides[0], name="resized")(maps[1])
    joined = layers.Concatenate(name="joined")(maps)
    x = layers.Conv2D(maps[0].shape[-1], 1, activation="relu", kernel_initializer="he_normal", name="fusion")(joined)
    return layers.GlobalAveragePooling2D(name="features")(layers.Identity(name="map")(x))


def _mean(scores: Sequence[keras.KerasTensor], weight: float) -> keras.KerasTensor:
    return weight * scores[0] + (1 - weight) * scores[1]


def _fused(scores: Sequence[keras.KerasTensor], weight: float, multi_label: bool) -> keras.KerasTensor:
    if not multi_label:
        return ops.log(ops.maximum(_mean([ops.softmax(each) for each in scores], weight), _LEAST))
    chances = _mean([ops.sigmoid(each) for each in scores], weight)
    against = _mean([ops.sigmoid(-each) for each in scores], weight)  # 1 - chances would round to zero.
    return ops.log(ops.maximum(chances, _LEAST)) - ops.log(ops.maximum(against, _LEAST))
