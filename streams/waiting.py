"""How long the training waits for its input: for each step, how long its batch was missing."""

import time
from collections import deque

import numpy as np
import tensorflow as tf


class Waiting:
    """The seconds that were spent waiting for the batches of a data set.

    Batches may be fetched ahead, and a step may be long in asking for one while its graph is built: what is waited
    for is the time from when both the step had begun and its batch was asked for, until that came.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._asked: deque[float] = deque()
        self._came: deque[float] = deque()
        self._began: float | None = None

    def watch(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Returns the same batches, watched, from a step on that is still to begin."""
        # Lists of its own for each stream: threads of the one before may still be fetching.
        asked, came = self._asked, self._came = deque[float](), deque[float]()
        self._began = None

        def noted_in(times: deque[float]) -> tf.Tensor:
            def note() -> np.int64:
                times.append(time.monotonic())
                return np.int64(0)

            # TensorFlow's own clock is refused in deterministic mode.
            return tf.numpy_function(note, [], tf.int64)

        def pass_on(_: tf.Tensor, batch: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            with tf.control_dependencies([noted_in(came)]):
                return tf.nest.map_structure(tf.identity, batch)

        # A pair is asked for its first part first.
        asking = tf.data.Dataset.range(np.iinfo(np.int64).max).map(lambda _: noted_in(asked))
        return tf.data.Dataset.zip(asking, batches).map(pass_on)

    def begin_step(self) -> None:
        """Says that a step begins; the one before it is done with its batch by then."""
        self.end_step()
        self._began = time.monotonic()

    def end_step(self) -> None:
        """Adds what the last step waited, where no other step follows at once."""
        if self._began is not None and self._came:
            self.seconds += max(0.0, self._came.popleft() - max(self._began, self._asked.popleft()))
        self._began = None
