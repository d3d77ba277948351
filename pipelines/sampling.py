"""Which frames or fields make a clip: integers only, so that it can be reasoned about and tested without images."""

import numpy as np
import tensorflow as tf

from pipelines.inputs import Input


def random_starts(num_items: tf.Tensor, clip: Input, randoms: tf.Tensor) -> tf.Tensor:
    """Returns where the clips of each video start, int32[B, segments], from numbers in 0..1 of that shape.

    The possible starts, early enough for a whole clip where the video is long enough, are cut into equal parts,
    one a segment, and one start is taken from each.
    """
    lower, upper = _parts(num_items, clip)
    drawn = tf.cast(randoms * tf.cast(upper - lower, tf.float32), tf.int32)
    # A float just below 1 times a long range may round up to the range itself.
    return lower + tf.minimum(drawn, upper - lower - 1)


def middle_starts(num_items: tf.Tensor, clip: Input) -> tf.Tensor:
    """Returns the middle start of each segment's part, int32[B, segments]."""
    lower, upper = _parts(num_items, clip)
    return (lower + upper - 1) // 2


def clip_offsets(clip: Input) -> np.ndarray:
    """Returns the items of a clip relative to its start, in the order of its channels.

    A bidirectional clip goes forward from its middle, then backward from there.
    """
    offsets = np.arange(clip.num_items, dtype=np.int32)
    if clip.is_spread:
        return (2 * offsets + 1) * clip.window // (2 * clip.num_items)
    if clip.kind == "bidirectional":
        offsets = np.concatenate([offsets[clip.length // 2 :], offsets[: clip.length // 2][::-1]])
    return offsets * np.int32(clip.stride)


def clip_items(
    clip: Input, starts: np.ndarray | tf.Tensor, num_items: np.ndarray | tf.Tensor
) -> np.ndarray | tf.Tensor:
    """Returns the items of clips that start at `starts` [...] of videos with `num_items` [...], int32[..., items]."""
    # A video that is too short starts again from its beginning. A spread clip takes the middles of equal parts.
    num_items = num_items[..., None]
    if clip.is_spread and not clip.window:
        return (2 * np.arange(clip.num_items, dtype=np.int32) + 1) * num_items // (2 * clip.num_items)
    return (starts[..., None] + clip_offsets(clip)) % num_items


def view_starts(num_items: int | np.ndarray, length: int, num_views: int) -> np.ndarray:
    """Returns starts spread evenly over a video, its first and its last whole clip among them: int32[..., num_views].

    `length` is the span of a clip; one view is the middle one.
    """
    latest = np.maximum(np.asarray(num_items, np.int64) - length, 0)[..., None]
    if num_views == 1:
        return (latest // 2).astype(np.int32)
    gaps = num_views - 1
    # Rounded to the nearest in integers, where a float might fall on either side of a half.
    return ((2 * np.arange(num_views) * latest + gaps) // (2 * gaps)).astype(np.int32)


def _parts(num_items: tf.Tensor, clip: Input) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the first start of each segment's part and the one after its last, int32[B, segments] each."""
    starts = tf.maximum(num_items - clip.span, 0)[:, None] + 1
    edges = tf.range(clip.segments + 1)[None] * starts // clip.segments
    lower = tf.minimum(edges[:, :-1], starts - 1)
    # Where a video is shorter than its segments, neighbours share a start.
    return lower, tf.maximum(edges[:, 1:], lower + 1)
