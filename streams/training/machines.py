"""Coordinates several machines: they stop, save and continue at the same step, and each makes a part of each batch."""

import contextlib
import json
import os
from collections.abc import Iterator

import tensorflow as tf

from commands.remote import refresh
from commands.running import first_line
from pipelines.clip_stream import Shard
from pipelines.source import plainly
from streams.hosts.rejoining import GoneError
from streams.training.devices import Alone, Batches

ALL_AGAIN = "Start the same command again on all of them."
_ALONE = tf.errors.UnavailableError | tf.errors.AbortedError | tf.errors.CancelledError


class Together(Alone):
    """One of several machines. Variables can be read only by all machines at the same step, so they agree here."""

    every = 5  # An answer waits for the slowest machine, so the machines don't ask at each step.

    def __init__(self, strategy: tf.distribute.Strategy):
        self.part = this_part()
        self.is_chief = self.part[0] == 0
        self.strategy = strategy
        self._sum = tf.function(lambda values: strategy.reduce("SUM", strategy.run(lambda: values), axis=None))

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Explains the loss of another machine, which is noticed as soon as machines create weights together."""
        try:
            yield
        except tf.errors.OpError as error:
            if tells_of_another(error):
                raise GoneError(another_is_gone(error, ALL_AGAIN)) from error
            raise

    def any(self, *flags: bool) -> list[bool]:
        """Returns for each flag whether any machine has set it. All machines ask this at the same step, and wait."""
        return [count > 0 for count in self._sum(tf.constant(flags, tf.int64)).numpy()]

    def check_step(self, step: int) -> None:
        """Raises ValueError if machines would continue from different steps."""
        mean = int(self._sum(tf.constant(step, tf.int64))) / self.strategy.num_replicas_in_sync
        (differs,) = self.any(mean != step)  # All machines must know, because one of them may be at the mean.
        if differs:
            self.take_leave()
            raise ValueError(
                f"This machine would go on from step {step}, all together from {mean:g} on average: they must use the "
                "same run folder: put --runs on storage that all of them share."
            )

    def take_leave(self) -> None:
        """Waits until all machines have the last common result. A machine that ends early would cut off the others.

        After that, all machines have come here, so errors no longer matter.
        """
        with contextlib.suppress(tf.errors.OpError):
            self._sum(tf.constant(0, tf.int64)).numpy()
        if not self.is_chief:  # The first machine has written the run, perhaps into a store.
            refresh()

    def dealt(self, batches: tf.data.Dataset, batch_size: int) -> Batches:
        """Divides this machine's part of each batch among its devices. It reads and decodes only this part."""
        of_device = batches.rebatch(batch_size // self.strategy.num_replicas_in_sync)
        return self.strategy.distribute_datasets_from_function(lambda context: of_device)


def tells_of_another(error: Exception) -> bool:
    """Tells whether an error says that another machine has died."""
    return isinstance(error, _ALONE) or "Collective ops is aborted" in str(error)


def another_is_gone(error: Exception, remedy: str) -> str:
    """Returns a message that another machine was lost, and what to do."""
    return f"Another machine of this training stopped answering ({first_line(error).rstrip('.:')}). {remedy}"


def this_part() -> Shard:
    """Returns this machine's number, and the number of machines. A chief comes before the workers."""
    described = json.loads(os.environ.get("TF_CONFIG", "{}"))
    task, cluster = described.get("task", {}), described.get("cluster", {})
    chiefs, workers = len(cluster.get("chief", ())), len(cluster.get("worker", ()))
    before = 0 if task.get("type", "worker") == "chief" else chiefs
    return before + int(task.get("index", 0)), max(1, chiefs + workers)


def part_of_batches(batches: tf.data.Dataset, shard: Shard) -> tf.data.Dataset:
    """Returns the same part of every batch, for batches that are made whole without cost."""
    index, number = shard
    if number == 1:
        return batches

    def part(values: tf.Tensor) -> tf.Tensor:
        size = values.shape[0] // number
        return values[index * size : (index + 1) * size]

    return batches.map(plainly(lambda *batch: tf.nest.map_structure(part, batch)))
