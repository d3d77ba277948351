"""The turns of the training benchmark: one epoch of the real loop, then equally many steps of each reference."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
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


class _Peer(Turns):
    """The seconds of work that another process does and measures."""

    def __init__(self, name: str, steps: int, words: Sequence[str]):
        super().__init__(name, steps, lambda: 0.0)
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def take(self) -> None:
        """Lets the other process work."""
        into, out_of = self._process.stdin, self._process.stdout
        if into is None or out_of is None:
            return
        print(self.steps, file=into, flush=True)
        self.seconds.append(float(out_of.readline()))


def of_torch(python: str, shape: Sequence[int], steps: int) -> Turns:
    """Returns the turns of PyTorch for channels, side, clips and classes, by a Python that has it."""
    script = Path(__file__).with_name("torch_peer.py")
    return _Peer("PyTorch", steps, [python, str(script), *map(str, shape)])


class Epochs(keras.callbacks.Callback):
    """Measures the epochs of a training, and gives other work a turn after each."""

    def __init__(self, name: str, steps: int, clock: Clock, others: Sequence[Turns] = (), batch: Any = None):
        super().__init__()
        self.name, self.steps, self.clock, self.others, self.batch = name, steps, clock, others, batch
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock."""
        if self.others and epoch == 0:
            # Under the strategy that users get; all that is left out is what goes on around a step.
            model, strategy = self.model, tf.distribute.get_strategy()
            batches = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensors(self.batch).repeat())
            iterator = iter(batches)
            self.others[0].one = tf.function(lambda: strategy.run(model.train_step, args=(next(iterator),)))
        self.began = self.clock()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Stops the clock after checkpoints and records, whose callbacks come before this one."""
        self.seconds.append((self.clock() - self.began) / self.steps)
        for other in self.others:
            other.take()
