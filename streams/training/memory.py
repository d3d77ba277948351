"""How much memory a training needs, and how much this process had at most and can still have."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import psutil
import tensorflow as tf

from pipelines.clip_stream import CACHE_BYTES
from streams.config import TrainConfig
from streams.training.devices import this_part

try:
    import resource
except ImportError:  # Windows has no such limits.
    resource = None  # type: ignore[assignment]


_GIGABYTE = 2**30
# Where the estimate is so many times what is free it can't be the estimate that errs: a third at most, as measured.
_HOPELESS = 1.5
# What TensorFlow's graph of a layer takes of the processor's memory: between 0.7 and 2.4 megabytes were measured.
_GRAPH_OF_A_LAYER = 1.5 * 2**20
# What it takes before the first step, besides weights: 15 to 20 megabytes were measured.
_PROCESS = 20 * 2**20
# What the threads that read and decode clips take, and their graphs: 130 to 150 megabytes were measured.
_READING = 140 * 2**20
# One in use, two ahead, one that is put together and one that is joined; 5.0 were measured.
_BATCHES_HELD = 5
# Layers whose gradient needs what went in, and those whose gradient needs what came out; the rest is freed.
_KEEPS_INPUT = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Dense,
    keras.layers.BatchNormalization,
    keras.layers.MaxPooling2D,
    keras.layers.Multiply,
)
_WIDTHS = {"float16": 2, "bfloat16": 2, "uint8": 1}
_KEEPS_OUTPUT = (keras.layers.Activation, keras.layers.ReLU, keras.layers.MaxPooling2D)


def free_memory() -> float | None:
    """Returns the bytes that this process can still have; None on GPUs, which do not tell."""
    if tf.config.list_physical_devices("GPU"):
        return None
    return min([float(psutil.virtual_memory().available), *of_groups(), *_of_process()])


def peak_memory() -> dict[str, float]:
    """Returns what was held at most, in gigabytes: by the process, and by the fullest GPU where there is one."""
    found = {}
    if resource:
        unit = 1 if sys.platform == "darwin" else 1024
        found["process_gigabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    gpus = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices("GPU")]
    if gpus:
        found["GPU_gigabytes"] = max(tf.config.experimental.get_memory_info(gpu)["peak"] for gpu in gpus) / 2**30
    return found


def of_groups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[float]:
    """Yields what each control group around this process leaves, as containers and schedulers set them."""
    for line in own.read_text().splitlines() if own.exists() else ():
        _, kinds, place = line.split(":", 2)
        if kinds == "":
            base, limit, used = root, "memory.max", "memory.current"
        elif "memory" in kinds.split(","):
            base, limit, used = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        folder = base / place.lstrip("/")
        for group in (folder, *folder.parents[: len(folder.parts) - len(base.parts)]):
            with contextlib.suppress(OSError, ValueError):  # No limit is no number, or no file.
                size = int((group / limit).read_text())
                yield float(max(0, size - int((group / used).read_text()) + _files_in_memory(group)))


def _files_in_memory(group: Path) -> int:
    """Returns how much of a group's memory holds files, which is given up when it is needed."""
    counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return sum(int(counts.get(name, 0)) for name in ("active_file", "inactive_file"))


def _of_process() -> Iterator[float]:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0] if resource else -1
    if resource and limit != resource.RLIM_INFINITY:
        yield float(max(0, limit - psutil.Process().memory_info().vms))


def estimate_memory(
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    config: TrainConfig | None = None,
    validation: tf.data.Dataset | None = None,
) -> tuple[float, float]:
    """Returns `(bytes however many examples at once, bytes for each of them)` that a training needs on a device.

    By the shapes of its layers; with its options and its validation batches, segments and input count, too. Within a
    quarter of what benchmarks/training_memory.py measured on a processor.
    """
    found = list(layers_of(network))
    weights, trained, slots = (
        sum(_size(variable.shape) * 4 for variable in variables)
        for variables in (network.variables, network.trainable_variables, optimizer.variables)
    )
    fixed = weights + trained + slots
    if not tf.config.list_physical_devices("GPU"):  # Else the next two are in the memory of the processor.
        fixed += weights + slots  # What a checkpoint holds, before it is written.
        fixed += _PROCESS + _GRAPH_OF_A_LAYER * len(found)
        fixed += _input_memory(network, config, validation) if config else 0.0
    kept: dict[int, float] = {}
    for layer in found:
        if isinstance(layer, _KEEPS_INPUT):
            kept |= {id(tensor): _bytes(tensor) for tensor in _listed(layer.input)}
        # What is no layer is a bare operation, such as those of local response normalisation.
        if isinstance(layer, _KEEPS_OUTPUT) or not isinstance(layer, keras.Layer):
            kept |= {id(tensor): _bytes(tensor) for tensor in _listed(layer.output)}
    largest = max((_bytes(tensor) for layer in found for tensor in _listed(layer.output)), default=0.0)
    # On the way back, the gradients of the largest pass with it, and what a convolution needs to work.
    return fixed, (sum(kept.values()) + 3 * largest) * (config.segments if config else 1)


def memory_words(size: float) -> str:
    """Returns an amount of memory in words."""
    return f"{size / _GIGABYTE:.2f} GB"


def largest_batch(fixed: float, per_clip: float, available: float | None, clips: int) -> int:
    """Returns how many clips should fit at once where `clips` did not."""
    if available is None:
        return max(1, clips // 2)
    fitting = int((0.9 * available - fixed) / per_clip) if per_clip else clips
    return max(1, min(fitting, clips // 2))


def out_of_memory(config: TrainConfig, model: keras.Model) -> str:
    """Returns what did not fit, and what should."""
    clips = clips_at_once(config)
    fixed, per_clip = estimate_memory(model, model.optimizer, config)
    return f"Out of memory: {clips} clips at once need about {memory_words(fixed + per_clip * clips)}. " + what_fits(
        config, fixed, per_clip
    )


def what_fits(config: TrainConfig, fixed: float, per_clip: float) -> str:
    """Returns how many clips should fit at once, and the options for it."""
    clips = clips_at_once(config)
    if clips == 1:
        return "Not even one clip at a time fits: pass a smaller --crop-size or another --backbone."
    fitting = largest_batch(fixed, per_clip, free_memory(), clips)
    parts = next(parts for parts in range(1, clips + 1) if clips % parts == 0 and clips / parts <= fitting)
    return (
        f"About {fitting} should fit: pass --accumulate {config.accumulate * parts} for the same result in parts, or "
        f"--batch-size {config.batch_size // parts}."
    )


def check_memory(config: TrainConfig, fixed: float, per_clip: float) -> list[str]:
    """Returns a warning where a training may not fit the memory of this machine, and refuses one that can't.

    A processor out of memory kills the process without a word, so this comes first.
    """
    here = tf.distribute.get_strategy().num_replicas_in_sync // this_part()[1]
    needed, free = here * (fixed + per_clip * clips_at_once(config)), free_memory()
    if free is None or needed <= free:
        return []
    words = f"{memory_words(free)} are free. {what_fits(config, here * fixed, here * per_clip)}"
    if needed > _HOPELESS * free:
        raise RuntimeError(f"This training needs about {memory_words(needed)} of memory; {words}")
    return [f"Warning: {words}"]


def clips_at_once(config: TrainConfig) -> int:
    """Returns how many clips are in the memory of a device at a time."""
    return config.batch_size // (config.accumulate * tf.distribute.get_strategy().num_replicas_in_sync)


def _input_memory(network: keras.Model, config: TrainConfig, validation: tf.data.Dataset | None) -> float:
    """Returns the bytes of reading, of batches made ahead and of validation clips that are kept: a device's share."""
    example = sum(_bytes(tensor) for tensor in network.inputs) * config.segments
    held = _READING + _BATCHES_HELD * config.batch_size * example
    if validation is not None:
        clips = max(0, int(validation.cardinality())) * config.batch_size
        sizes = [
            clips * _size(spec.shape[1:]) * spec.dtype.size for spec in tf.nest.flatten(validation.element_spec[0])
        ]
        held += sum(size for size in sizes if size <= CACHE_BYTES)  # Each input has a cache of its own.
    return held / tf.distribute.get_strategy().num_replicas_in_sync


def _listed(tensors: keras.KerasTensor | Sequence[keras.KerasTensor]) -> list[keras.KerasTensor]:
    return list(tensors) if isinstance(tensors, list | tuple) else [tensors]


def _bytes(tensor: keras.KerasTensor) -> float:
    return _size(tensor.shape) * _WIDTHS.get(tensor.dtype, 4)


def _size(shape: Sequence[int | None]) -> float:
    return float(np.prod([side or 1 for side in shape]))


def layers_of(network: keras.Model) -> Iterator[keras.Operation]:
    """Yields the layers of a network and of those within it, and its operations that are no layers."""
    for operation in network.operations:
        if isinstance(operation, keras.Model):
            yield from layers_of(operation)
        elif not isinstance(operation, keras.layers.InputLayer | keras.layers.Dropout):
            yield operation
