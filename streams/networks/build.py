"""Builds networks from pixels to logits. The scaling of the input is part of the network, so that a saved file needs no
preprocessing.

Every network has layers of these names: `map`, its last convolutional map; `features`, the vector from which class
scores are computed; `logits`, the scores.
"""

from collections.abc import Sequence

import keras
from keras import layers

from streams.checks import check_backbone
from streams.networks.backbones.table import BACKBONES, Backbone, Variant, backbone_of
from streams.networks.in_time import network_in_time, shifted_network
from streams.networks.preprocessing import Pixels, scaled

_AS_KERAS = Variant()
_TOO_SMALL = (
    "{0} needs images of {1} pixels or more. Received {2}. Pass --crop-size {1} or more, or another --backbone."
)


def build_network(
    backbone: str,
    pixels: Pixels,
    num_classes: int,
    *,
    dropout: float = 0.5,  # On the features, before the class scores.
    dense_dropout: float | None = None,  # On the dense layers before them. None means `dropout`.
    variant: Variant = _AS_KERAS,  # For weights that are not from Keras.
) -> keras.Model:
    """Returns a network from uint8 pixels to logits."""
    check_backbone(backbone)
    parts = backbone_of(backbone, variant.origin) if variant.origin else BACKBONES[backbone]
    if pixels.size < parts.smallest:
        raise ValueError(_TOO_SMALL.format(backbone, parts.smallest, pixels.size))
    inputs = keras.Input((pixels.size, pixels.size, pixels.channels), dtype="uint8", name=pixels.family)
    if variant.shift:
        return shifted_network(inputs, pixels, parts, num_classes, dropout, variant.shift)
    if pixels.num_frames or parts.in_time == "flow":
        return network_in_time(inputs, pixels, parts, num_classes, dropout)
    features = _features(inputs, pixels, parts, dropout if dense_dropout is None else dense_dropout)
    kept = layers.Dropout(dropout, name="dropout")(features)
    # In float32 even if the rest has less precision, because sums of exponentials need it.
    logits = layers.Dense(num_classes, name="logits", dtype="float32")(kept)
    return keras.Model(inputs, logits, name=f"{backbone}_{pixels.family}")


def _features(inputs: keras.KerasTensor, pixels: Pixels, parts: Backbone, dense_dropout: float) -> keras.KerasTensor:
    build = parts.build_for_flow if parts.build_for_flow and pixels.family == "flow" else parts.build
    last_map = layers.Identity(name="map")(build(scaled(inputs, pixels, parts.scaling)))
    if parts.dense:
        return _dense(layers.Flatten(name="flatten")(last_map), parts.dense, dense_dropout)
    if parts.normalised:
        pooled = layers.GlobalAveragePooling2D(name="pooled")(last_map)
        return layers.LayerNormalization(epsilon=1e-6, name="features")(pooled)
    return layers.GlobalAveragePooling2D(name="features")(last_map)


def _dense(x: keras.KerasTensor, sizes: Sequence[int], dropout: float) -> keras.KerasTensor:
    for number, units in enumerate(sizes, 1):
        if number > 1:
            x = layers.Dropout(dropout, name=f"dense{number - 1}_dropout")(x)
        name = "features" if number == len(sizes) else f"dense{number}_relu"
        x = layers.Dense(units, name=f"dense{number}", kernel_initializer="he_normal")(x)
        x = layers.Activation("relu", name=name)(x)
    return x
