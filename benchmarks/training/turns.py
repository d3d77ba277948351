"""The turns of the training benchmark: one epoch of the real loop, then equally many steps of each reference."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

Clock = Callable[[], float]


class Turns:
    """The seconds of one kind of work, one number per turn."""

    def __init__(self, name: str, steps: int, clock: Clock):
        self.name, self.steps, self.clock = name, steps, clock
        self.one: Callable[[], Any] = lambda: None
        self.seconds: list[float] = []

    def take(self) -> None:
        """Does the work as often as an epoch has steps."""
        began = self.clock()
        for _ in range(self.steps):
            self.one()
        self.seconds.append((self.clock() - began) / self.steps)


class Epochs(keras.callbacks.Callback):
    """Measures the epochs of a training, and gives other work a turn after each."""

    def __init__(self, name: str, steps: int, clock: Clock, other: Turns | None = None, batch: Any = None):
        super().__init__()
        self.name, self.steps, self.clock, self.other, self.batch = name, steps, clock, other, batch
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock."""
        if self.other and epoch == 0:
            # Under the strategy that users get; all that is left out is what goes on around a step.
            model, strategy = self.model, tf.distribute.get_strategy()
            batches = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensors(self.batch).repeat())
            iterator = iter(batches)
            self.other.one = tf.function(lambda: strategy.run(model.train_step, args=(next(iterator),)))
        self.began = self.clock()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Stops the clock after checkpoints and records, whose callbacks come before this one."""
        self.seconds.append((self.clock() - self.began) / self.steps)
        if self.other:
            self.other.take()
