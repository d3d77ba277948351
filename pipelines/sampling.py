"""Chooses the videos of each batch, and the frames or fields of each clip. It works on integers only, not on images.

Everything random is a pure function of seed and step, so any step can be computed by itself.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from data.catalog import Video
from data.store.mapped_index import VideoRows
from pipelines.inputs import Input

Numbers: TypeAlias = np.ndarray | tf.Tensor
# A function from a step to the rows of its videos, int32[batch].
Draw = Callable[[tf.Tensor], tf.Tensor]


def draw_rows(videos: Sequence[Video], batch_size: int, seed: int, *, balance: bool = False) -> Draw:
    """Returns the function from a step to the rows of the videos in its batch."""
    # Every pass over the videos shows each of them once, in a new order. Nothing is shuffled in memory.
    draw = _balanced(videos, seed) if balance else partial(_shuffled, count=len(videos), seed=seed)
    return lambda step: draw(step * batch_size + tf.range(batch_size, dtype=tf.int64))


def random_starts(num_items: tf.Tensor, clip: Input, randoms: tf.Tensor) -> tf.Tensor:
    """Returns the start of each clip, int32[B, segments], from numbers in 0..1 of that shape."""
    # The possible starts of whole clips are divided among the segments. Each segment takes one start from its part.
    lower, upper = _parts(num_items, clip)
    drawn = tf.cast(randoms * tf.cast(upper - lower, tf.float32), tf.int32)
    # Rounding may make a float just below 1, times a long range, the range itself.
    return lower + tf.minimum(drawn, upper - lower - 1)


def middle_starts(num_items: tf.Tensor, clip: Input) -> tf.Tensor:
    """Returns the middle start of each segment's part, int32[B, segments]."""
    lower, upper = _parts(num_items, clip)
    return (lower + upper - 1) // 2


def clip_offsets(clip: Input) -> np.ndarray:
    """Returns the items of a clip relative to its start, in the order of its channels."""
    offsets = np.arange(clip.num_items, dtype=np.int32)
    if clip.is_spread:
        return _spread(clip, clip.window)
    if clip.kind == "bidirectional":  # Forward from the middle frame, then backward from it.
        offsets = np.concatenate([offsets[clip.length // 2 :], offsets[: clip.length // 2][::-1]])
    return offsets * np.int32(clip.stride)


def clip_items(clip: Input, starts: Numbers, num_items: Numbers) -> Numbers:
    """Returns the items of clips that start at `starts` [...] in videos of `num_items` [...], int32[..., items]."""
    # A video that is too short is repeated from its beginning. A spread clip takes the middles of equal parts.
    num_items = num_items[..., None]
    if clip.is_spread and not clip.window:
        return _spread(clip, num_items) % num_items
    return (starts[..., None] + clip_offsets(clip)) % num_items


def _spread(clip: Input, num_items: Numbers | int) -> Numbers:
    """Returns the items at the middles of equal parts of a video, and for stacks those that follow."""
    place, later = np.divmod(np.arange(clip.num_items, dtype=np.int32), np.int32(clip.in_a_row))
    latest = num_items - clip.in_a_row
    starts = (latest + abs(latest)) // 2 + 1  # At least one, however short the video is. This works for tensors too.
    return (2 * place + 1) * starts // (2 * (clip.num_items // clip.in_a_row)) + later


def view_starts(num_items: int | np.ndarray, length: int, num_views: int, sampling: str = "ends") -> np.ndarray:
    """Returns starts spread evenly over a video, int32[..., num_views]; `length` is the span of a clip."""
    latest = np.maximum(np.asarray(num_items, np.int64) - length, 0)[..., None]
    if sampling == "middles":  # The middles of equal parts of all starts, as in temporal segment networks.
        return ((2 * np.arange(num_views) + 1) * (latest + 1) // (2 * num_views)).astype(np.int32)
    if num_views == 1:
        return (latest // 2).astype(np.int32)
    gaps = num_views - 1  # The gaps between views. The first and the last whole clip are among the views.
    # Rounded to the nearest in integers, because a float might be on either side of a half.
    return ((2 * np.arange(num_views) * latest + gaps) // (2 * gaps)).astype(np.int32)


def _parts(num_items: tf.Tensor, clip: Input) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the first start of each segment's part and the one after its last, int32[B, segments] each."""
    starts = tf.maximum(num_items - clip.span, 0)[:, None] + 1
    edges = tf.range(clip.segments + 1)[None] * starts // clip.segments
    lower = tf.minimum(edges[:, :-1], starts - 1)
    # If a video has fewer starts than segments, neighbours share a start.
    return lower, tf.maximum(edges[:, 1:], lower + 1)


def _balanced(videos: Sequence[Video], seed: int) -> Draw:
    """Draws a class, each of them once per round, and then a video of it, each of them once per pass over the class."""
    classes = _rows_of_classes(videos)
    with tf.device("/cpu:0"):
        rows = tf.constant(np.concatenate(classes), tf.int32)
        counts = tf.constant([len(members) for members in classes], tf.int64)
    first = tf.cumsum(counts, exclusive=True)

    def draw(places: tf.Tensor) -> tf.Tensor:
        label = tf.cast(_shuffled(places, len(classes), seed, -1), tf.int64)
        member = _shuffled(places // len(classes), tf.gather(counts, label), seed, label)
        return tf.gather(rows, tf.gather(first, label) + tf.cast(member, tf.int64))

    return draw


def _rows_of_classes(videos: Sequence[Video]) -> list[np.ndarray]:
    """Returns the rows of the videos of each class."""
    if isinstance(videos, VideoRows) and not videos.whole.about["multi_label"]:
        labels = videos.column("label")
        rows, counts = np.argsort(labels, kind="stable").astype(np.int32), np.bincount(labels)
        return np.split(rows, np.cumsum(counts[counts > 0])[:-1])
    rows_of: dict[int, list[int]] = {}
    for row, video in enumerate(videos):
        for label in video.labels:
            rows_of.setdefault(label, []).append(row)
    return [np.array(rows_of[label], np.int32) for label in sorted(rows_of)]


def _shuffled(places: tf.Tensor, count: tf.Tensor | int, seed: int, stream: tf.Tensor | int = 0) -> tf.Tensor:
    """Returns the values, int32, at places in a sequence of passes; each pass is a permutation of 0..count - 1."""
    # Permutations are never stored: each place is computed by itself. Streams of one seed have different permutations.
    each = (np.int64(seed), places // count, stream, tf.cast(count, tf.int64) - 1)
    seeds = [tf.broadcast_to(tf.cast(values, tf.int64), tf.shape(places)) for values in each]
    # tf.random.experimental.index_shuffle uses 4 rounds. These keep neighbours together, and for seeds such as 0 all
    # passes are alike.
    moved = tf.raw_ops.RandomIndexShuffle(
        index=places % count, seed=tf.cast(tf.stack(seeds[:3], axis=1), tf.int32), max_index=seeds[3], rounds=16
    )
    return tf.cast(moved, tf.int32)
