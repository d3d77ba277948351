"""Files on disk become clips for training and views for testing."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import tensorflow as tf

from commands.running import usable_processors
from data.catalog import DataSet, Video
from pipelines import augment, sampling
from pipelines.cutting import cut
from pipelines.inputs import Input
from pipelines.skipping import Example
from pipelines.source import Source, plainly, read_planes

Views: TypeAlias = tuple[tf.Tensor, tf.Tensor]
DistinctViews: TypeAlias = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def video_views(dataset: DataSet, videos: Sequence[Video], clip: Input, *, num_views: int) -> Iterator[Views]:
    """Returns `(uint8[views, H, W, C], label)` of each video in turn, whole frames, in order."""
    views = distinct_views(dataset, videos, clip, num_views=num_views)
    return ((tf.gather(distinct, of_view), label) for distinct, of_view, label in views)


def distinct_views(
    dataset: DataSet, videos: Sequence[Video], clip: Input, *, num_views: int
) -> Iterator[DistinctViews]:
    """Returns `(uint8[D, H, W, C], of_view int32[views], label)` of each video in turn.

    A short video has fewer distinct views than are asked for: each is made once, and every file is decoded once for
    all the views that it is part of. The host reads and decodes; views are put together where networks run.
    """
    source = Source(dataset, videos, clip)

    depth = 3 if clip.is_colour else 2 if source.is_float else 1
    signature = tf.TensorSpec([None, None, None, depth], tf.uint8), tf.TensorSpec([None, source.num_files], tf.int32)

    # One trace serves videos of every size and length.
    @tf.function(input_signature=signature, autograph=False)
    def put_together(images: tf.Tensor, of_file: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(source.clips(images, of_file), (None, None, None, clip.channels))

    return (
        (put_together(images, of_file), of_view, source.labels(row[None])[0])
        for images, of_file, of_view, row in view_images(source, num_views)
    )


def view_images(source: Source, num_views: int) -> tf.data.Dataset:
    """Builds `(images, of_file, of_view, row)` of each video: files decoded, and what clips and views hold of them."""
    starts = all_view_starts(source, num_views)

    @plainly
    def load(row: tf.Tensor) -> tuple[tf.Tensor, ...]:
        distinct, of_view = tf.unique(starts[row])
        images, of_file = source.distinct_images(source.files(tf.fill(tf.shape(distinct), row), distinct))
        return images, of_file, of_view, row

    rows = tf.data.Dataset.range(starts.shape[0], output_type=tf.int32)
    # The images of a video are megabytes: no more are in memory than processors make.
    return with_options(rows.map(load, num_parallel_calls=usable_processors()).prefetch(2))


def all_view_starts(source: Source, num_views: int) -> tf.Tensor:
    """Returns where the views of each video start, int32[videos, views]."""
    with tf.device("/cpu:0"):
        return tf.constant(sampling.view_starts(source.num_items.numpy(), source.clip.span, num_views))


def read_clips(
    source: Source, examples: Example, crop_size: int, augmentation: str, shown: str = "pixels"
) -> tf.Tensor:
    """Reads the clips of a few examples: uint8[examples, (segments,) H, W, C]; those of one are cut alike."""
    planes = [
        tf.stack(segment)
        for example in read_planes(source, examples, crop_size, augmentation, shown=shown)
        for segment in _in_parts(example, source.clip.segments)
    ]
    clip, randoms = source.clip, tf.repeat(examples["randoms"], source.clip.segments, axis=0)
    is_mirrored = randoms[:, 4] < (0.5 if augmentation != "none" else 0.0)
    clips = cut(planes, crop_size, is_mirrored, source.rule if clip.is_flow else "")
    if augmentation == "paper" and clip.is_colour:
        clips = augment.jitter_colour(clips, randoms[:, 5:8])
    return tf.reshape(clips, [-1, *clip.shape(crop_size)])


def _in_parts(values: list[tf.Tensor], count: int) -> list[list[tf.Tensor]]:
    size = len(values) // count
    return [values[number * size : (number + 1) * size] for number in range(count)]


def with_options(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a data set that leaves the processors to us."""
    options = tf.data.Options()
    # Clips are loaded side by side; splitting one clip's work further would only cost.
    options.threading.max_intra_op_parallelism = 1
    # Left to itself, TensorFlow makes ever more clips ahead: more memory, and a third less speed until it has done.
    options.autotune.enabled = False
    return dataset.with_options(options)
