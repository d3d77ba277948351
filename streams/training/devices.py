"""On what a training runs: the devices of one machine, or several machines, by public API of Keras 3.15 and TensorFlow.

Three rules make `fit` work on several machines: the model is made outside the strategy's scope and its layers, its
optimizer and `fit` inside; the numbers of a step have an axis; and every machine reads the variables when one saves.
"""

import contextlib
import json
import os

import keras
import tensorflow as tf

from commands.running import usable_processors
from streams.config import TrainConfig

_STEPS_BETWEEN_QUESTIONS = 5


def num_threads() -> int:
    """Returns how many threads compute."""
    return tf.config.threading.get_intra_op_parallelism_threads() or usable_processors()


def strategy_for(config: TrainConfig, threads: int | None = None) -> tf.distribute.Strategy:
    """Returns what deals the work to the devices that the options name: all GPUs, or parts of the processor.

    Devices and threads are fixed once TensorFlow has computed anything, so this comes first.
    """
    if config.threads or threads:  # Their number decides the last bits of every sum.
        tf.config.threading.set_intra_op_parallelism_threads(config.threads or threads)
    if config.hosts or "TF_CONFIG" in os.environ:
        if config.devices:
            raise ValueError(
                "--devices chooses on one machine; of several, each uses all GPUs that it sees. Drop it, and set "
                "CUDA_VISIBLE_DEVICES for fewer."
            )
        strategy = multi_worker_strategy(config.hosts, config.host_index)
    else:
        devices = _devices(config.devices)
        # XLA can't compile a step under MirroredStrategy (Keras 3.15), not even on one device.
        alone = config.jit and len(devices) == 1
        strategy = tf.distribute.get_strategy() if alone else tf.distribute.MirroredStrategy(devices)
    _refuse_impossible(config, strategy.num_replicas_in_sync)
    return strategy


def synchronise_batch_norm(model: keras.Model) -> None:
    """Lets batch normalisation look at the clips of all devices."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
        elif isinstance(layer, keras.Model):
            synchronise_batch_norm(layer)


def whole_batches(batches: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Returns validation batches of one size, `(clips, labels, weights)`: the last one is filled up by weight 0.

    Every device then has clips in every step, which Keras 3.15 asks for, and one graph serves all batches.
    """

    def fill(clips: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        missing = batch_size - tf.shape(labels)[0]
        weights = tf.sequence_mask(batch_size - missing, batch_size, tf.float32)
        clips, labels = tf.nest.map_structure(lambda values: _filled(values, missing, batch_size), (clips, labels))
        return clips, labels, weights

    return batches.map(fill).prefetch(1)


def _filled(values: tf.Tensor, missing: tf.Tensor, size: int) -> tf.Tensor:
    filled = tf.pad(values, [[0, missing]] + [[0, 0]] * (len(values.shape) - 1))
    return tf.ensure_shape(filled, [size, *values.shape[1:]])


def _devices(wanted: int | None) -> list[str]:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if wanted and wanted > len(gpus):
            raise ValueError(f"--devices is {wanted}; this machine has {len(gpus)} GPUs.")
        tf.config.set_visible_devices(gpus[:wanted], "GPU")
        return [device.name for device in tf.config.list_logical_devices("GPU")]
    if wanted and wanted > 1:
        _part_processor(wanted)
    return [device.name for device in tf.config.list_logical_devices("CPU")][: wanted or 1]


def _part_processor(wanted: int) -> None:
    """Makes logical devices of the processor: slower than one, and good for trying what several devices do."""
    processor = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(processor) or ()) >= wanted:
        return
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(wanted)]
    tf.config.set_logical_device_configuration(processor, parts)


def _refuse_impossible(config: TrainConfig, replicas: int) -> None:
    """Refuses what would fail in the middle of a training, or compute something else than was asked for."""
    if config.batch_size % (replicas * config.accumulate):
        raise ValueError(
            f"--batch-size is {config.batch_size}; it must be a multiple of {replicas} devices times "
            f"{config.accumulate} parts, so that each has equally many clips."
        )
    if config.jit and replicas > 1:
        raise ValueError("--jit fails on several devices (XLA cannot reach the others' variables). Drop one of them.")
    if config.jit and config.deterministic:
        raise ValueError("--jit has no deterministic mode. Pass --no-deterministic with it.")


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
