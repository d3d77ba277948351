"""On how many devices a training runs, what they cannot do, and how uneven batches are dealt to them."""

import os

import keras
import tensorflow as tf

from commands.running import usable_processors
from streams.config import TrainConfig
from streams.training.machines import multi_worker_strategy


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
