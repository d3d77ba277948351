"""Batches of the made data sets as NumPy, and what they show."""

from itertools import islice

from pipelines.clip_stream import ClipStream


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
