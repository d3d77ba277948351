"""Decodes the bytes of images and of flow, for training, testing and prediction alike."""

import numpy as np
import tensorflow as tf

from data.optical_flow.levels import quantise
from data.store.flow_files import field_of

# TensorFlow's default transform is a few percent faster, but differs from other decoders by up to 7 levels, which on
# flow adds a third to the error. The accurate transform equals OpenCV's bit for bit.
DCT_METHOD = "INTEGER_ACCURATE"


def image_size(contents: tf.Tensor) -> tf.Tensor:
    """Returns height and width of a JPEG, int32[2], from its header alone."""
    return tf.io.extract_jpeg_shape(contents)[:2]


def decode_image(contents: tf.Tensor, channels: int, box: tf.Tensor | None = None) -> tf.Tensor:
    """Decodes a JPEG, or a box of it, as uint8[H, W, channels]; grey is 1 channel, colour 3."""
    if box is None:
        return tf.io.decode_jpeg(contents, channels=channels, dct_method=DCT_METHOD)
    if channels == 3:
        return _box_of_colour(contents, box)
    return tf.io.decode_and_crop_jpeg(contents, box, channels=channels, dct_method=DCT_METHOD)


def _box_of_colour(contents: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    # Most JPEGs store colour at half the width. A decoder makes the outer columns of a box without the colour beside
    # them, which differs from the whole image by up to 29 levels. So one more column on each side is cut off again.
    top, left, height, width = tf.unstack(box)
    first, last = tf.maximum(left - 1, 0), tf.minimum(left + width + 1, image_size(contents)[1])
    wider = tf.stack([top, first, height, last - first])
    image = tf.io.decode_and_crop_jpeg(contents, wider, channels=3, dct_method=DCT_METHOD)
    return tf.slice(image, tf.stack([0, left - first, 0]), tf.stack([height, width, 3]))


def floats_size(contents: tf.Tensor) -> tf.Tensor:
    """Returns height and width of a `.npy` file of flow, int32[2]."""
    size = tf.numpy_function(lambda content: np.array(_field(content).shape[:2], np.int32), [contents], tf.int32, False)
    return tf.ensure_shape(size, (2,))


def decode_floats(contents: tf.Tensor, bound: float, box: tf.Tensor | None = None) -> list[tf.Tensor]:
    """Decodes a `.npy` file of flow in pixels as two uint8[H, W, 1] of centred levels: x and y."""

    def levels(content: bytes | np.ndarray, *box: np.ndarray) -> np.ndarray:
        field = _field(content)
        for top, left, height, width in box:
            field = field[top : top + height, left : left + width]
        return quantise(field, bound)

    inputs = [contents] if box is None else [contents, box]
    both = tf.numpy_function(levels, inputs, tf.uint8, stateful=False)
    return tf.split(tf.ensure_shape(both, (None, None, 2)), 2, axis=-1)


def _field(content: bytes | np.ndarray) -> np.ndarray:
    # A graph passes bytes, eager code passes an array of them.
    return field_of(content if isinstance(content, bytes) else content.item())
