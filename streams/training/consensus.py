"""What the segments of a video agree on, where a training example has several (Wang et al. 2016, Sec. 3.2)."""

import tensorflow as tf


def agreed(logits: tf.Tensor, consensus: str) -> tf.Tensor:
    """Returns the scores of videos, [B, C], from those of their segments, [B, K, C]."""
    if consensus == "max":
        return tf.reduce_max(logits, axis=1)
    if consensus == "attention":
        # How sure a segment is decides its share. It learns from the class scores, and needs no weights of its own.
        surest = tf.reduce_max(logits, axis=2, keepdims=True)
        return tf.reduce_sum(tf.nn.softmax(surest, axis=1) * logits, axis=1)
    return tf.reduce_mean(logits, axis=1)
