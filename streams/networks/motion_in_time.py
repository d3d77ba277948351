"""Builds a network for flow that is spread over a video: which motion happens where and when.

Fixed layers turn each field into maps of eight directions, so that the network needn't learn this from few videos. It
has three parts: the strength of motion, whatever its direction and place; directions in a few cells and times; and a
convolution over time, trained from scratch.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

# The cells along each side of the maps. Parts use larger ones.
GRID = 12
# The exponents of power means. With a high exponent, the strongest motion anywhere counts most, even of small things.
POWERS = (0.5, 1.0, 2.0, 4.0, 8.0, 32.0)
# For the directions that a linear layer takes: cells along each side, and moments.
FEW_CELLS, FEW_MOMENTS = 3, 8
# The same, for those that are convolved over time.
MANY_CELLS, MANY_MOMENTS = 6, 16
DIRECTIONS = 8
# The kinds of maps that are convolved: flow and its two derivatives.
CHANNELS = 3 * DIRECTIONS


def motion_features(flow: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the features of flow in pixels [B, H, W, 2 L], in the parts `strength`, `directions` and `moments`."""
    height, width, channels = flow.shape[1:]
    fields = channels // 2
    if height % GRID or width % GRID:
        raise ValueError(
            f"Flow that is spread over a video needs sides that are multiples of {GRID}. Received {height}."
        )
    apart = ops.transpose(ops.reshape(flow, (-1, height, width, fields, 2)), (0, 3, 1, 2, 4))
    x, y = apart[..., 0], apart[..., 1]
    # The camera moves all pixels in nearly the same way. Subtracting the mean, or taking derivatives, removes that.
    vectors = [(x, y), (_less_mean(x), _less_mean(y)), _derivatives(x), _derivatives(y)]
    maps = [_cells(_by_direction(*each), GRID) for each in vectors]
    moving = ops.concatenate([maps[0], maps[2], maps[3]], axis=-1)
    few = _pooled(moving, FEW_MOMENTS, FEW_CELLS)
    many = _pooled(moving, min(fields, MANY_MOMENTS), MANY_CELLS)
    parts = [
        layers.Identity(name="strength")(_strength(maps)),
        layers.Flatten(name="directions")(few),
        layers.Flatten(name="moments")(many),
    ]
    return layers.Concatenate(name="features")(parts)


def moments_network(num_features: int, num_fields: int, num_classes: int, dropout: float = 0.4) -> keras.Model:
    """Returns the network that convolves moments over time, from the part `moments` to logits."""
    inputs = keras.Input((num_features,), name="moments")
    moments = min(num_fields, MANY_MOMENTS)
    x = layers.BatchNormalization(center=False, scale=False, momentum=0.9)(
        layers.Reshape((moments, MANY_CELLS**2, CHANNELS))(inputs)
    )
    x = layers.Dropout(dropout / 4)(layers.Reshape((moments, -1))(x))
    for number, width in enumerate((96, 96, 144), 1):
        x = layers.Conv1D(
            width,
            3,
            padding="same",
            use_bias=False,
            kernel_regularizer=keras.regularizers.L2(1e-3),
            name=f"conv{number}",
        )(x)
        x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))
        if number == 2:
            x = layers.AveragePooling1D(2, padding="same")(x)
        x = layers.Dropout(dropout / 2)(x) if number < 3 else x
    x = layers.Dropout(dropout)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(num_classes, name="moments_logits", dtype="float32")(x), name="moments_net")


def motion_logits(features: keras.KerasTensor, num_fields: int, num_classes: int, dropout: float) -> keras.KerasTensor:
    """Returns logits from motion features: of a dense layer over the first two parts, plus those of the convolution."""
    *linear, moments = (part.shape[-1] for part in features._keras_history.operation.input)
    # Its own rate: with few videos, a convolution needs more dropout than the other networks have by default.
    convolved = moments_network(moments, num_fields, num_classes, max(dropout, 0.4))(features[:, sum(linear) :])
    dense = layers.Dense(num_classes, name="linear_logits", dtype="float32")(features[:, : sum(linear)])
    return layers.Add(name="logits", dtype="float32")([dense, convolved])


def _by_direction(x: keras.KerasTensor, y: keras.KerasTensor) -> keras.KerasTensor:
    """Splits vectors [...] into eight directions, [..., 8]: each vector is shared between the two nearest ones."""
    right, left, down, up = (ops.relu(each) for each in (x, -x, y, -y))
    across, along = right + left, down + up
    beside = (right, down), (down, left), (left, up), (up, right)
    diagonals = [2**0.5 * ops.minimum(*pair) for pair in beside]
    axes = [ops.relu(right - along), ops.relu(down - across), ops.relu(left - along), ops.relu(up - across)]
    return ops.stack([each for pair in zip(axes, diagonals, strict=True) for each in pair], axis=-1)


def _less_mean(values: keras.KerasTensor) -> keras.KerasTensor:
    return values - ops.mean(values, axis=(2, 3), keepdims=True)


def _derivatives(values: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns the change of values [B, L, H, W] to the right and downwards, 0 at the border."""
    right = (values[..., 2:] - values[..., :-2]) / 2
    down = (values[..., 2:, :] - values[..., :-2, :]) / 2
    return ops.pad(right, [[0, 0], [0, 0], [0, 0], [1, 1]]), ops.pad(down, [[0, 0], [0, 0], [1, 1], [0, 0]])


def _cells(maps: keras.KerasTensor, count: int) -> keras.KerasTensor:
    """Returns maps [B, L, H, W, C] as means over cells, [B, L, count, count, C].

    Rows come before columns, because the kernels of LiteRT take no more than six axes.
    """
    fields, height, width, channels = maps.shape[1:]
    rows = ops.mean(ops.reshape(maps, (-1, fields, count, height // count, width * channels)), axis=3)
    return ops.mean(ops.reshape(rows, (-1, fields, count, count, width // count, channels)), axis=4)


def _pooled(maps: keras.KerasTensor, moments: int, cells: int) -> keras.KerasTensor:
    """Returns the square roots of maps, pooled to fewer moments and cells. Roots let faint motion count too."""
    pooled = ops.einsum("ml,blijc->bmijc", _shares(maps.shape[1], moments), _cells(maps, cells))
    return ops.sqrt(ops.relu(pooled) + 1e-12)


def _shares(fields: int, moments: int) -> np.ndarray:
    """Returns the share of each field in each moment, [moments, fields]."""
    edges = np.linspace(0, fields, moments + 1)
    starts, ends = np.maximum(edges[:-1, None], np.arange(fields)), np.minimum(edges[1:, None], np.arange(fields) + 1)
    overlap = np.maximum(ends - starts, 0)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)


def _strength(maps: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
    """Returns the logarithms of power means of the motion, over all fields and cells, for each kind of map."""
    fields = maps[0].shape[1]
    energy = ops.stack([ops.sqrt(ops.sum(each, axis=-1) + 1e-12) for each in maps], axis=-1)
    energy = ops.reshape(energy, (-1, fields * GRID * GRID, len(maps)))
    top = ops.max(energy, axis=1, keepdims=True) + 1e-8
    means = [ops.power(ops.mean(ops.power(energy / top, power), axis=1), 1 / power) * top[:, 0] for power in POWERS]
    return ops.concatenate([ops.log(mean + 1e-3) for mean in means], axis=-1)
