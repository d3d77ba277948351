"""Which frames make a clip: integers only, so that it can be reasoned about and tested without images."""

import numpy as np
import tensorflow as tf


def random_start(num_items: tf.Tensor, length: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws where a clip of `length` items starts, early enough to be whole where the video is long enough."""
    latest = tf.maximum(num_items - length, 0)
    return tf.random.stateless_uniform([], seed, 0, latest + 1, tf.int32)


def clip_indices(start: tf.Tensor, num_items: tf.Tensor, length: int) -> tf.Tensor:
    """Returns the items of a clip; a video that is too short starts again from its beginning."""
    return (start + tf.range(length)) % tf.maximum(num_items, 1)


def view_starts(num_items: int, length: int, num_views: int) -> np.ndarray:
    """Returns starts spread evenly over a video, its first and its last whole clip among them."""
    latest = max(num_items - length, 0)
    if num_views == 1:
        return np.array([latest // 2], np.int32)
    return np.round(np.linspace(0, latest, num_views)).astype(np.int32)
