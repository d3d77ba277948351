"""Training on several machines at once, by the public API of Keras 3.15 and TensorFlow alone.

Three rules make `fit` work there: the model is made outside the strategy's scope and its layers, its optimizer and
`fit` inside; the numbers of a step have an axis; and every machine reads the variables when one of them saves.
"""

import contextlib
import json
import os

import tensorflow as tf

_STEPS_BETWEEN_QUESTIONS = 5


def multi_worker_strategy(hosts: str, index: int) -> tf.distribute.Strategy:
    """Returns the strategy of this machine among `hosts`, or among those that TF_CONFIG names."""
    if hosts:
        workers = [host.strip() for host in hosts.split(",")]
        if not 0 <= index < len(workers) or not all(host.rpartition(":")[2].isdigit() for host in workers):
            raise ValueError(
                f"--hosts {hosts} --host-index {index}: hosts are address:port, parted by commas, and the index "
                f"is 0 to {len(workers) - 1}."
            )
        task = {"type": "worker", "index": index}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
    cluster = json.loads(os.environ["TF_CONFIG"]).get("cluster", {})
    all_hosts = ", ".join(host for kind in cluster.values() for host in kind)
    print(f"Waiting until all machines of this training are there: {all_hosts}.", flush=True)
    return tf.distribute.MultiWorkerMirroredStrategy()


def is_of_several(strategy: tf.distribute.Strategy) -> bool:
    """Tells whether a strategy deals work to several machines."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief() -> bool:
    """Tells whether this machine is the one that writes."""
    return this_part()[0] == 0


def this_part() -> tuple[int, int]:
    """Returns which of how many machines this is; a chief comes before the workers."""
    described = json.loads(os.environ.get("TF_CONFIG", "{}"))
    task, cluster = described.get("task", {}), described.get("cluster", {})
    chiefs, workers = len(cluster.get("chief", ())), len(cluster.get("worker", ()))
    before = 0 if task.get("type", "worker") == "chief" else chiefs
    return before + int(task.get("index", 0)), max(1, chiefs + workers)


def dealt_parts(parts: tf.data.Dataset, batch_size: int) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Lets the devices of this machine share its own part of each batch, which is all that it reads and decodes.

    On one machine that part is the whole, which TensorFlow deals by itself.
    """
    strategy = tf.distribute.get_strategy()
    if not is_of_several(strategy):
        return parts
    of_device = parts.rebatch(batch_size // strategy.num_replicas_in_sync)
    return strategy.distribute_datasets_from_function(lambda context: of_device)


def part_of_batches(batches: tf.data.Dataset, shard: tuple[int, int]) -> tf.data.Dataset:
    """Returns the same part of every batch, for batches that cost nothing to make whole."""
    index, number = shard
    if number == 1:
        return batches

    def part(values: tf.Tensor) -> tf.Tensor:
        size = values.shape[0] // number
        return values[index * size : (index + 1) * size]

    return batches.map(lambda *batch: tf.nest.map_structure(part, batch))


def dealt_batches(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Lets each of several machines take its part of every batch once it is made."""
    if not is_of_several(tf.distribute.get_strategy()):
        return batches
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options)


class Together:
    """What lets several machines do alike: reading the variables needs all of them, at the same step."""

    def __init__(self, strategy: tf.distribute.Strategy):
        self.alone = not is_of_several(strategy)
        self.replicas = strategy.num_replicas_in_sync
        # Asking waits for the slowest machine, so it is not done at each step.
        self.every = 1 if self.alone else _STEPS_BETWEEN_QUESTIONS
        self._sum = tf.function(lambda values: strategy.reduce("SUM", strategy.run(lambda: values), axis=None))

    def any(self, *flags: bool) -> list[bool]:
        """Returns for each flag whether some machine raises it; all machines ask this at the same moment, and wait."""
        if self.alone:
            return list(flags)
        return [count > 0 for count in self._sum(tf.constant(flags, tf.int64)).numpy()]

    def check_step(self, step: int) -> None:
        """Refuses to start where machines would go on from different steps."""
        mean = step if self.alone else int(self._sum(tf.constant(step, tf.int64))) / self.replicas
        (differs,) = self.any(mean != step)  # All must know: one of several may well be at their mean.
        if differs:
            self.take_leave()
            raise ValueError(
                f"This machine would go on from step {step}, all together from {mean:g} on average: they must see the "
                "same run folder. Put --runs on storage that all of them share."
            )

    def take_leave(self) -> None:
        """Waits until all have received what they last did together: a machine that ends cuts off those that have not.

        Whoever ends after this has seen all others come here, so what fails now is of no use to anybody.
        """
        if not self.alone:
            with contextlib.suppress(tf.errors.OpError):
                self._sum(tf.constant(0, tf.int64)).numpy()
