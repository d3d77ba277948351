"""Builds one network for two data sets, with a layer of scores and a loss for each (Sec. 3.2 of the paper)."""

import keras
import tensorflow as tf
from keras import layers

from pipelines.source import plainly


def with_second_task(network: keras.Model, num_classes: int) -> keras.Model:
    """Returns a network whose scores are those of the first data set, followed by those of the second."""
    shared = network.get_layer("dropout").output
    second = layers.Dense(num_classes, name="logits_of_second", dtype="float32")(shared)
    both = layers.Concatenate(name="logits_of_both", dtype="float32")([network.output, second])
    return keras.Model(network.input, both, name=network.name)


def both_batches(first: tf.data.Dataset, second: tf.data.Dataset, num_first: int) -> tf.data.Dataset:
    """Joins batches of two data sets. Labels of the second are numbered after the first's classes."""

    def together(a: tuple[tf.Tensor, tf.Tensor], b: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.concat([a[0], b[0]], axis=0), tf.concat([a[1], b[1] + num_first], axis=0)

    return tf.data.Dataset.zip(first, second).map(plainly(together))


def own_task_only(logits: tf.Tensor, labels: tf.Tensor, tasks: tuple[int, ...]) -> tf.Tensor:
    """Masks the logits of the other data set's classes, so that each data set has its own loss."""
    of_class = tf.repeat(tf.range(len(tasks)), tasks)
    of_label = tf.gather(of_class, tf.cast(labels, tf.int32))
    return tf.where(of_class[None] == of_label[:, None], logits, logits.dtype.min / 2)
