"""Reads evenly spread views of videos, as whole frames, for testing and prediction."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import tensorflow as tf

from commands.running import usable_processors
from data.catalog import DataSet, Video
from pipelines.inputs import Input
from pipelines.source import Source, plainly, source_of

Views: TypeAlias = tuple[tf.Tensor, tf.Tensor]
DistinctViews: TypeAlias = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def video_views(
    dataset: DataSet, videos: Sequence[Video], clip: Input, *, num_views: int, sampling: str = "ends"
) -> Iterator[Views]:
    """Returns `(uint8[views, H, W, C], label)` of each video in turn, whole frames, in order."""
    views = distinct_views(dataset, videos, clip, num_views=num_views, sampling=sampling)
    return ((tf.gather(distinct, of_view), label) for distinct, of_view, label in views)


def distinct_views(
    dataset: DataSet, videos: Sequence[Video], clip: Input, *, num_views: int, sampling: str = "ends"
) -> Iterator[DistinctViews]:
    """Returns `(uint8[D, H, W, C], of_view int32[views], label)` of each video in turn.

    A short video has fewer distinct views than are asked for: each is made once, and every file is decoded once for
    all the views that it is part of. The host reads and decodes; views are put together where networks run.
    """
    source = source_of(dataset, videos, clip)
    depth = 3 if clip.is_colour else 2 if source.is_float else 1
    signature = tf.TensorSpec([None, None, None, depth], tf.uint8), tf.TensorSpec([None, source.num_files], tf.int32)

    # One trace serves videos of every size and length.
    @tf.function(input_signature=signature, autograph=False)
    def put_together(images: tf.Tensor, of_file: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(source.clips(images, of_file), (None, None, None, clip.channels))

    return (
        (put_together(images, of_file), of_view, source.columns("label", row))
        for images, of_file, of_view, row in view_images(source, num_views, sampling)
    )


def view_images(source: Source, num_views: int, sampling: str = "ends") -> tf.data.Dataset:
    """Builds `(images, of_file, of_view, row)` of each video: its decoded files, and which of them its views show."""

    @plainly
    def load(row: tf.Tensor) -> tuple[tf.Tensor, ...]:
        distinct, of_view = tf.unique(source.view_starts(row, num_views, sampling))
        images, of_file = source.distinct_images(source.files(tf.fill(tf.shape(distinct), row), distinct))
        return images, of_file, of_view, row

    rows = tf.data.Dataset.range(source.count, output_type=tf.int32)
    # The images of a video take megabytes, so no more videos are in memory than there are processors.
    return rows.map(load, num_parallel_calls=usable_processors()).prefetch(2).with_options(source.options)
