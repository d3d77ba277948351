"""BN-Inception (Ioffe and Szegedy 2015), as in temporal segment networks. Keras does not have it."""

import keras
from keras import layers

# Name, filters of the 1x1 branch, of the 3x3 branch (reduced, full), of the double 3x3 branch (reduced, full), the
# pooling, and the filters of its projection. No 1x1 branch and no projection mean that the block halves the map.
BN_INCEPTION = (
    ("3a", 64, (64, 64), (64, 96), "average", 32),
    ("3b", 64, (64, 96), (64, 96), "average", 64),
    ("3c", 0, (128, 160), (64, 96), "max", 0),
    ("4a", 224, (64, 96), (96, 128), "average", 128),
    ("4b", 192, (96, 128), (96, 128), "average", 128),
    ("4c", 160, (128, 160), (128, 160), "average", 128),
    ("4d", 96, (128, 192), (160, 192), "average", 128),
    ("4e", 0, (128, 192), (192, 256), "max", 0),
    ("5a", 352, (192, 320), (160, 224), "average", 128),
    ("5b", 352, (192, 320), (192, 224), "max", 128),
)


def bn_inception(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of BN-Inception."""
    x = _convolution(pixels, 64, 7, 2, name="conv1")
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(x)
    x = _convolution(x, 64, 1, name="conv2_reduce")
    x = _convolution(x, 192, 3, name="conv2")
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool2")(x)
    for block in BN_INCEPTION:
        x = _inception(x, *block)
    return x


def _inception(
    x: keras.KerasTensor,
    name: str,
    single: int,
    triple: tuple[int, int],
    double: tuple[int, int],
    pooling: str,
    projection: int,
) -> keras.KerasTensor:
    name, strides = f"inception_{name}", 1 if projection else 2
    branches = [_convolution(x, single, 1, name=f"{name}_1x1")] if single else []

    reduced = _convolution(x, triple[0], 1, name=f"{name}_3x3_reduce")
    branches.append(_convolution(reduced, triple[1], 3, strides, name=f"{name}_3x3"))

    reduced = _convolution(x, double[0], 1, name=f"{name}_double_reduce")
    first = _convolution(reduced, double[1], 3, name=f"{name}_double_1")
    branches.append(_convolution(first, double[1], 3, strides, name=f"{name}_double_2"))

    if pooling == "max":
        pooled = layers.MaxPooling2D(3, strides=strides, padding="same", name=f"{name}_pool")(x)
    else:  # Caffe also counts the zeros around the map.
        pooled = layers.AveragePooling2D(3, strides=strides, name=f"{name}_pool")(layers.ZeroPadding2D(1)(x))
    branches.append(_convolution(pooled, projection, 1, name=f"{name}_projection") if projection else pooled)
    return layers.Concatenate(name=name)(branches)


def _convolution(x: keras.KerasTensor, filters: int, size: int, strides: int = 1, *, name: str) -> keras.KerasTensor:
    # Padded on both sides, as in Caffe. "same" with a stride would pad on one side only.
    if size > 1:
        x = layers.ZeroPadding2D(size // 2)(x)
    # The published network has biases, although the normalisation that follows removes them.
    x = layers.Conv2D(filters, size, strides=strides, kernel_initializer="he_normal", name=name)(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)
