"""Files on disk become training batches and test views."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from data.catalog import DataSet, Video
from pipelines import assemble, augment, sampling
from pipelines.broken import broken_file_message, skipping
from pipelines.device import read_fields
from pipelines.drawing import Draw, Drawing, draw_rows
from pipelines.inputs import Input
from pipelines.source import Source

# Validation crops are kept in memory from one epoch to the next where they take less than this.
CACHE_BYTES = 2**30
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

    def load(example: dict[str, tf.Tensor]) -> Any:
        settings = source, segment_files(source, example), example["randoms"], crop_size, drawing.augment
        return read_fields(*settings, side) if side else read_example(*settings)

    steps = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max // (2 * batch_size))
    examples = steps.map(lambda step: plan_batch(source, draw, step, batch_size, seed, drawing)).unbatch()
    if drawing.skipped is None:
        loaded = examples.map(lambda example: (load(example), example["label"]), num_parallel_calls=tf.data.AUTOTUNE)
        batches = loaded.batch(batch_size // drawing.shard[1], drop_remainder=True)
    else:
        size = batch_size // drawing.shard[1]
        batches = skipping(examples, load, source.names, size, clip.shape(crop_size), drawing.skipped)
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


def segment_files(source: Source, example: dict[str, tf.Tensor]) -> list[dict[str, tf.Tensor]]:
    """Returns the files of each segment of an example."""
    return [source.files(example["row"], start) for start in tf.unstack(example["starts"], source.clip.segments)]


def validation_batches(
    dataset: DataSet,
    videos: Sequence[Video],
    clip: Input,
    *,
    batch_size: int,
    crop_size: int,
    num_views: int = VALIDATION_VIEWS,
) -> tf.data.Dataset:
    """Builds `(clips, labels)` of a few centred views of each video, in order; with segments, of one view of them."""
    source = Source(dataset, videos, clip)
    if clip.segments == 1:
        starts = _all_view_starts(source, num_views)[..., None]
    else:
        num_views, starts = 1, sampling.middle_starts(source.num_items, clip)[:, None]

    def load(place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        row, view = place // num_views, place % num_views
        files = segment_files(source, {"row": row, "starts": starts[row, view]})
        clips = read_example(source, files, tf.zeros([augment.NUM_RANDOMS]), crop_size, "none")
        return clips, source.labels(row[None])[0]

    places = tf.data.Dataset.range(len(videos) * num_views, output_type=tf.int32)
    batches = places.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size)
    if len(videos) * num_views * int(np.prod(clip.shape(crop_size))) <= CACHE_BYTES:
        batches = batches.cache()
    return _with_options(batches.prefetch(2))


def video_views(dataset: DataSet, videos: Sequence[Video], clip: Input, *, num_views: int) -> tf.data.Dataset:
    """Builds a dataset of one element a video: `(uint8[views, H, W, C], label)`, whole frames, in order."""
    views = distinct_views(dataset, videos, clip, num_views=num_views)
    return views.map(lambda distinct, of_view, label: (tf.gather(distinct, of_view), label))


def distinct_views(dataset: DataSet, videos: Sequence[Video], clip: Input, *, num_views: int) -> tf.data.Dataset:
    """Builds one element a video: `(uint8[D, H, W, C], of_view int32[views], label)`.

    A short video has fewer distinct views than are asked for: each is made once, and every file is decoded once for
    all the views that it is part of.
    """
    source = Source(dataset, videos, clip)
    starts = _all_view_starts(source, num_views)

    def load(row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        distinct, of_view = tf.unique(starts[row])
        images, of_file = source.distinct_images(source.files(tf.fill(tf.shape(distinct), row), distinct))
        views = tf.map_fn(
            lambda places: assemble.join(source.assembled(tf.gather(images, places))),
            of_file,
            fn_output_signature=tf.uint8,
        )
        return tf.ensure_shape(views, (None, None, None, clip.channels)), of_view, source.labels(row[None])[0]

    rows = tf.data.Dataset.range(len(videos), output_type=tf.int32)
    return _with_options(rows.map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2))


def explain_failure(
    dataset: DataSet,
    videos: Sequence[Video],
    clip: Input,
    *,
    batch_size: int,
    seed: int,
    step: int,
    drawing: Drawing | None = None,
    validation: Sequence[Video] = (),
) -> str:
    """Returns which file of batch `step`, or of validation, can't be read, and what to type; empty if all can be."""
    drawing, source = drawing or Drawing(), Source(dataset, videos, clip)
    draw = draw_rows(videos, batch_size, seed, drawing)
    plan = plan_batch(source, draw, tf.constant(step, tf.int64), batch_size, seed, drawing)
    segments = tf.shape(plan["starts"])[1]
    files = [source.files(tf.repeat(plan["row"][:, None], segments, axis=1), plan["starts"])]
    if validation:
        source = Source(dataset, validation, clip)
        starts = _all_view_starts(source, VALIDATION_VIEWS)
        files.append(source.files(tf.repeat(tf.range(len(validation))[:, None], VALIDATION_VIEWS, axis=1), starts))
    paths = (path.decode() for part in files for path in part["path"].numpy().ravel())
    return broken_file_message(dataset, source, paths, are_skipped=drawing.skipped is not None)


def read_example(
    source: Source, files: list[dict[str, tf.Tensor]], randoms: tf.Tensor, crop_size: int, augmentation: str
) -> tf.Tensor:
    """Reads the clips of one example, the files of each segment given, cut alike: uint8[(segments,) H, W, C]."""
    contents = [source.contents(segment) for segment in files]
    height, width = tf.unstack(source.frame_size(contents[0][0]))
    if augmentation != "corners":
        fits = tf.minimum(height, width) >= crop_size
        tf.debugging.Assert(fits, ["This frame is smaller than the crop:", files[0]["path"], height, width])
    box = augment.random_box(augmentation, height, width, crop_size, randoms)
    clips = [finish(source, source.planes(segment, box), randoms, crop_size, augmentation) for segment in contents]
    return clips[0] if source.clip.segments == 1 else tf.stack(clips)


def finish(source: Source, planes: list[tf.Tensor], randoms: tf.Tensor, crop_size: int, augmentation: str) -> tf.Tensor:
    """Returns a clip of its planes: resized, mirrored in half of all cases, its colours changed."""
    if augmentation == "none":
        return tf.ensure_shape(assemble.join(planes), (crop_size, crop_size, source.clip.channels))
    is_mirrored = randoms[4] < 0.5
    if source.clip.is_flow:
        planes = tf.cond(is_mirrored, lambda: augment.opposite_x(planes, source.rule), lambda: planes)
    image = assemble.join(planes)
    if augmentation == "corners":
        image = augment.resize(image, crop_size)
    image = tf.ensure_shape(image, (crop_size, crop_size, source.clip.channels))
    image = tf.cond(is_mirrored, lambda: augment.mirror_columns(image), lambda: image)
    if augmentation == "paper" and source.clip.is_colour:
        image = augment.jitter_colour(image, randoms[5:8])
    return image


def _all_view_starts(source: Source, num_views: int) -> tf.Tensor:
    with tf.device("/cpu:0"):
        return tf.constant(sampling.view_starts(source.num_items.numpy(), source.clip.span, num_views))


def _part(values: tf.Tensor, drawing: Drawing) -> tf.Tensor:
    """Returns the part of a batch that this machine makes."""
    shard, num_shards = drawing.shard
    size = values.shape[0] // num_shards
    return values[shard * size : (shard + 1) * size]


def _with_options(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    # Clips are loaded side by side; splitting one clip's work further would only cost.
    options.threading.max_intra_op_parallelism = 1
    # Sharing a batch among machines is `Drawing.shard`'s: TensorFlow would decode everything everywhere.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.with_options(options)
