"""Files on disk become training batches and test views."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from commands.running import usable_processors
from data.catalog import DataSet, Video
from pipelines import augment, sampling
from pipelines.broken import Example, leaving_out, skipping
from pipelines.cutting import cut
from pipelines.device import read_fields
from pipelines.drawing import IN_VALIDATION, Draw, Drawing, Skipped, draw_rows
from pipelines.inputs import Input
from pipelines.source import Source, at_once, plainly, read_planes

Views: TypeAlias = tuple[tf.Tensor, tf.Tensor]
DistinctViews: TypeAlias = tuple[tf.Tensor, tf.Tensor, tf.Tensor]

# Validation crops are kept in memory from one epoch to the next where they take less than this.
CACHE_BYTES = 2**30
# Small clips of few files are made a few at a time: they share what it costs to call the function that cuts them.
BYTES_TOGETHER, FILES_TOGETHER = 2**21, 160
# How many views of a video are validated on.
VALIDATION_VIEWS = 3


def train_batches(
    dataset: DataSet,
    videos: Sequence[Video],
    clip: Input,
    *,
    batch_size: int,
    crop_size: int,
    seed: int = 0,
    start_step: int = 0,
    drawing: Drawing | None = None,
) -> tf.data.Dataset:
    """Builds an endless dataset of `(clips, labels)` from `start_step` on.

    Every pass over the videos takes one random clip from each, so that long videos weigh no more than short ones
    (Sec. 5 of the paper). A batch depends on seed and step alone. With `drawing.device_crop`, clips are what
    `device.read_fields` returns, for `device.crop` to cut.
    """
    drawing = drawing or Drawing()
    source, draw = Source(dataset, videos, clip), draw_rows(videos, batch_size, seed, drawing)
    side = source.short_side() if drawing.device_crop else 0
    size = batch_size // drawing.shard[1]

    @plainly
    def load(examples: Example) -> Any:
        settings = source, examples, crop_size, drawing.augment
        return read_fields(*settings, side) if side else read_clips(*settings)

    steps = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max // (2 * batch_size))
    plans = steps.map(plainly(lambda step: plan_batch(source, draw, step, batch_size, seed, drawing)))
    if drawing.skipped is None:
        together = 1 if side else _made_together(source, crop_size, size)
        groups = plans.map(plainly(lambda plan: _each(lambda all_: _split(all_, together), plan))).unbatch()
        loaded = groups.map(plainly(lambda group: (load(group), group["label"])), num_parallel_calls=at_once())
        batches = loaded.batch(size // together, drop_remainder=True).map(
            plainly(lambda *grouped: _each(_joined, grouped))
        )
    else:

        def load_one(example: Example) -> tf.Tensor:
            return load(_each(lambda values: values[None], example))[0]

        examples = plans.unbatch().enumerate(start_step * size).map(plainly(partial(_placed, size)))
        batches = skipping(examples, load_one, source.names, size, clip.shape(crop_size), drawing.skipped)
    # A batch that is made while another is used is all that helps; TensorFlow's own choice may keep many.
    batches = batches.prefetch(2)
    return _with_options(batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)))


def plan_batch(
    source: Source, draw: Draw, step: tf.Tensor, batch_size: int, seed: int, drawing: Drawing
) -> dict[str, tf.Tensor]:
    """Returns the numbers that make a whole batch, where the cost of an operation is shared: nothing is read."""
    rows, segments = draw(step), source.clip.segments
    shape = [batch_size, segments + augment.NUM_RANDOMS]
    randoms = _part(tf.random.stateless_uniform(shape, tf.stack([tf.constant(seed, tf.int64), step])), drawing)
    starts = sampling.random_starts(tf.gather(source.num_items, rows), source.clip, randoms[:, :segments])
    return {"row": rows, "starts": starts, "randoms": randoms[:, segments:], "label": source.labels(rows)}


def validation_batches(
    dataset: DataSet,
    videos: Sequence[Video],
    clip: Input,
    *,
    batch_size: int,
    crop_size: int,
    num_views: int = VALIDATION_VIEWS,
    skipped: Skipped | None = None,
) -> tf.data.Dataset:
    """Builds `(clips, labels)` of a few centred views of each video, in order; with segments, of one view of them.

    Views that can't be read are left out and noted where there is something to note them in.
    """
    source = Source(dataset, videos, clip)
    starts = validation_starts(source, num_views)
    num_views = starts.shape[1]

    @plainly
    def plan(place: tf.Tensor) -> Example:
        row, view = place // num_views, place % num_views
        label = source.labels(row[None])[0]
        noted = tf.stack([tf.constant(IN_VALIDATION, tf.int64), tf.cast(place, tf.int64)])
        return {"row": row, "starts": starts[row, view], "label": label, "place": noted}

    @plainly
    def load(example: Example) -> tf.Tensor:
        one = {"row": example["row"][None], "starts": example["starts"][None]}
        return read_clips(source, one | {"randoms": tf.zeros([1, augment.NUM_RANDOMS])}, crop_size, "none")[0]

    examples = tf.data.Dataset.range(len(videos) * num_views, output_type=tf.int32).map(plan)
    if skipped is None:
        loaded = examples.map(plainly(lambda example: (load(example), example["label"])), num_parallel_calls=at_once())
    else:
        loaded = leaving_out(examples, load, source.names, clip.shape(crop_size), skipped)
    batches = loaded.batch(batch_size)
    if len(videos) * num_views * int(np.prod(clip.shape(crop_size))) <= CACHE_BYTES:
        batches = batches.cache()
    return _with_options(batches.prefetch(2))


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

    @tf.function(reduce_retracing=True, autograph=False)
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
    return _with_options(rows.map(load, num_parallel_calls=usable_processors()).prefetch(2))


def validation_starts(source: Source, num_views: int) -> tf.Tensor:
    """Returns int32[videos, views, segments]: with segments there is one view, of the middles of their parts."""
    if source.clip.segments == 1:
        return all_view_starts(source, num_views)[..., None]
    return sampling.middle_starts(source.num_items, source.clip)[:, None]


def all_view_starts(source: Source, num_views: int) -> tf.Tensor:
    """Returns where the views of each video start, int32[videos, views]."""
    with tf.device("/cpu:0"):
        return tf.constant(sampling.view_starts(source.num_items.numpy(), source.clip.span, num_views))


def read_clips(source: Source, examples: Example, crop_size: int, augmentation: str) -> tf.Tensor:
    """Reads the clips of a few examples: uint8[examples, (segments,) H, W, C]; those of one are cut alike."""
    planes = [
        tf.stack(segment)
        for example in read_planes(source, examples, crop_size, augmentation)
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


def _made_together(source: Source, crop_size: int, size: int) -> int:
    """Returns how many clips are made at a time, of which whole batches of `size` can be put together."""
    clip = source.clip
    small = BYTES_TOGETHER // math.prod(clip.shape(crop_size))
    few = FILES_TOGETHER // (source.num_files * clip.segments)
    return max(number for number in range(1, size + 1) if size % number == 0 and number <= max(1, min(small, few)))


def _each(function: Callable[[tf.Tensor], tf.Tensor], values: Any) -> Any:
    return tf.nest.map_structure(function, values)


def _split(values: tf.Tensor, size: int) -> tf.Tensor:
    """Returns [batch, ...] as [groups, size, ...]."""
    return tf.reshape(values, [-1, size, *values.shape[1:]])


def _joined(values: tf.Tensor) -> tf.Tensor:
    """Returns [groups, size, ...] as [batch, ...]."""
    groups, size, *shape = values.shape
    return tf.reshape(values, [groups * size, *shape])


def _placed(size: int, number: tf.Tensor, example: Example) -> Example:
    return example | {"place": tf.stack([number // size, number % size])}


def _part(values: tf.Tensor, drawing: Drawing) -> tf.Tensor:
    """Returns the part of a batch that this machine makes."""
    shard, num_shards = drawing.shard
    size = values.shape[0] // num_shards
    return values[shard * size : (shard + 1) * size]


def _with_options(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    # Clips are loaded side by side; splitting one clip's work further would only cost.
    options.threading.max_intra_op_parallelism = 1
    # Left to itself, TensorFlow makes ever more clips ahead: more memory, and a third less speed until it has done.
    options.autotune.enabled = False
    return dataset.with_options(options)
