"""Networks: pixels go in, logits come out; what an input needs is inside, so that no file can be fed wrongly."""

from collections.abc import Callable

import keras
from keras import layers, ops

# Filters, kernel size and stride of each convolution, and whether pooling follows.
SMALL = ((16, 5, 2, False), (32, 3, 1, True), (64, 3, 1, True), (96, 3, 1, False))


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
    for filters, kernel_size, strides, pooled in SMALL:
        x = layers.Conv2D(filters, kernel_size, strides=strides, padding="same", use_bias=False)(x)
        # Keras' default of .99 forgets too slowly for trainings of a few hundred steps.
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.Activation("relu")(x)
        if pooled:
            x = layers.MaxPooling2D()(x)
    return layers.GlobalAveragePooling2D()(x)


BACKBONES: dict[str, Callable[[keras.KerasTensor], keras.KerasTensor]] = {"small": small}
