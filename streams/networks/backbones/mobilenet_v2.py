"""MobileNetV2 (Sandler et al. 2018) as torchvision builds it: padded on both sides, and with another epsilon."""

import keras
from keras import layers

# Expansion, filters, number and first stride of the blocks of each stage.
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map."""
    return maps(pixels)[1]


def maps(pixels: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns a middle map, which still shows where things are, and the last map."""
    x = _convolution(pixels, 32, 3, 2, name="conv1")
    number, middle = 0, x
    for expansion, filters, count, first in MOBILENET_V2:
        for place in range(count):
            number += 1
            x = _block(x, expansion, filters, first if place == 0 else 1, name=f"block{number}")
            middle = x if filters == 96 else middle
    return middle, _convolution(x, 1280, 1, 1, name="conv2")


def _block(x: keras.KerasTensor, expansion: int, filters: int, strides: int, *, name: str) -> keras.KerasTensor:
    shortcut, channels = x, x.shape[-1]
    if expansion > 1:
        x = _convolution(x, expansion * channels, 1, 1, name=f"{name}_expand")
    x = layers.ZeroPadding2D(1)(x)
    depthwise = layers.DepthwiseConv2D(3, strides=strides, use_bias=False, name=f"{name}_depthwise")
    x = _normalised(depthwise(x), f"{name}_depthwise")
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = layers.Conv2D(filters, 1, use_bias=False, kernel_initializer="he_normal", name=f"{name}_project")(x)
    x = _normalised(x, f"{name}_project")
    return layers.Add(name=f"{name}_add")([shortcut, x]) if strides == 1 and channels == filters else x


def _convolution(x: keras.KerasTensor, filters: int, size: int, strides: int, *, name: str) -> keras.KerasTensor:
    if size > 1:
        x = layers.ZeroPadding2D(size // 2)(x)
    x = layers.Conv2D(filters, size, strides=strides, use_bias=False, kernel_initializer="he_normal", name=name)(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(_normalised(x, name))


def _normalised(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
