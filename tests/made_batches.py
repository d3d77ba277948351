"""Batches of the made data sets as NumPy, and what they show."""

from itertools import islice

from pipelines.clips import train_batches


def videos_of(dataset):
    return list(dataset.videos.values())


def take(dataset, clip, steps=1, **settings):
    """The first batches as NumPy."""
    settings = {"batch_size": 6, "crop_size": 32} | settings
    batches = train_batches(dataset, videos_of(dataset), clip, **settings)
    return [(clips.numpy(), labels.numpy()) for clips, labels in islice(batches, steps)]


def levels_of(clip):
    """The level of each channel of a clip of flat images."""
    assert (clip == clip[..., :1, :1, :]).all()
    return clip[..., 0, 0, :]


def is_run(levels, level_of, length):
    """Whether the levels are those of consecutive indexes."""
    return any([level_of(start + i) for i in range(length)] == list(levels) for start in range(12))
