"""Scores videos with a saved model: the only prediction loop."""

from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

# Crops that go through the network at once. On a processor a few dozen fill the cores and stay in its caches:
# 64 cost a third less than 640 there. An accelerator wants more.
_CROPS_AT_ONCE = {"CPU": 64, "GPU": 512}


def score_videos(
    model: keras.Model, views: Iterable[tuple[tf.Tensor, tf.Tensor, tf.Tensor]], *, num_crops: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields each video's `(logits float32[views, C], label)`, averaged over the crops of a view.

    `views` are those of pipelines.clips.distinct_views: what a view shows twice is predicted once.
    """
    score = view_scorer(model, num_crops=num_crops)
    for distinct, of_view, label in views:
        yield score(distinct).numpy()[of_view.numpy()], label.numpy()


def view_scorer(model: keras.Model, *, num_crops: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a compiled function from views uint8[views, H, W, C] to their logits, averaged over crops."""
    size, channels = model.inputs[0].shape[1], model.inputs[0].shape[-1]
    is_flow = model.inputs[0].name == "flow"
    device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    views_at_once = max(1, _CROPS_AT_ONCE[device] // num_crops)

    # One trace serves videos of every size and length.
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, channels], tf.uint8)])
    def score(frames: tf.Tensor) -> tf.Tensor:
        count = tf.shape(frames)[0]
        logits = tf.TensorArray(tf.float32, size=0, dynamic_size=True, infer_shape=False)
        for start in tf.range(0, count, views_at_once):
            part = frames[start : start + views_at_once]
            crops = ten_crops(part, size, is_flow=is_flow) if num_crops == 10 else centre(part, size)
            predicted = model(tf.reshape(crops, [-1, size, size, channels]), training=False)
            of_crop = tf.reshape(tf.cast(predicted, tf.float32), [-1, num_crops, predicted.shape[-1]])
            logits = logits.write(start // views_at_once, tf.reduce_mean(of_crop, axis=1))
        return tf.ensure_shape(logits.concat(), [None, model.outputs[0].shape[-1]])

    return score


def centre(frames: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the middle square of each view: uint8[views, 1, size, size, C]."""
    return _crops_at(frames, size, [(0.5, 0.5)])


def ten_crops(frames: tf.Tensor, size: int, *, is_flow: bool) -> tf.Tensor:
    """Returns corners and centre of each view and their mirror images: uint8[views, 10, size, size, C]."""
    five = _crops_at(frames, size, [(0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)])
    mirrored = five[..., ::-1, :]
    if is_flow:  # What moved right now moves left; levels are centred on 128, so that 256 less one is its negative.
        is_x = tf.range(tf.shape(five)[-1]) % 2 == 0
        # There is no level 0, yet a JPEG decoder may write it beside a clipped edge: it counts as 1.
        negated = tf.bitwise.invert(tf.maximum(mirrored, tf.constant(1, tf.uint8))) + 1
        mirrored = tf.where(is_x, negated, mirrored)
    return tf.concat([five, mirrored], axis=1)


def _crops_at(frames: tf.Tensor, size: int, places: list[tuple[float, float]]) -> tf.Tensor:
    height, width = tf.shape(frames)[1], tf.shape(frames)[2]
    crops = []
    for down, right in places:
        top = tf.cast(tf.cast(height - size, tf.float32) * down, tf.int32)
        left = tf.cast(tf.cast(width - size, tf.float32) * right, tf.int32)
        crops.append(frames[:, top : top + size, left : left + size])
    return tf.stack(crops, axis=1)
