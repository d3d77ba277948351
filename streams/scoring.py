"""Scores videos with a saved model: the only prediction loop."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from streams.variants import variant

# Crops that go through the network at once. On a processor a few dozen fill the cores and stay in its caches:
# 64 cost a third less than 640 there. An accelerator wants more.
_CROPS_AT_ONCE = {"CPU": 64, "GPU": 512}


def score_videos(
    model: keras.Model,
    views: Iterable[tuple[tf.Tensor, tf.Tensor, tf.Tensor]],
    *,
    num_crops: int | Literal["full"],
    precision: str = "float32",
    still: float = 128.0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields each video's `(logits float32[views, C], label)`, averaged over the crops of a view.

    `views` are those of pipelines.clips.distinct_views: what a view shows twice is predicted once.
    """
    score = view_scorer(model, num_crops=num_crops, precision=precision, still=still)
    for distinct, of_view, label in views:
        yield score(distinct).numpy()[of_view.numpy()], label.numpy()


def view_scorer(
    model: keras.Model, *, num_crops: int | Literal["full"], precision: str = "float32", still: float = 128.0
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a compiled function from views uint8[views, H, W, C] to their logits, averaged over crops.

    `full` scores whole frames and their mirror images, fully convolutionally. `still` is the level of no motion.
    """
    size, channels = model.inputs[0].shape[1], model.inputs[0].shape[-1]
    is_flow, num_classes = model.inputs[0].name == "flow", model.outputs[0].shape[-1]
    network = variant(model, whole_frames=num_crops == "full", precision=precision)
    device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    views_at_once = max(1, _CROPS_AT_ONCE[device] // (10 if num_crops == "full" else num_crops))

    def crops_of(views: tf.Tensor) -> tf.Tensor:
        if num_crops == "full":
            return with_mirrored(views[:, None], is_flow=is_flow, still=still)
        return ten_crops(views, size, is_flow=is_flow, still=still) if num_crops == 10 else centre(views, size)

    # One trace serves videos of every size and length.
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, channels], tf.uint8)])
    def score(frames: tf.Tensor) -> tf.Tensor:
        logits = tf.TensorArray(tf.float32, size=0, dynamic_size=True, infer_shape=False)
        for start in tf.range(0, tf.shape(frames)[0], views_at_once):
            crops = crops_of(frames[start : start + views_at_once])
            shape = tf.shape(crops)
            sides = [size, size] if num_crops != "full" else [shape[2], shape[3]]
            predicted = network(tf.reshape(crops, [-1, *sides, channels]), training=False)
            of_crop = tf.reshape(tf.cast(predicted, tf.float32), [shape[0], -1, num_classes])
            logits = logits.write(start // views_at_once, tf.reduce_mean(of_crop, axis=1))
        return tf.ensure_shape(logits.concat(), [None, num_classes])

    return score


def centre(frames: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the middle square of each view: uint8[views, 1, size, size, C]."""
    return _crops_at(frames, size, [(0.5, 0.5)])


def ten_crops(frames: tf.Tensor, size: int, *, is_flow: bool, still: float = 128.0) -> tf.Tensor:
    """Returns corners and centre of each view and their mirror images: uint8[views, 10, size, size, C]."""
    five = _crops_at(frames, size, [(0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)])
    return with_mirrored(five, is_flow=is_flow, still=still)


def with_mirrored(crops: tf.Tensor, *, is_flow: bool, still: float = 128.0) -> tf.Tensor:
    """Returns crops [views, crops, H, W, C] and their mirror images; of flow, what moved right then moves left."""
    mirrored = crops[..., ::-1, :]
    if is_flow:
        # Where the level of no motion is 128 there is no level 0, yet a JPEG decoder may write it beside a clipped
        # edge: it counts as 1.
        lowest = tf.constant(1 if still == 128 else 0, tf.uint8)
        negated = tf.cast(int(2 * still) - tf.cast(tf.maximum(mirrored, lowest), tf.int16), tf.uint8)
        is_x = tf.range(tf.shape(crops)[-1]) % 2 == 0
        mirrored = tf.where(is_x, negated, mirrored)
    return tf.concat([crops, mirrored], axis=1)


def _crops_at(frames: tf.Tensor, size: int, places: list[tuple[float, float]]) -> tf.Tensor:
    height, width = tf.shape(frames)[1], tf.shape(frames)[2]
    crops = []
    for down, right in places:
        top = tf.cast(tf.cast(height - size, tf.float32) * down, tf.int32)
        left = tf.cast(tf.cast(width - size, tf.float32) * right, tf.int32)
        crops.append(frames[:, top : top + size, left : left + size])
    return tf.stack(crops, axis=1)
