"""Cuts clips: reads a box of each file, mirrors and resizes it, and stacks the channels."""

import importlib
import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import islice

import cv2
import numpy as np
import tensorflow as tf

from data.optical_flow.levels import RULES
from pipelines import augment
from pipelines.inputs import SCALED
from pipelines.source import Example, Source

# The most channels that OpenCV can merge.
_MOST_MERGED = 128
_ALIGNMENT = 64


def read_clips(
    source: Source, examples: Example, crop_size: int, augmentation: str, shown: str = "pixels"
) -> tf.Tensor:
    """Reads the clips of a few examples, uint8[examples, (segments,) H, W, C]; clips of one example are cut alike."""
    clip, randoms = source.clip, tf.repeat(examples["randoms"], source.clip.segments, axis=0)
    read = read_planes(source, examples, crop_size, augmentation, shown=shown)
    is_mirrored = randoms[:, 4] < (0.5 if augmentation != "none" else 0.0)
    planes = [tf.stack(each) for example in read for each in example]
    clips = cut(planes, crop_size, is_mirrored, source.rule if clip.is_flow else "")
    if augmentation == "paper" and clip.is_colour:
        clips = augment.jitter_colour(clips, randoms[:, 5:8])
    return tf.reshape(clips, [-1, *clip.shape(crop_size)])


def read_planes(
    source: Source, examples: Example, crop_size: int, augmentation: str, largest: int = 0, shown: str = "pixels"
) -> list[list[list[tf.Tensor]]]:
    """Reads what is cut from the files of each example, by segment: planes, uint8[H, W, 1 or 3]."""
    segments, planes = source.clip.segments, []
    is_motion = source.clip.is_flow or source.clip.kind == "rgb_difference"
    files = source.files(tf.repeat(examples["row"][:, None], segments, axis=1), examples["starts"])
    contents = iter(source.contents(files))
    # Boxes that are a share of the frame fit every frame.
    smallest = crop_size if augmentation not in SCALED and shown == "pixels" else 0
    for number, randoms in enumerate(tf.unstack(examples["randoms"])):
        clips = [list(islice(contents, source.num_files)) for _ in range(segments)]
        frame = source.frame_size(clips[0][0])
        box = augment.random_box(augmentation, frame, crop_size, randoms, shown, is_motion)
        fits = (tf.reduce_min(frame) >= smallest) & (tf.reduce_max(box[2:]) <= (largest or tf.int32.max))
        first = tf.reshape(files["path"][number], [-1])[0]
        # Nothing in a graph waits for an assertion of itself, so the box has to. `unreadable` words the error.
        with tf.control_dependencies([tf.debugging.Assert(fits, ["The crop does not fit:", first, frame])]):
            box = tf.identity(box)
        planes.append([source.planes(clip, box) for clip in clips])
    return planes


def cut(clips: Sequence[tf.Tensor], size: int, is_mirrored: tf.Tensor, rule: str = "") -> tf.Tensor:
    """Returns clips of planes, uint8[planes, H, W, 1 or 3] each, as uint8[clips, size, size, channels]."""
    # With a rule of levels, planes are flow, x and y in turn: in a mirror, motion to the right goes to the left.
    shape = (len(clips), size, size, clips[0].shape[0] * clips[0].shape[-1])

    def run(is_mirrored: np.ndarray, *clips: np.ndarray) -> np.ndarray:
        made = _aligned(shape)
        for planes, mirror, clip in zip(clips, is_mirrored, made, strict=True):
            fill = merge if planes.shape[1:3] == clip.shape[:2] and shape[-1] <= _MOST_MERGED else _resizing()
            fill(planes, clip, bool(mirror), rule)
        return made

    return tf.ensure_shape(tf.numpy_function(run, [is_mirrored, *clips], tf.uint8, stateful=False), shape)


def merge(planes: np.ndarray, clip: np.ndarray, is_mirrored: bool, rule: str = "") -> None:
    """Fills a clip with planes that already have its size: faster than `resizing.resize`, with the same result."""
    parts = list(planes)
    if is_mirrored:
        parts = [cv2.flip(plane, 1) for plane in planes]
        if rule:
            numbers = RULES[rule]
            # In bytes, 256 minus a level equals 0 minus it.
            double, limits = (
                np.uint8(int(2 * numbers.still) & 255),
                (np.uint8(numbers.lowest), np.uint8(numbers.highest)),
            )
            parts[0::2] = [double - np.clip(x, *limits) for x in parts[0::2]]
    cv2.merge(parts, clip)


@cache
def _resizing() -> Callable[[np.ndarray, np.ndarray, bool, str], None]:
    """Returns `resizing.resize`, imported on first use: it imports numba, which takes a third of a second."""
    resize: Callable[[np.ndarray, np.ndarray, bool, str], None] = importlib.import_module(
        f"{__package__}.resizing"
    ).resize
    return resize


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Returns an aligned array, which TensorFlow uses without copying it."""
    number = math.prod(shape)
    memory = np.empty(number + _ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    return memory[first : first + number].reshape(shape)
