"""Batches of the made data sets as NumPy, and what they show."""

from itertools import islice

import tensorflow as tf

from pipelines.assemble import channel_planes, join
from pipelines.clip_stream import ClipStream
from pipelines.sampling import clip_offsets


def videos_of(dataset):
    return list(dataset.videos.values())


def stream_of(dataset, clip, batch_size=6, crop_size=32, **settings):
    """The stream of clips from all videos."""
    return ClipStream(dataset, videos_of(dataset), clip, batch_size, crop_size, **settings)


def take(dataset, clip, steps=1, *, step=0, shard=(0, 1), **settings):
    """The first batches from a step on, as NumPy."""
    batches = stream_of(dataset, clip, **settings).batches(step, shard)
    return [(clips.numpy(), labels.numpy()) for clips, labels in islice(batches, steps)]


def levels_of(clip):
    """The level of each channel of a clip of flat images."""
    assert (clip == clip[..., :1, :1, :]).all()
    return clip[..., 0, 0, :]


def is_run(levels, level_of, length):
    """Whether the levels are those of consecutive indexes."""
    return any([level_of(start + i) for i in range(length)] == list(levels) for start in range(12))


def clip_of_items(items, clip, rule="centred", bound=20.0):
    """The clip, uint8[H, W, channels], of consecutive frames [n, H, W, 3 or 1] or fields [n, H, W, 2].

    Kinds of grey frames want grey items: the luma that a JPEG holds, not a mixture of its decoded colours.
    """
    ordered = [tf.convert_to_tensor(items[offset]) for offset in clip_offsets(clip)]
    planes = [plane for item in ordered for plane in tf.split(item, 2, axis=-1)] if clip.is_flow else ordered
    return join(channel_planes(planes, clip, rule, bound))
