"""Scores videos with a saved model: the only prediction loop."""

from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf
from rich.progress import track


def score_videos(
    model: keras.Model, views: Iterable[tuple[tf.Tensor, tf.Tensor]], *, num_crops: int, num_videos: int, title: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns `(logits float32[V, views, C], labels)` of whole-frame views, averaged over the crops of a view."""
    score = view_scorer(model, num_crops=num_crops)
    logits, labels = [], []
    for frames, label in track(views, title, total=num_videos):
        logits.append(score(frames).numpy())
        labels.append(label.numpy())
    return np.stack(logits), np.array(labels)


def view_scorer(model: keras.Model, *, num_crops: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a compiled function from views uint8[views, H, W, C] to their logits, averaged over crops."""
    size = model.inputs[0].shape[1]
    is_flow = model.inputs[0].name == "flow"

    @tf.function(reduce_retracing=True)
    def score(frames: tf.Tensor) -> tf.Tensor:
        crops = ten_crops(frames, size, is_flow=is_flow) if num_crops == 10 else centre(frames, size)
        logits = model(tf.reshape(crops, [-1, *model.inputs[0].shape[1:]]), training=False)
        return tf.reduce_mean(tf.reshape(logits, [-1, num_crops, logits.shape[-1]]), axis=1)

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
        mirrored = tf.where(is_x, tf.bitwise.invert(mirrored) + 1, mirrored)
    return tf.concat([five, mirrored], axis=1)


def _crops_at(frames: tf.Tensor, size: int, places: list[tuple[float, float]]) -> tf.Tensor:
    height, width = tf.shape(frames)[1], tf.shape(frames)[2]
    crops = []
    for down, right in places:
        top = tf.cast(tf.cast(height - size, tf.float32) * down, tf.int32)
        left = tf.cast(tf.cast(width - size, tf.float32) * right, tf.int32)
        crops.append(frames[:, top : top + size, left : left + size])
    return tf.stack(crops, axis=1)
