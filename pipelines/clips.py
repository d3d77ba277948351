"""Files on disk become training batches and test views."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from data.catalog import DataSet, Video
from data.layouts import OURS, Layout
from pipelines import augment, decode, sampling
from pipelines.inputs import Input


def train_batches(
    dataset: DataSet,
    videos: Sequence[Video],
    clip: Input,
    *,
    batch_size: int,
    crop_size: int,
    seed: int = 0,
    start_step: int = 0,
) -> tf.data.Dataset:
    """Builds an endless dataset of `(clips, labels)` from `start_step` on.

    Every pass over the videos takes one random clip from each, so that long videos weigh no more than
    short ones (Sec. 5 of the paper).
    """
    table, count = _table(dataset, videos, clip), len(videos)

    def load(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # One seed per example makes each batch repeatable, whatever thread loads it and wherever it started.
        seeds = tf.random.split(tf.stack([seed, tf.cast(index, tf.int32)]), 3)
        epoch, place = index // count, tf.cast(index % count, tf.int32)
        order_seed = tf.stack([seed, tf.cast(epoch, tf.int32)])
        row = tf.random.experimental.index_shuffle(place, tf.cast(order_seed, tf.int32), count - 1)
        video = {name: column[row] for name, column in table.items()}
        start = sampling.random_start(video["num_items"], clip.length, seeds[0])
        images = augment.random_crop(_read_clip(video, start, clip), crop_size, seeds[1])
        return augment.random_mirror(images, seeds[2], is_flow=clip.is_flow), video["label"]

    indices = tf.data.Dataset.range(start_step * batch_size, np.iinfo(np.int64).max)
    clips = indices.map(load, num_parallel_calls=tf.data.AUTOTUNE)
    return clips.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def validation_batches(
    dataset: DataSet, videos: Sequence[Video], clip: Input, *, batch_size: int, crop_size: int, num_views: int = 3
) -> tf.data.Dataset:
    """Builds `(clips, labels)` of a few centred views of each video, in order."""

    def centred(views: tf.Tensor, label: tf.Tensor) -> tf.data.Dataset:
        crops = augment.centre_crop(views, crop_size)
        return tf.data.Dataset.from_tensor_slices((crops, tf.repeat(label, num_views)))

    views = video_views(dataset, videos, clip, num_views=num_views)
    flat = views.flat_map(centred).map(
        lambda image, label: (tf.ensure_shape(image, (crop_size, crop_size, clip.channels)), label)
    )
    return flat.batch(batch_size).cache()


def video_views(dataset: DataSet, videos: Sequence[Video], clip: Input, *, num_views: int) -> tf.data.Dataset:
    """Builds a dataset of one element a video: `(uint8[views, H, W, C], label)`, whole frames, in order."""
    views = distinct_views(dataset, videos, clip, num_views=num_views)
    return views.map(lambda distinct, of_view, label: (tf.gather(distinct, of_view), label))


def distinct_views(dataset: DataSet, videos: Sequence[Video], clip: Input, *, num_views: int) -> tf.data.Dataset:
    """Builds one element a video: `(uint8[D, H, W, C], of_view int32[views], label)`, whole frames, in order.

    A short video has fewer distinct views than are asked for. Each is there once, `of_view` says which one stands for
    each view, and every file is decoded once, however many views it is part of.
    """
    table = _table(dataset, videos, clip)
    counts = table["num_items"].numpy()
    table["starts"] = tf.constant(np.stack([sampling.view_starts(count, clip.length, num_views) for count in counts]))

    def load(row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        video = {name: column[row] for name, column in table.items()}
        starts, of_view = tf.unique(video["starts"])
        clips = sampling.clip_indices(starts[:, None], video["num_items"], clip.length)
        items, of_clip = tf.unique(tf.reshape(clips, [-1]))
        read = tf.map_fn(lambda item: _read_item(video, item, clip), items, fn_output_signature=tf.uint8)
        stacks = tf.gather(read, tf.reshape(of_clip, tf.shape(clips)))
        return _as_channels(stacks, clip), of_view, video["label"]

    rows = tf.data.Dataset.range(len(videos))
    return rows.map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def _read_item(video: dict[str, tf.Tensor], item: tf.Tensor, clip: Input, layout: Layout = OURS) -> tf.Tensor:
    """Reads one frame, uint8[H, W, 3], or one flow field, uint8[H, W, 2]."""
    number = layout.first + item
    if not clip.is_flow:
        return decode.read_rgb(decode.numbered_paths(video["frame"], number, layout.digits))
    return decode.read_grey([decode.numbered_paths(video[axis], number, layout.digits) for axis in ("x", "y")])


def _as_channels(stacks: tf.Tensor, clip: Input) -> tf.Tensor:
    """Lays the items of each clip side by side: uint8[D, L, H, W, c] to uint8[D, H, W, L c]."""
    shape = tf.shape(stacks)
    channels = tf.reshape(tf.transpose(stacks, [0, 2, 3, 1, 4]), [shape[0], shape[2], shape[3], clip.channels])
    return tf.ensure_shape(channels, (None, None, None, clip.channels))


def _table(dataset: DataSet, videos: Sequence[Video], clip: Input, layout: Layout = OURS) -> dict[str, tf.Tensor]:
    """Returns what a pipeline holds of its videos: a few names and numbers each, no pixels."""
    unprepared = [video.name for video in videos if video.num_frames == 0]
    if unprepared:
        raise ValueError(
            f"{len(unprepared)} of {len(videos)} videos are not prepared, {unprepared[0]} among them. "
            f"Run: python data/prepare.py {dataset.name}"
        )
    columns: dict[str, Any] = {"label": [video.label for video in videos]}
    if clip.is_flow:
        columns["num_items"] = [video.num_flows for video in videos]
        columns["x"] = [layout.prefix(layout.flow_x, dataset.root, video) for video in videos]
        columns["y"] = [layout.prefix(layout.flow_y, dataset.root, video) for video in videos]
    else:
        columns["num_items"] = [video.num_frames for video in videos]
        columns["frame"] = [layout.prefix(layout.frame, dataset.root, video) for video in videos]
    return {name: tf.constant(column) for name, column in columns.items()}


def _read_clip(video: dict[str, tf.Tensor], start: tf.Tensor, clip: Input, layout: Layout = OURS) -> tf.Tensor:
    numbers = layout.first + sampling.clip_indices(start, video["num_items"], clip.length)
    if not clip.is_flow:
        return decode.read_rgb(decode.numbered_paths(video["frame"], numbers[0], layout.digits))
    paths_x = decode.numbered_paths(video["x"], numbers, layout.digits)
    paths_y = decode.numbered_paths(video["y"], numbers, layout.digits)
    interleaved = [path for field in range(clip.length) for path in (paths_x[field], paths_y[field])]
    return tf.ensure_shape(decode.read_grey(interleaved), (None, None, clip.channels))
