"""Cuts clips where the network runs: the host reads and decodes; the accelerator cuts, resizes, mirrors and colours.

It follows the recipe of the pipeline with the same random numbers, so both give the same clips, within one level.
"""

import tensorflow as tf

from pipelines import augment
from pipelines.cutting import read_planes
from pipelines.inputs import Input
from pipelines.source import Source


def read_fields(
    source: Source, examples: dict[str, tf.Tensor], crop_size: int, augmentation: str, side: int, shown: str = "pixels"
) -> dict[str, tf.Tensor]:
    """Reads the boxes of the planes of one example, each in the upper left corner of a square of `side`.

    `planes` are those of all segments, uint8[1, planes, side, side, 1 or 3], with zeros below and to the right.
    """
    (read,), randoms = read_planes(source, examples, crop_size, augmentation, side, shown), examples["randoms"][0]
    planes = tf.stack([plane for segment in read for plane in segment])
    count, height, width, channels = tf.unstack(tf.shape(planes))
    # Padding is ten times as slow where the last axis is short.
    rows = tf.reshape(planes, [count, height, width * channels])
    padded = tf.pad(rows, [[0, 0], [0, side - height], [0, channels * (side - width)]])
    fields = {
        "planes": tf.reshape(padded, [planes.shape[0], side, side, planes.shape[-1]]),
        "box": tf.stack([0, 0, height, width]),
        "mirror": randoms[4] < (0.5 if augmentation != "none" else 0.0),
        "colour": randoms[5:8],
    }
    return {name: values[None] for name, values in fields.items()}


def crop(
    fields: dict[str, tf.Tensor], clip: Input, crop_size: int, augmentation: str, rule: str = "centred"
) -> tf.Tensor:
    """Returns the clips of a batch of `read_fields`, uint8[B, size, size, C], or [B, segments, size, size, C].

    Cutting, resizing and mirroring are one matrix for rows and one for columns, which is fast on XLA and tensor cores.
    """
    planes, is_mirrored = tf.cast(fields["planes"], tf.float32), fields["mirror"]
    box = tf.cast(fields["box"], tf.float32)
    shape = planes.shape
    planes = tf.reshape(tf.transpose(planes, [0, 1, 4, 2, 3]), [-1, shape[4] * shape[1], shape[2], shape[3]])
    rows = _bilinear(box[:, 0], box[:, 2], crop_size, planes.shape[2])
    columns = _bilinear(box[:, 1], box[:, 3], crop_size, planes.shape[3])
    columns = tf.where(is_mirrored[:, None, None], columns[:, ::-1], columns)
    cut = tf.einsum("bys,bnst,bxt->byxn", rows, planes, columns, optimize="optimal")
    if clip.is_flow:
        is_x = tf.range(cut.shape[-1]) % 2 == 0
        cut = tf.where(is_mirrored[:, None, None, None] & is_x, augment.opposite_pixels(cut, rule), cut)
    clips = tf.cast(tf.clip_by_value(tf.round(cut), 0.0, 255.0), tf.uint8)
    if augmentation == "paper" and clip.is_colour:
        clips = augment.jitter_colour(clips, fields["colour"])
    if clip.segments == 1:
        return clips
    parts = tf.reshape(clips, [-1, crop_size, crop_size, clip.segments, clip.channels])
    return tf.transpose(parts, [0, 3, 1, 2, 4])


def _bilinear(start: tf.Tensor, length: tf.Tensor, size: int, whole: int) -> tf.Tensor:
    """Returns the weights, [B, size, whole], by which the pixels of a stretch make `size` new ones."""
    centres = (tf.range(size, dtype=tf.float32) + 0.5)[None] * length[:, None] / size - 0.5
    places = start[:, None] + tf.clip_by_value(centres, 0.0, length[:, None] - 1.0)
    return tf.maximum(0.0, 1.0 - tf.abs(places[..., None] - tf.range(whole, dtype=tf.float32)))
