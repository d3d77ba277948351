"""Networks: pixels go in, logits come out; what an input needs is inside, so that no file can be fed wrongly."""

from collections.abc import Callable

import keras
from keras import layers, ops

# Filters of each pair of convolutions; the map is halved after each pair.
SMALL = (24, 48, 96)


def build_network(
    backbone: str, *, input_name: str, channels: int, size: int, num_classes: int, flow_bound: float, dropout: float
) -> keras.Model:
    """Returns a network from uint8 pixels to logits."""
    inputs = keras.Input((size, size, channels), dtype="uint8", name=input_name)
    pixels = flow_pixels(inputs, flow_bound) if input_name == "flow" else rgb_pixels(inputs)
    features = BACKBONES[backbone](pixels)
    features = layers.Dropout(dropout)(features)
    logits = layers.Dense(num_classes, name="logits", dtype="float32")(features)
    return keras.Model(inputs, logits, name=f"{backbone}_{input_name}")


def rgb_pixels(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Scales uint8 pixels to -1..1."""
    return layers.Rescaling(1 / 127.5, -1.0, name="scaling")(inputs)


def flow_pixels(inputs: keras.KerasTensor, bound: float) -> keras.KerasTensor:
    """Turns levels into pixels of motion, less each field's mean vector, which is the camera's part (Sec. 3.1)."""
    flow = layers.Rescaling(bound / 127, -128 * bound / 127, name="pixels_of_motion")(inputs)
    return flow - ops.mean(flow, axis=(1, 2), keepdims=True)


def small(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the features of a small network for small images, as those of the built-in data set."""
    x = pixels
    for filters in SMALL:
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization()(x)
            x = layers.Activation("relu")(x)
        x = layers.MaxPooling2D()(x)
    return layers.GlobalAveragePooling2D()(x)


BACKBONES: dict[str, Callable[[keras.KerasTensor], keras.KerasTensor]] = {"small": small}
