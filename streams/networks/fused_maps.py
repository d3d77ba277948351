"""Fuses maps by convolution: maps of the temporal stream join those of the spatial stream, and its later layers follow.

Feichtenhofer, Pinz, Zisserman (2016), Sec. 3.2 to 3.4. A 1x1 convolution joins the maps. At first it takes their mean,
so the layers after it, including dense layers of VGG and CNN-M, can keep their weights.
"""

import re
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

MAP = "map"  # The name of the last map of every network.


def fused_at(
    spatial: keras.Model, temporal: keras.Model, inputs: Sequence[keras.KerasTensor], places: Sequence[str]
) -> keras.KerasTensor:
    """Returns the class scores of the spatial stream, into which maps of the temporal stream are joined at some places.

    A place is a layer of both networks, or for instance `conv4`, the output of their fourth block of convolutions.
    """
    of_spatial, of_temporal = ([layer_at(network, place) for place in places] for network in (spatial, temporal))
    order = [layer.name for layer in spatial.layers]
    if [*map(order.index, of_spatial)] != sorted({*map(order.index, of_spatial)}):
        raise ValueError(f"Name places of fusion from the first to the last, each once. Received {[*places]}.")
    until = keras.Model(temporal.input, [temporal.get_layer(name).output for name in of_temporal], name=temporal.name)
    maps = until(inputs[1])
    x = _between(spatial, "", of_spatial[0], spatial.name)(inputs[0])
    for place, here, onward, theirs in zip(
        places, of_spatial, [*of_spatial[1:], MAP], maps if isinstance(maps, list) else [maps], strict=True
    ):
        x = _joined(x, theirs, place)
        if here != onward:
            x = _between(spatial, here, onward, f"after_{place}")(x)
    x = layers.Identity(name=MAP)(x)
    for layer in spatial.layers[order.index(MAP) + 1 :]:  # A chain of dense layers, or of pooling.
        x = layer(x)
    return x


def layer_at(network: keras.Model, place: str) -> str:
    """Returns the name of the layer whose map is joined at a place."""
    names = [layer.name for layer in network.layers]
    block = re.fullmatch(r"conv(\d+)", place)
    number = block[1] if block else ""
    patterns = [rf"conv{number}_relu", rf"block{number}_conv\d+", rf"conv{number}_block\d+_out"] if block else []
    found = [name for pattern in patterns for name in names if re.fullmatch(pattern, name)] or [
        name for name in names if name == place
    ]
    if not found or len(network.get_layer(found[-1]).output.shape) != 4 or names.index(found[-1]) > names.index(MAP):
        maps = [layer.name for layer in network.layers if len(layer.output.shape) == 4][-8:]
        raise ValueError(
            f"The {network.name} stream has no map {place!r} to fuse at. It has {', '.join(maps)} among others; every "
            f"network has {MAP}."
        )
    return found[-1]


def _between(network: keras.Model, first: str, last: str, name: str) -> keras.Model:
    """Returns the part of a network from after one layer, or after its input, up to another layer."""
    begin = network.get_layer(first).output if first else network.input
    try:
        return keras.Model(begin, network.get_layer(last).output, name=name)
    except ValueError as error:
        raise ValueError(
            f"The {network.name} stream can't be cut at {first or last}: another connection bypasses it. Name the last "
            f"layer of a block, or {MAP}."
        ) from error


def _joined(ours: keras.KerasTensor, theirs: keras.KerasTensor, place: str) -> keras.KerasTensor:
    if ours.shape[1:3] != theirs.shape[1:3]:
        theirs = layers.Resizing(*ours.shape[1:3], name=f"resized_{place}")(theirs)
    channels = ours.shape[-1]
    convolution = layers.Conv2D(channels, 1, activation="relu", kernel_initializer="he_normal", name=f"fusion_{place}")
    joined = convolution(layers.Concatenate(name=f"joined_{place}")([ours, theirs]))
    if theirs.shape[-1] == channels:
        mean = np.concatenate([np.eye(channels, dtype=np.float32)] * 2)[None, None] / 2
        convolution.set_weights([mean, np.zeros(channels, np.float32)])
    return joined
