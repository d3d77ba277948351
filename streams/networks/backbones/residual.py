"""ResNet (He et al. 2016): with 18 layers, which Keras does not have, and deeper ones as torchvision builds them."""

from collections.abc import Sequence

import keras
from keras import layers

# Filters and first stride of each stage of two blocks.
RESNET18 = ((64, 1), (128, 2), (256, 2), (512, 2))


def resnet18(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of ResNet-18."""
    x = _convolution(pixels, 64, 7, 2, name="conv1")
    x = layers.Activation("relu", name="conv1_relu")(x)
    # After the ReLU, zero is the lowest value, so padding with zeros never wins.
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(layers.ZeroPadding2D(1)(x))
    for stage, (filters, strides) in enumerate(RESNET18, 2):
        x = _block(x, filters, strides, name=f"conv{stage}_block1")
        x = _block(x, filters, 1, name=f"conv{stage}_block2")
    return x


def bottlenecks(pixels: keras.KerasTensor, blocks: Sequence[int]) -> keras.KerasTensor:
    """Returns the last map of a network with this number of blocks in each stage.

    Keras' own has biases, strides in the first convolution of a block instead of the second, and another epsilon.
    """
    x = _convolution(pixels, 64, 7, 2, name="conv1")
    x = layers.Activation("relu", name="conv1_relu")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(layers.ZeroPadding2D(1)(x))
    for stage, count in enumerate(blocks, 2):
        for number in range(1, count + 1):
            strides = 2 if stage > 2 and number == 1 else 1
            x = _bottleneck(x, 2 ** (stage + 4), strides, name=f"conv{stage}_block{number}")
    return x


def _bottleneck(x: keras.KerasTensor, filters: int, strides: int, *, name: str) -> keras.KerasTensor:
    shortcut = x
    if x.shape[-1] != 4 * filters:
        shortcut = _convolution(x, 4 * filters, 1, strides, name=f"{name}_shortcut")
    x = layers.Activation("relu", name=f"{name}_1_relu")(_convolution(x, filters, 1, 1, name=f"{name}_1"))
    x = layers.Activation("relu", name=f"{name}_2_relu")(_convolution(x, filters, 3, strides, name=f"{name}_2"))
    x = layers.Add(name=f"{name}_add")([shortcut, _convolution(x, 4 * filters, 1, 1, name=f"{name}_3")])
    return layers.Activation("relu", name=f"{name}_out")(x)


def _block(x: keras.KerasTensor, filters: int, strides: int, *, name: str) -> keras.KerasTensor:
    shortcut = x
    if strides > 1:
        shortcut = _convolution(x, filters, 1, strides, name=f"{name}_shortcut")
    x = layers.Activation("relu", name=f"{name}_1_relu")(_convolution(x, filters, 3, strides, name=f"{name}_1"))
    x = layers.Add(name=f"{name}_add")([shortcut, _convolution(x, filters, 3, 1, name=f"{name}_2")])
    return layers.Activation("relu", name=f"{name}_out")(x)


def _convolution(x: keras.KerasTensor, filters: int, size: int, strides: int, *, name: str) -> keras.KerasTensor:
    # With a stride, "same" would pad on one side only, unlike the published weights. Without one it pads on both, as a
    # layer of its own would, and spares a copy of each map on the way there and back.
    if strides > 1 and size > 1:
        x, padding = layers.ZeroPadding2D(size // 2)(x), "valid"
    else:
        padding = "same"
    options = {"strides": strides, "padding": padding, "use_bias": False, "kernel_initializer": "he_normal"}
    x = layers.Conv2D(filters, size, name=name, **options)(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
