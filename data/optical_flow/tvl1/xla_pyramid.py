"""Moves between the levels of the pyramid in TensorFlow: shrinks images, enlarges flow and p."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Border in pixels that sampling between pixels needs.
MARGIN = 2


def image_pyramid(image: tf.Tensor, sizes: list[tuple[int, int]], smooth: bool) -> list[tf.Tensor]:
    """Returns brightness and derivatives [B, H + 4, W + 4, 3] of each level, margin included."""
    if smooth:
        image = _smoothed(_smoothed(image, axis=1), axis=2)
    levels = []
    for _ in sizes:
        wide = padded(padded(image, 2 * MARGIN, axis=1), 2 * MARGIN, axis=2)
        x, y = _derivative(wide[:, 2:-2], axis=2), _derivative(wide[:, :, 2:-2], axis=1)
        levels.append(tf.stack([wide[:, 2:-2, 2:-2], x, y], axis=-1))
        image = _halved(_halved(image, axis=1), axis=2)
    return levels


def cut(image: tf.Tensor, axis: int, start: int, stop: int, stride: int = 1) -> tf.Tensor:
    """Returns part of an image along an axis."""
    index = [slice(None)] * len(image.shape)
    index[axis] = slice(start, stop, stride)
    return image[tuple(index)]


def padded(image: tf.Tensor, by: int, axis: int) -> tf.Tensor:
    """Returns an image with its edges repeated along an axis."""
    size = image.shape[axis]
    return tf.gather(image, np.clip(np.arange(-by, size + by), 0, size - 1), axis=axis)


def _smoothed(image: tf.Tensor, axis: int) -> tf.Tensor:
    wide, size = padded(image, 1, axis), image.shape[axis]
    left, middle, right = (cut(wide, axis, start, start + size) for start in range(3))
    return (left + 8 * middle + right) / 10


def _derivative(wide: tf.Tensor, axis: int) -> tf.Tensor:
    """Returns five-tap central differences, wherever all taps are inside."""
    size = wide.shape[axis] - 4
    far_left, left, _, right, far_right = (cut(wide, axis, start, start + size) for start in range(5))
    return (8 * (right - left) - (far_right - far_left)) / 12


def _halved(image: tf.Tensor, axis: int) -> tf.Tensor:
    """Returns an image filtered by [1, 3, 3, 1] / 8 along an axis, with every other pixel."""
    size = (image.shape[axis] + 1) // 2
    wide = padded(image, 2, axis)
    outer_left, left, right, outer_right = (cut(wide, axis, start, start + 2 * size - 1, 2) for start in range(1, 5))
    return (outer_left + outer_right + 3 * (left + right)) / 8


def doubled(fields: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Returns fields [2, B, h, w] enlarged to the next finer level by linear interpolation."""
    for axis, length in zip((2, 3), size, strict=True):
        near, last = np.arange(length) // 2, fields.shape[axis] - 1
        far = np.clip(near + np.arange(length) % 2 * 2 - 1, 0, last)
        fields = 0.75 * tf.gather(fields, near, axis=axis) + 0.25 * tf.gather(fields, far, axis=axis)
    return fields
