"""Joins the scores of the segments of a training example (Wang et al. 2016, Sec. 3.2)."""

import tensorflow as tf


def agreed(logits: tf.Tensor, consensus: str) -> tf.Tensor:
    """Returns the scores of videos, [B, C], from those of their segments, [B, K, C]."""
    if consensus == "max":
        return tf.reduce_max(logits, axis=1)
    if consensus == "attention":
        # The weight of a segment follows from its confidence, so no weights need to be learned.
        surest = tf.reduce_max(logits, axis=2, keepdims=True)
        return tf.reduce_sum(tf.nn.softmax(surest, axis=1) * logits, axis=1)
    return tf.reduce_mean(logits, axis=1)
