"""Which video each place of each batch shows: a pure function of seed and step, so that any step can be asked for."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from data.catalog import Video

# A function from a step to the rows of its videos, int32[batch].
Draw = Callable[[tf.Tensor], tf.Tensor]

# Clips that can't be read: the video, the step of training, or IN_VALIDATION, and the clip's place in its batch, or in
# validation. Each is there once, however often it is made: for a look at it, in every epoch. Those of steps that were
# made ahead are there, too, whether or not they are ever taken.
Skipped = set[tuple[str, int, int]]
IN_VALIDATION = -1


def draw_rows(
    videos: Sequence[Video], batch_size: int, seed: int, *, balance: bool = False, shard: tuple[int, int] = (0, 1)
) -> Draw:
    """Returns the function from a step to the rows of the videos that its batch, or a machine's part of it, shows.

    Every pass over the videos shows each once, in an order of its own; nothing is shuffled in memory.
    """
    index, number = shard
    if batch_size % number:
        raise ValueError(f"A batch of {batch_size} can't be shared by {number} machines: pass a multiple of it.")
    part = batch_size // number
    draw = _balanced(videos, seed) if balance else _uniform(len(videos), seed)

    def rows(step: tf.Tensor) -> tf.Tensor:
        return draw(step * batch_size + index * part + tf.range(part, dtype=tf.int64))

    return rows


def _uniform(count: int, seed: int) -> Draw:
    def draw(places: tf.Tensor) -> tf.Tensor:
        return _shuffled(places % count, count, seed, places // count, tf.zeros_like(places))

    return draw


def _balanced(videos: Sequence[Video], seed: int) -> Draw:
    """Draws a class first, each once a turn, then the next video of that class, each once a pass over the class."""
    rows_of: dict[int, list[int]] = {}
    for row, video in enumerate(videos):
        for label in video.labels:
            rows_of.setdefault(label, []).append(row)
    classes = [rows_of[label] for label in sorted(rows_of)]
    with tf.device("/cpu:0"):
        rows = tf.constant(np.concatenate(classes), tf.int32)
        counts = tf.constant([len(members) for members in classes], tf.int64)
    first = tf.cumsum(counts, exclusive=True)

    def draw(places: tf.Tensor) -> tf.Tensor:
        turn = places // len(classes)
        label = _shuffled(places % len(classes), len(classes), seed, turn, tf.fill(tf.shape(places), np.int64(-1)))
        label = tf.cast(label, tf.int64)
        count = tf.gather(counts, label)
        member = _shuffled(turn % count, count, seed, turn // count, label)
        return tf.gather(rows, tf.gather(first, label) + tf.cast(member, tf.int64))

    return draw


def _shuffled(places: tf.Tensor, count: tf.Tensor | int, seed: int, passes: tf.Tensor, stream: tf.Tensor) -> tf.Tensor:
    """Returns where each place of 0..count-1 comes to lie in the order of its pass, int32.

    Each pass is a permutation that is never written down: one place is computed alone.
    """
    seeds = tf.stack([tf.fill(tf.shape(places), np.int64(seed)), passes, stream], axis=1)
    last = tf.broadcast_to(tf.cast(count, tf.int64) - 1, tf.shape(places))
    # The 4 rounds of tf.random.experimental.index_shuffle leave neighbours together and passes alike at seeds as 0.
    moved = tf.raw_ops.RandomIndexShuffle(index=places, seed=tf.cast(seeds, tf.int32), max_index=last, rounds=16)
    return tf.cast(moved, tf.int32)
