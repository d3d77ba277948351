"""How long the training waits for its input: for each step, how much later than the step its batch came."""

import time
from collections import deque

import numpy as np
import tensorflow as tf


class Waiting:
    """The seconds that were spent waiting for the batches of a data set.

    Batches are fetched ahead, so the time between asking for one and having it says nothing: only what is left of it
    when the step begins is waited for.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._came: deque[float] = deque()
        self._began: float | None = None

    def watch(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Returns the same batches, watched, from a step on that is still to begin."""
        # A list of its own for each stream: threads of the one before may still be fetching.
        came = self._came = deque[float]()
        self._began = None

        def note() -> np.int64:
            came.append(time.monotonic())
            return np.int64(0)

        def noted(*batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
            # TensorFlow's own clock is refused in deterministic mode.
            with tf.control_dependencies([tf.numpy_function(note, [], tf.int64)]):
                return tf.nest.map_structure(tf.identity, batch)

        return batches.map(noted)

    def begin_step(self) -> None:
        """Says that a step begins; the wait of the one before it is known by then."""
        now = time.monotonic()
        if self._began is not None and self._came:
            self.seconds += max(0.0, self._came.popleft() - self._began)
        self._began = now
