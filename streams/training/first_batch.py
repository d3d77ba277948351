"""Estimates the memory of a training, and checks its first batch, before the first step."""

import math
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from commands.waiting import Now
from pipelines.clip_stream import CACHE_BYTES, Clips
from streams.config import TrainConfig
from streams.training.devices import free_memory
from streams.training.progress import Course
from streams.training.records import HAS_TENSORBOARD

_GIGABYTE = 2**30
# The free memory is checked only for more bytes than this: importing TensorFlow has taken more.
_ALWAYS_THERE = 2**28
# A training that needs this many times the free memory is refused. The estimate errs by at most a third, as measured.
_HOPELESS = 1.5
# Bytes of the processor's memory for TensorFlow's graph of a layer: 0.7 to 2.4 megabytes were measured.
_GRAPH_OF_A_LAYER = 1.5 * 2**20
# Bytes for TensorFlow before the first step, besides weights: 15 to 20 megabytes were measured.
_PROCESS = 20 * 2**20
# Bytes for the threads that read and decode clips, and for their graphs: 130 to 150 megabytes were measured.
_READING = 140 * 2**20
# Batches in memory: one in use, two ready, and two in the making. 5.0 were measured.
_BATCHES_HELD = 5
# Layers whose gradient needs their input, and those whose gradient needs their output. All else is freed.
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
_NO_LOGS = "There are no logs for TensorBoard, because it is not installed: pip install tensorboard"
_SCALED = (
    "Warning: most flow fields reach both ends of their range, as if each were scaled by its own extremes. Then the "
    "speed of motion is lost. Prepare the flow with a fixed bound: ./run prepare"
)


def look_at_first_batch(
    model: keras.Model, clips: Clips, validation: tf.data.Dataset | None, course: Course, *, is_flow: bool
) -> dict[str, np.ndarray]:
    """Prints a summary of the input and its memory, and returns a contact sheet of each input."""
    config, replicas = course.config, tf.distribute.get_strategy().num_replicas_in_sync
    fixed, per_clip = estimate_memory(model, config, validation)
    warnings = check_memory(config, fixed, per_clip, machines=course.together.part[1])
    if not course.together.is_chief:
        return {}
    parts = f" in {config.accumulate} parts" if config.accumulate > 1 else ""
    devices = f"{replicas} devices" if replicas > 1 else "1 device"
    needed = (fixed + per_clip * clips_at_once(config)) / _GIGABYTE
    batches = f"batches of {config.batch_size}{parts} on {devices}, about {needed:.2f} GB of memory on each."
    warnings += [] if HAS_TENSORBOARD else [_NO_LOGS]
    warnings += caveats(model, config, replicas) if config.accumulate > 1 or replicas > 1 else []
    print(f"{model.count_params():,} weights, {batches}", *warnings, sep="\n")
    Now.doing, sheets = "Reading the first batch", {}
    batch, _ = clips.cut(*next(iter(clips.batches(course.progress.step))))
    for name, images in batch.items() if isinstance(batch, dict) else [("flow" if is_flow else "rgb", batch)]:
        if len(images.shape) > 2:  # Kept features are not images.
            sheets[name] = contact_sheet(np.asarray(images), is_flow=name.endswith("flow"))
            print(*check_inputs(np.asarray(images), is_flow=name.endswith("flow")), sep="\n", flush=True)
    return sheets


def caveats(network: keras.Model, config: TrainConfig, replicas: int) -> list[str]:
    """Returns a warning for each way in which batch normalisation makes a split batch differ from a whole one."""
    if not any(isinstance(layer, keras.layers.BatchNormalization) and layer.trainable for layer in layers_of(network)):
        return []
    lines = []
    if config.accumulate > 1:
        lines.append(
            f"Batch normalisation sees {config.batch_size // config.accumulate} clips at a time, so the result with "
            f"{config.accumulate} parts differs slightly from that with a whole batch (--freeze-bn all avoids this)."
        )
    if replicas > 1 and not config.sync_batch_norm:
        lines.append("Batch normalisation sees each device's clips separately; --sync-batch-norm makes it see all.")
    return lines


def check_inputs(clips: np.ndarray, *, is_flow: bool) -> list[str]:
    """Returns a line about the first batch, and a warning for each value that looks wrong."""
    low, high, mean = int(clips.min()), int(clips.max()), float(clips.mean())
    clipped = f", {np.mean((clips <= 1) | (clips >= 255)):.2%} at the bound" if is_flow else ""
    lines = [f"First batch of {'flow' if is_flow else 'frames'}: levels {low} to {high}, mean {mean:.1f}{clipped}."]
    planes = clips.reshape(-1, clips.shape[-3] * clips.shape[-2], clips.shape[-1]) if clips.ndim > 3 else clips[None]
    if is_flow and np.mean((planes.min(1) <= 1) & (planes.max(1) >= 254)) > 0.5:
        lines.append(_SCALED)
    # One by one: for a whole batch, NumPy would need eight times its memory for the squares.
    if np.mean([_is_dead(plane, is_flow) for plane in planes]) > 0.5:
        kind = "flow fields show no motion" if is_flow else "images have a single colour"
        lines.append(f"Warning: most {kind}. Look at the files: ./run doctor")
    return lines


def _is_dead(plane: np.ndarray, is_flow: bool) -> np.ndarray:
    """Tells which channels have only one level, or for flow no motion: in a pan, all pixels may move alike."""
    mean, deviation = plane.mean(0), plane.std(0)
    is_even: np.ndarray = deviation < 0.5
    # The level of no motion is 127, 127.5 or 128, by rule and rounding. A dead field may also be at either end.
    is_still = (np.hypot(mean - 127.5, deviation) < 0.75) | (is_even & (np.abs(mean - 127.5) >= 126.5))
    return is_still if is_flow else is_even


def contact_sheet(clips: np.ndarray, *, is_flow: bool, most: int = 16) -> np.ndarray:
    """Returns the first images of a batch in a row, uint8[1, H, W, 3]; for flow, the first field in colour."""
    clips = clips.reshape(-1, *clips.shape[-3:])[:most]
    images = clips[..., :1] if clips.shape[-1] < 3 else clips[..., :3]
    if is_flow:  # Hue is direction, full colour the longest vector, and no motion is white.
        x, y = np.moveaxis(clips[..., :2] - np.float32(128), -1, 0)
        hue, length = np.arctan2(y, x) / (2 * np.pi) % 1, np.hypot(x, y)
        coloured = tf.image.hsv_to_rgb(np.stack([hue, length / max(length.max(), 1), np.ones_like(x)], axis=-1))
        images = np.rint(255 * coloured.numpy()).astype(np.uint8)
    across = int(np.ceil(np.sqrt(len(images))))
    empty = np.zeros((across * across - len(images), *images.shape[1:]), images.dtype)
    tiles = np.concatenate([images, empty]).reshape(across, across, *images.shape[1:])
    return np.concatenate(np.concatenate(tiles, axis=1), axis=1)[None]


def estimate_memory(
    model: keras.Model, config: TrainConfig | None = None, validation: tf.data.Dataset | None = None
) -> tuple[float, float]:
    """Returns the bytes that a training needs on a device, and the bytes for each example that is processed at once."""
    # The estimate is within a quarter of what benchmarks/training/memory.py measured on a processor.
    found = list(layers_of(model))
    kinds = model.variables, model.trainable_variables, model.optimizer.variables
    weights, trained, slots = (4 * sum(_size(each.shape) for each in variables) for variables in kinds)
    fixed = weights + trained + slots
    if not tf.config.list_physical_devices("GPU"):  # With a GPU, all this is in the processor's memory.
        in_checkpoint = weights + slots  # A checkpoint is copied before it is written.
        fixed += in_checkpoint + _PROCESS + _GRAPH_OF_A_LAYER * len(found)
        fixed += _input_memory(model, config, validation) if config else 0.0
    kept: dict[int, float] = {}
    for layer in found:
        if isinstance(layer, _KEEPS_INPUT):
            kept |= {id(tensor): _bytes(tensor) for tensor in keras.tree.flatten(layer.input)}
        # Some operations are not layers, for instance those of local response normalisation.
        if isinstance(layer, _KEEPS_OUTPUT) or not isinstance(layer, keras.Layer):
            kept |= {id(tensor): _bytes(tensor) for tensor in keras.tree.flatten(layer.output)}
    largest = max((_bytes(tensor) for layer in found for tensor in keras.tree.flatten(layer.output)), default=0.0)
    # The backward pass also needs the gradient of the largest output, and the work space of a convolution.
    return fixed, (sum(kept.values()) + 3 * largest) * (config.segments if config else 1)


def largest_batch(fixed: float, per_clip: float, available: float | None, clips: int) -> int:
    """Returns how many clips should fit at once, if `clips` did not fit."""
    if available is None:
        return max(1, clips // 2)
    fitting = int((0.9 * available - fixed) / per_clip) if per_clip else clips
    return max(1, min(fitting, clips // 2))


def out_of_memory(config: TrainConfig, model: keras.Model) -> str:
    """Returns the message for a training that ran out of memory: what did not fit, and what should fit."""
    clips = clips_at_once(config)
    fixed, per_clip = estimate_memory(model, config)
    needed = (fixed + per_clip * clips) / _GIGABYTE
    fits = what_fits(config, fixed, per_clip)
    return f"Out of memory: {clips} clips at once need about {needed:.2f} GB. {fits}"


def what_fits(config: TrainConfig, fixed: float, per_clip: float) -> str:
    """Returns how many clips should fit at once, and the options for it."""
    clips = clips_at_once(config)
    if clips == 1:
        return "Not even a single clip fits. Pass a smaller --crop-size or another --backbone."
    fitting = largest_batch(fixed, per_clip, free_memory(), clips)
    parts = next(parts for parts in range(1, clips + 1) if clips % parts == 0 and clips / parts <= fitting)
    return (
        f"About {fitting} should fit: pass --accumulate {config.accumulate * parts} for the same result in parts, or "
        f"--batch-size {config.batch_size // parts}."
    )


def check_memory(config: TrainConfig, fixed: float, per_clip: float, *, machines: int = 1) -> list[str]:
    """Refuses a training that can't fit into the memory of this machine. Returns a warning for one that may not fit."""
    # Without free memory, the system kills the process, and then no message is possible.
    here = tf.distribute.get_strategy().num_replicas_in_sync // machines
    needed = here * (fixed + per_clip * clips_at_once(config))
    free = free_memory() if needed > _ALWAYS_THERE else None
    if free is None or needed <= free:
        return []
    return _too_little(needed, free, what_fits(config, here * fixed, here * per_clip))


def _too_little(needed: float, free: float, advice: str) -> list[str]:
    words = f"{free / _GIGABYTE:.2f} GB are free. {advice}"
    if needed > _HOPELESS * free:
        raise RuntimeError(f"This training needs about {needed / _GIGABYTE:.2f} GB of memory; {words}")
    return [f"Warning: {words}"]


def clips_at_once(config: TrainConfig) -> int:
    """Returns how many clips are in the memory of a device at the same time."""
    return config.batch_size // (config.accumulate * tf.distribute.get_strategy().num_replicas_in_sync)


def _input_memory(network: keras.Model, config: TrainConfig, validation: tf.data.Dataset | None) -> float:
    """Returns a device's share of the bytes for reading, for prefetched batches and for cached validation clips."""
    example = sum(_bytes(tensor) for tensor in network.inputs) * config.segments
    held = _READING + _BATCHES_HELD * config.batch_size * example
    clips = 0 if validation is None else max(0, int(validation.cardinality())) * config.batch_size
    for spec in () if validation is None else tf.nest.flatten(validation.element_spec[0]):
        size = clips * _size(spec.shape[1:]) * spec.dtype.size
        held += size if size <= CACHE_BYTES else 0  # Each input has a cache of its own.
    return held / tf.distribute.get_strategy().num_replicas_in_sync


def _bytes(tensor: keras.KerasTensor) -> float:
    return _size(tensor.shape) * _WIDTHS.get(tensor.dtype, 4)


def _size(shape: Sequence[int | None]) -> float:
    return float(math.prod(side or 1 for side in shape))


def layers_of(network: keras.Model) -> Iterator[keras.Operation]:
    """Yields the layers of a network and of networks within it, and its operations that are not layers."""
    for operation in network.operations:
        if isinstance(operation, keras.Model):
            yield from layers_of(operation)
        elif not isinstance(operation, keras.layers.InputLayer | keras.layers.Dropout):
            yield operation
