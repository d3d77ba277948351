"""Changes the order of frames in clips (frozen, shuffled or reversed), to test whether a network uses motion."""

import numpy as np
import tensorflow as tf

from data.optical_flow.levels import RULES
from pipelines.augment import opposite
from pipelines.inputs import Input


def in_other_time(views: tf.Tensor, clip: Input, order: str, rule: str) -> tf.Tensor:
    """Returns clips [B, H, W, C] that are spread over a video, with their frames or fields in another order.

    Frozen clips repeat their middle frame and show no motion. In reversed clips, fields are also replaced by the
    opposite motion. In shuffled clips, fields keep their motion.
    """
    if not clip.is_spread:
        raise ValueError(f"Only clips that are spread over a video can be {order}. Received the input {clip.kind}.")
    depth = views.shape[-1] // clip.num_items
    items = tf.reshape(views, [*tf.unstack(tf.shape(views)[:3]), clip.num_items, depth])
    if order == "frozen" and clip.is_flow:
        changed = tf.fill(tf.shape(items), tf.constant(int(RULES[rule].still), tf.uint8))
    else:
        changed = tf.gather(items, _places(order, clip.num_items), axis=3)
    if order == "reversed" and clip.is_flow:
        changed = opposite(changed, rule)
    return tf.ensure_shape(tf.reshape(changed, tf.shape(views)), views.shape)


def _places(order: str, count: int) -> np.ndarray:
    if order == "frozen":
        return np.full(count, count // 2)
    if order == "reversed":
        return np.arange(count)[::-1].copy()
    return np.random.default_rng(count).permutation(count)
