"""Chooses where a training runs (the devices of one machine, or several machines), and measures their free memory.

Three rules make `fit` work on several machines (Keras 3.15): the model is made outside the strategy's scope, but its
layers, its optimizer and `fit` are inside; the metrics of validation have an axis; every machine reads the variables
when one of them saves.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import keras
import psutil
import tensorflow as tf
from tensorflow.python.data.ops import multi_device_iterator_ops as copying_ahead

from commands.running import usable_processors
from pipelines.clip_stream import WHOLE, Shard
from pipelines.source import OPTIONS, plainly
from streams.config import TrainConfig
from streams.hosts.members import Members, described, members_of

try:
    import resource
except ImportError:  # Windows has no such limits.
    resource = None  # type: ignore[assignment]

# The files with the memory limit and the memory in use of a control group, for versions 2 and 1 of control groups.
_MEMORY_FILES = {
    "": ("memory.max", "memory.current"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes"),
}
_PROCESSOR = ["/device:CPU:0"]

# MirroredStrategy copies batches ahead by iterators of its own, which TensorFlow 2.21 tunes in a thread. If such an
# iterator is deleted, it may wait up to a minute for its thread. So these iterators get the options of our pipelines.
_made = copying_ahead._create_device_dataset
copying_ahead._create_device_dataset = lambda *given: _made(*given).with_options(OPTIONS)

# The data that Keras trains on: batches for one device, or batches that a strategy distributes.
Batches: TypeAlias = tf.data.Dataset | tf.distribute.DistributedDataset


class Alone:
    """A training on one machine. For several, machines.py overrides these methods, and the machines wait for others."""

    part: Shard = WHOLE  # The part of each batch that this machine reads.
    is_chief = True  # Whether this machine writes files.
    every = 1  # The number of steps from one question to the other machines to the next.

    def answering(self) -> contextlib.AbstractContextManager[None]:
        """Explains errors that mean that another machine was lost."""
        return contextlib.nullcontext()

    def any(self, *flags: bool) -> list[bool]:
        """Returns for each flag whether any machine has set it."""
        return list(flags)

    def check_step(self, step: int) -> None:
        """Raises ValueError if machines would continue from different steps."""

    def take_leave(self) -> None:
        """Waits until all machines have the results of their last common operation."""

    def dealt(self, batches: tf.data.Dataset, batch_size: int) -> Batches:
        """Divides the batches among the devices of this machine. On a single machine, TensorFlow does so by itself."""
        return batches


def num_threads() -> int:
    """Returns the number of computing threads."""
    return tf.config.threading.get_intra_op_parallelism_threads() or usable_processors()


def strategy_for(config: TrainConfig, threads: int | None = None) -> tf.distribute.Strategy:
    """Returns the strategy that divides work among devices. Call it first: TensorFlow sets up devices only once."""
    if config.threads or threads:  # Their number changes the last bits of every sum.
        tf.config.threading.set_intra_op_parallelism_threads(config.threads or threads)
    members = members_of(config) if config.hosts else None
    if (members and len(members.hosts) > 1) or "TF_CONFIG" in os.environ:
        strategy = _several_machines(config, members)
    else:
        gpus = tf.config.list_physical_devices("GPU")
        if config.device == "gpu" and not gpus:
            raise ValueError("--device gpu: TensorFlow finds no GPU here. Drop it, or pass --device cpu.")
        parts = config.devices or 1
        devices = _use_gpus(gpus, config.devices) if gpus else _parts_of_processor(parts) if parts > 1 else _PROCESSOR
        # XLA can't compile a step under MirroredStrategy (Keras 3.15), not even on one device.
        alone = config.jit and len(devices) == 1
        strategy = tf.distribute.get_strategy() if alone else tf.distribute.MirroredStrategy(devices)
    if config.jit or strategy.num_replicas_in_sync > 1:
        _refuse_impossible(config, strategy.num_replicas_in_sync)
    return strategy


def synchronise_batch_norm(model: keras.Model) -> None:
    """Makes batch normalisation use the clips of all devices."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
        elif isinstance(layer, keras.Model):
            synchronise_batch_norm(layer)


def whole_batches(batches: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Returns validation batches of equal size, `(clips, labels, weights)`: the last one is padded with weight 0."""

    # Then every device has clips in every step, which Keras 3.15 needs, and one graph serves all batches.
    def filled(values: tf.Tensor) -> tf.Tensor:
        padding = [[0, batch_size - tf.shape(values)[0]], *[[0, 0]] * (len(values.shape) - 1)]
        return tf.ensure_shape(tf.pad(values, padding), [batch_size, *values.shape[1:]])

    options = tf.data.Options()
    # Each machine makes whole batches and takes its part of them.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    weighted = batches.map(plainly(lambda clips, labels: (clips, labels, tf.ones(tf.shape(labels)[:1]))))
    whole = weighted.map(plainly(lambda *batch: tf.nest.map_structure(filled, batch)))
    return whole.prefetch(1).with_options(options)


def _use_gpus(gpus: list[tf.config.PhysicalDevice], wanted: int | None) -> list[str]:
    if wanted and wanted > len(gpus):
        raise ValueError(f"--devices is {wanted}, but this machine has {len(gpus)} GPUs.")
    tf.config.set_visible_devices(gpus[:wanted], "GPU")
    return [device.name for device in tf.config.list_logical_devices("GPU")]


def _parts_of_processor(parts: int) -> list[str]:
    """Splits the processor into several devices. That is slower than one device, but useful for tests."""
    processor = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(processor) or [processor]) < parts:
        wanted = [tf.config.LogicalDeviceConfiguration() for _ in range(parts)]
        tf.config.set_logical_device_configuration(processor, wanted)
    return [device.name for device in tf.config.list_logical_devices("CPU")][:parts]


def _refuse_impossible(config: TrainConfig, replicas: int) -> None:
    """Raises ValueError for options that would fail during a training, or would compute something else."""
    if config.batch_size % (replicas * config.accumulate):
        raise ValueError(
            f"--batch-size is {config.batch_size}; it must be a multiple of {replicas} devices times "
            f"{config.accumulate} parts, so that each has the same number of clips."
        )
    if config.jit and replicas > 1:
        raise ValueError("--jit fails on several devices (XLA cannot reach the others' variables). Drop one of them.")
    if config.jit and config.deterministic:
        raise ValueError("--jit has no deterministic mode. Pass --no-deterministic with it.")


def _several_machines(config: TrainConfig, members: Members | None) -> tf.distribute.Strategy:
    """Returns the strategy of this machine among its members, or among the machines that TF_CONFIG names."""
    if config.devices:
        raise ValueError(
            "--devices is for one machine. With several machines, each uses all GPUs that it sees. Drop it, and set "
            "CUDA_VISIBLE_DEVICES for fewer."
        )
    if members:
        os.environ["TF_CONFIG"] = described(members.hosts, members.index)
    cluster = json.loads(os.environ["TF_CONFIG"]).get("cluster", {})
    all_hosts = ", ".join(host for kind in cluster.values() for host in kind)
    print(f"Waiting for all machines of this training: {all_hosts}.", flush=True)
    return tf.distribute.MultiWorkerMirroredStrategy()


def free_memory() -> float | None:
    """Returns how many more bytes this process can get; None for GPUs, which do not report it."""
    if tf.config.list_physical_devices("GPU"):
        return None
    found = [float(psutil.virtual_memory().available), *of_groups()]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0] if resource else -1
    if resource and limit != resource.RLIM_INFINITY:
        found.append(float(max(0, limit - psutil.Process().memory_info().vms)))
    return min(found)


def of_groups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[float]:
    """Yields the bytes that each control group leaves to this process. Containers and schedulers set such groups."""
    for line in own.read_text().splitlines() if own.exists() else ():
        _, kinds, place = line.split(":", 2)
        kind = "memory" if "memory" in kinds.split(",") else kinds
        base = root / kind
        folder = base / place.lstrip("/")
        for group in (folder, *folder.parents[: len(folder.parts) - len(base.parts)]) if kind in _MEMORY_FILES else ():
            with contextlib.suppress(OSError, ValueError):  # Without a limit, the file is missing or has no number.
                size, taken = (int((group / name).read_text()) for name in _MEMORY_FILES[kind])
                # Cached files are dropped if memory is needed.
                counts = dict(each.split() for each in (group / "memory.stat").read_text().splitlines())
                files = sum(int(counts.get(name, 0)) for name in ("active_file", "inactive_file"))
                yield float(max(0, size - taken + files))


def peak_memory() -> dict[str, float]:
    """Returns the peak memory in gigabytes: of the process, and of the fullest GPU if there is one."""
    found = {}
    if resource:
        unit = 1 if sys.platform == "darwin" else 1024
        found["process_gigabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    gpus = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices("GPU")]
    if gpus:
        found["GPU_gigabytes"] = max(tf.config.experimental.get_memory_info(gpu)["peak"] for gpu in gpus) / 2**30
    return found
