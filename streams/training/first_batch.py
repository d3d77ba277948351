"""A look at what goes in before it is trained on: is it alive, in range, and will it fit?"""

from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from pipelines.clip_stream import CACHE_BYTES, Clips, Tensors
from streams.config import TrainConfig
from streams.training.course import Course
from streams.training.machines import is_chief, this_part
from streams.training.memory import free_memory

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


def look_at_first_batch(
    model: keras.Model, clips: Clips, validation: tf.data.Dataset | None, course: Course, *, is_flow: bool
) -> dict[str, tf.Tensor]:
    """Says what goes in and what memory it needs, and returns a contact sheet of each input, on the first machine."""
    config, replicas = course.config, tf.distribute.get_strategy().num_replicas_in_sync
    fixed, per_clip = estimate_memory(model, model.optimizer, config, validation)
    warnings_of_memory = check_memory(config, fixed, per_clip)
    if not is_chief():
        return {}
    needed = fixed + per_clip * clips_at_once(config)
    parts = f" in {config.accumulate} parts" if config.accumulate > 1 else ""
    print(
        f"{model.count_params():,} weights, batches of {config.batch_size}{parts} on {replicas} device"
        f"{'s' if replicas > 1 else ''}, about {memory_words(needed)} of memory on each."
    )
    for line in (*warnings_of_memory, *caveats(model, config, replicas)):
        print(line)
    batch = clips.cut(next(iter(clips.batches(course.progress.step)))[0])
    sheets = {}
    for name, images in by_name(batch, is_flow=is_flow).items():
        sheets[name] = contact_sheet(images, is_flow=name == "flow")
        print(*check_inputs(images, is_flow=name == "flow"), sep="\n", flush=True)
    return sheets


def by_name(clips: Tensors, *, is_flow: bool) -> dict[str, np.ndarray]:
    """Returns the images of a batch by the name of their input, `rgb` or `flow`; features made before are none."""
    named = clips if isinstance(clips, dict) else {"flow" if is_flow else "rgb": clips}
    return {name: np.asarray(images) for name, images in named.items() if len(images.shape) > 2}


def caveats(network: keras.Model, config: TrainConfig, replicas: int) -> list[str]:
    """Returns where batch normalisation makes parts of a batch differ from a whole one."""
    if not any(isinstance(layer, keras.layers.BatchNormalization) and layer.trainable for layer in _layers(network)):
        return []
    lines = []
    if config.accumulate > 1:
        lines.append(
            f"Batch normalisation sees {config.batch_size // config.accumulate} clips at a time, so that "
            f"{config.accumulate} parts do not give quite what a whole batch would (--freeze-bn all would)."
        )
    if replicas > 1 and not config.sync_batch_norm:
        lines.append("Batch normalisation sees each device's clips apart; --sync-batch-norm lets it see all.")
    return lines


def check_inputs(clips: np.ndarray, *, is_flow: bool) -> list[str]:
    """Returns a line about the first batch, and warnings where it looks wrong."""
    low, high, mean = int(clips.min()), int(clips.max()), float(clips.mean())
    clipped = f", {np.mean((clips <= 1) | (clips >= 255)):.2%} at the bound" if is_flow else ""
    lines = [f"First batch of {'flow' if is_flow else 'frames'}: levels {low} to {high}, mean {mean:.1f}{clipped}."]
    planes = clips.reshape(-1, clips.shape[-3] * clips.shape[-2], clips.shape[-1]) if clips.ndim > 3 else clips[None]
    if is_flow and np.mean((planes.min(1) <= 1) & (planes.max(1) >= 254)) > 0.5:
        lines.append(
            "Warning: most flow fields reach both ends of their range, as if each were scaled by its own extremes, "
            "which loses how fast things move. Prepare the flow with a fixed bound: python data/prepare.py"
        )
    # One by one: of a whole batch, NumPy would hold the squares in eight times its memory.
    if np.mean([_is_dead(plane.mean(0), plane.std(0), is_flow) for plane in planes]) > 0.5:
        kind = "flow fields show no motion" if is_flow else "images are of one colour"
        lines.append(f"Warning: most {kind}. Look at the files: python data/doctor.py")
    return lines


def _is_dead(mean: np.ndarray, deviation: np.ndarray, is_flow: bool) -> np.ndarray:
    """Tells of planes whether they are of one level; of flow, only where it says no motion or the very ends do.

    All pixels of a camera that pans may move alike.
    """
    is_even: np.ndarray = deviation < 0.5
    if not is_flow:
        return is_even
    # The levels of no motion are 127, 127.5 and 128, by rule and rounding.
    is_still = np.hypot(mean - 127.5, deviation) < 0.75
    dead: np.ndarray = is_still | (is_even & ((mean <= 1) | (mean >= 254)))
    return dead


def contact_sheet(clips: np.ndarray, *, is_flow: bool, most: int = 16) -> np.ndarray:
    """Returns the first images of a batch in one row of rows: uint8[1, H, W, 3], or the first x field of flow."""
    clips = clips.reshape(-1, *clips.shape[-3:])[:most]
    images = clips[..., :1] if is_flow or clips.shape[-1] < 3 else clips[..., :3]
    across = int(np.ceil(np.sqrt(len(images))))
    empty = np.zeros((across * across - len(images), *images.shape[1:]), images.dtype)
    tiles = np.concatenate([images, empty]).reshape(across, across, *images.shape[1:])
    return np.concatenate(np.concatenate(tiles, axis=1), axis=1)[None]


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
    found = list(_layers(network))
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


def _layers(network: keras.Model) -> Iterator[keras.Operation]:
    """Yields the layers of a network and of those within it, and its operations that are no layers."""
    for operation in network.operations:
        if isinstance(operation, keras.Model):
            yield from _layers(operation)
        elif not isinstance(operation, keras.layers.InputLayer | keras.layers.Dropout):
            yield operation
