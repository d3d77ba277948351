"""Skips clips whose files can't be read, and counts them. Without skipping, unreadable.py names such a file."""

import logging
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pipelines.source import Example, at_once, plainly

# The clips that can't be read: video, training step (or IN_VALIDATION), and place in the batch (or in validation).
# A clip that is read again, for instance in a later epoch, is in it only once. Batches are made ahead, so clips of
# steps that are never taken may be in it too.
Skipped = set[tuple[str, int, int]]
IN_VALIDATION = -1


def skipping(
    examples: tf.data.Dataset,
    load: Callable[[Example], tf.Tensor],
    columns: Callable[[str, tf.Tensor], tf.Tensor],
    batch_size: int,
    shape: tuple[int, ...],
    skipped: Skipped,
) -> tf.data.Dataset:
    """Builds batches where a clip that can't be read is replaced by another one of its batch, and counted."""

    @plainly
    def replace(
        clips: tf.Tensor, labels: tf.Tensor, is_good: tf.Tensor, names: tf.Tensor, places: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        good = tf.where(is_good)[:, 0]
        tf.debugging.Assert(tf.size(good) > 0, ["No clip of this batch can be read:", names], summarize=8)

        def replaced() -> tuple[tf.Tensor, tf.Tensor]:
            bad = [tf.boolean_mask(values, ~is_good) for values in (names, places)]
            with tf.control_dependencies([_count(skipped, *bad)]):
                own = tf.range(batch_size, dtype=tf.int64)
                others = tf.gather(good, own % tf.size(good, tf.int64))
                taken = tf.where(is_good, own, others)
            return tf.gather(clips, taken), tf.gather(labels, taken)

        clips, labels = tf.cond(tf.reduce_all(is_good), lambda: (clips, labels), replaced)
        return tf.ensure_shape(clips, (batch_size, *shape)), labels

    return _loaded(examples, load, columns, shape).batch(batch_size, drop_remainder=True).map(replace)


def leaving_out(
    examples: tf.data.Dataset,
    load: Callable[[Example], tf.Tensor],
    columns: Callable[[str, tf.Tensor], tf.Tensor],
    shape: tuple[int, ...],
    skipped: Skipped,
) -> tf.data.Dataset:
    """Builds `(clip, label)` of the examples that can be read, in order, and counts the others."""

    @plainly
    def is_kept(clip: tf.Tensor, label: tf.Tensor, is_good: tf.Tensor, name: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
        return tf.cond(is_good, lambda: True, lambda: _count(skipped, name[None], place[None]) < 0)

    return _loaded(examples, load, columns, shape).filter(is_kept).map(lambda clip, label, *_: (clip, label))


def _loaded(
    examples: tf.data.Dataset,
    load: Callable[[Example], tf.Tensor],
    columns: Callable[[str, tf.Tensor], tf.Tensor],
    shape: tuple[int, ...],
) -> tf.data.Dataset:
    """Builds `(clip, label, whether it could be read, its video, its place)` of each example."""

    @plainly
    def load_or_nothing(example: Example) -> tuple[tf.Tensor, ...]:
        # A graph can't catch an error, but a data set can drop an element that failed. So each clip is a data set.
        one = tf.data.Dataset.from_tensors(example).map(load).ignore_errors()
        nothing = tf.zeros(shape, tf.uint8), False
        clip, is_good = one.reduce(nothing, lambda _, loaded: (tf.ensure_shape(loaded, shape), True))
        return clip, example["label"], is_good, columns("name", example["row"]), example["place"]

    return examples.map(load_or_nothing, num_parallel_calls=at_once())


def _count(skipped: Skipped, names: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Records the clips at these places, warns once per video, and returns the number of clips."""

    def count(names: np.ndarray, places: np.ndarray) -> np.int64:
        for name, place in zip(names, places, strict=True):
            video = name.decode()
            if all(video != known for known, *_ in list(skipped)):
                logging.getLogger(__name__).warning("Skipped a clip of %s, which can't be read.", video)
            skipped.add((video, *place.tolist()))
        return np.int64(len(names))

    return tf.numpy_function(count, [names, places], tf.int64)
