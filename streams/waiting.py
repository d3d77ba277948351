"""How long the training waits for its input: the clock is read as a batch is asked for, and again as it comes."""

import time

import numpy as np
import tensorflow as tf


class Waiting:
    """The seconds that were spent waiting for the batches of a data set."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._asked = 0.0

    def watch(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Returns the same batches, watched. A zipped data set asks its parts in order, so the clock goes first."""
        # TensorFlow's own clock is refused in deterministic mode.
        asked = tf.data.Dataset.range(tf.int64.max).map(lambda _: tf.numpy_function(self._ask, [], tf.int64))

        def note(_: tf.Tensor, batch: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            with tf.control_dependencies([tf.numpy_function(self._come, [], tf.int64)]):
                return tf.nest.map_structure(tf.identity, batch)

        return tf.data.Dataset.zip((asked, batches)).map(note)

    def _ask(self) -> np.int64:
        self._asked = time.monotonic()
        return np.int64(0)

    def _come(self) -> np.int64:
        self.seconds += time.monotonic() - self._asked
        return np.int64(0)
