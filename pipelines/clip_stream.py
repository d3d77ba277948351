"""Makes the clips of a training: the batch of each step, and the validation clips."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from data.catalog import DataSet, Video
from pipelines import augment, sampling
from pipelines.cutting import read_clips
from pipelines.cutting_on_device import crop, read_fields
from pipelines.inputs import AUGMENTATIONS, Input
from pipelines.skipping import IN_VALIDATION, Skipped, leaving_out, skipping
from pipelines.source import Example, Source, at_once, plainly, source_of
from pipelines.unreadable import NO_OTHER, SKIP_OR_MEND, Cut, broken_file, frame_of_wrong_size

# The part of each batch that one machine makes: its number, counted from 0, and the number of equal parts.
Shard = tuple[int, int]
WHOLE: Shard = (0, 1)
# Clips, or the planes from which the device cuts them. For a network of several inputs, a dictionary of them by name.
Tensors: TypeAlias = tf.Tensor

# Validation crops stay in memory from one epoch to the next if they take less than this.
CACHE_BYTES = 2**30
# Small clips of few files are made several at a time, which shares the cost of a call.
BYTES_TOGETHER, FILES_TOGETHER = 2**21, 160
# How many views of each video the validation uses.
VALIDATION_VIEWS = 3
_VIEWS_PLANNED = 1024


class Clips:
    """The interface of a source of clips. The defaults suit clips that are neither skipped nor cut on the device."""

    videos: Sequence[Video]  # The videos for training.
    tasks: tuple[int, ...] = ()  # The number of classes of each data set, if the network scores several data sets.
    skipped: Skipped | None = None  # The clips that could not be read and were skipped, if that is allowed.

    @property
    def parts(self) -> Mapping[str, "ClipStream"]:
        """The streams of clips by the name of the network's input. A single stream has no name."""
        return {}

    def changed(self, change: Callable[["ClipStream"], "ClipStream"]) -> "Clips":
        """Returns these clips with each of their streams changed."""
        raise NotImplementedError

    @property
    def steps_per_epoch(self) -> int:
        """The number of whole batches in one pass over the videos."""
        raise NotImplementedError

    def batches(self, step: int = 0, shard: Shard = WHOLE) -> tf.data.Dataset:
        """Builds an endless dataset of `(clips, labels)` from `step` on, or of a machine's part of each batch."""
        raise NotImplementedError

    def validation(self) -> tf.data.Dataset | None:
        """Builds the validation batches, in a fixed order; None if there is no validation."""
        raise NotImplementedError

    def names(self, step: int) -> Sequence[str]:
        """Returns the names of the videos in the batch of a step, if they are known."""
        return ()

    def broken(self, step: int) -> str:
        """Returns a message about an unreadable file of a step's batch and its repair, or "" if all can be read."""
        return ""

    def cut(self, clips: Tensors, labels: tf.Tensor) -> tuple[Tensors, tf.Tensor]:
        """Cuts clips out of the batches' contents, on the device where the network runs, with their labels."""
        return clips, labels

    def num_skipped(self, steps: int) -> dict[str, int]:
        """Returns how many clips of each video were skipped in `steps` steps and in validation, highest first."""
        return dict(Counter(video for video, step, _ in list(self.skipped or ()) if step < steps).most_common())


@dataclass(frozen=True)
class ClipStream(Clips):
    """Clips of one kind from the videos of one data set. A batch depends on the seed and the step alone.

    Every pass over the videos takes one random clip from each, so that long videos weigh no more than short ones
    (Sec. 5 of the paper).
    """

    dataset: DataSet
    videos: Sequence[Video]
    clip: Input
    batch_size: int
    crop_size: int
    _: KW_ONLY
    seed: int = 0
    augment: str = "flip"  # One of AUGMENTATIONS.
    balance: bool = False  # Draw all classes equally often, however many videos each has.
    shown: str = "pixels"  # One of SHOWN: how much of a frame a clip shows.
    on_device: bool = False  # Batches hold whole frames, and `cut` cuts the clips where the network runs.
    held_out: Sequence[Video] = ()  # The validation videos.
    skipped: Skipped | None = None  # Clips that can't be read are counted here. None raises an error for them.

    def __post_init__(self) -> None:
        """Raises ValueError for impossible sizes, unknown augmentations, and choices that exclude each other."""
        for is_wrong, message in _REFUSED:
            if is_wrong(self):
                raise ValueError(message.format(**vars(self)))

    @cached_property
    def source(self) -> Source:
        """The source that reads the files of the videos."""
        return source_of(self.dataset, self.videos, self.clip)

    @cached_property
    def rows(self) -> sampling.Draw:
        """The function from a step to the rows of the videos that its batch shows, int32[batch]."""
        return sampling.draw_rows(self.videos, self.batch_size, self.seed, balance=self.balance)

    @property
    def parts(self) -> Mapping[str, "ClipStream"]:
        """The only stream."""
        return {"": self}

    def changed(self, change: Callable[["ClipStream"], "ClipStream"]) -> "ClipStream":
        """Returns these clips, changed."""
        return change(self)

    @property
    def steps_per_epoch(self) -> int:
        """The number of whole batches in one pass over the videos."""
        return len(self.videos) // self.batch_size

    def batches(self, step: int = 0, shard: Shard = WHOLE) -> tf.data.Dataset:
        """Builds an endless dataset of `(clips, labels)` from `step` on, or of a machine's part of each batch."""
        index, number = shard
        size = self.batch_size // number
        if size * number != self.batch_size:
            raise _not_shared(self.batch_size, number)
        self.plan(step)  # Makes the constants of plans now: a constant that is made in a graph belongs to that graph.
        part = plainly(lambda step: {name: values[index * size :][:size] for name, values in self.plan(step).items()})
        plans = tf.data.Dataset.range(step, np.iinfo(np.int64).max // (2 * self.batch_size)).map(part)
        batches = self._loaded(plans, size) if self.skipped is None else self._replaced(plans, size, step)
        # More than one batch ahead brings no speed, and TensorFlow's own choice may hold many.
        batches = batches.prefetch(2).with_options(self.source.options)
        return batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    def validation(self, num_views: int = VALIDATION_VIEWS) -> tf.data.Dataset | None:
        """Builds `(clips, labels)` of a few views of each held-out video, in order; None without such videos."""
        if not self.held_out:
            return None
        source = source_of(self.dataset, self.held_out, self.clip)
        shape, count = self.clip.shape(self.crop_size), _number_of_views(source, num_views) * len(self.held_out)
        load = plainly(partial(self._one_clip, source, "none"))
        blocks = tf.data.Dataset.range(0, count, _VIEWS_PLANNED)  # Not all at once: there may be millions.
        places = blocks.map(plainly(lambda first: tf.range(first, tf.minimum(first + _VIEWS_PLANNED, count))))
        examples = places.map(plainly(partial(_validation_views, source, num_views))).unbatch()
        examples = examples.apply(tf.data.experimental.assert_cardinality(count))
        if self.skipped is None:
            load_one = plainly(lambda example: (load(example), example["label"]))
            loaded = examples.map(load_one, num_parallel_calls=at_once())
        else:  # Unreadable views are left out and counted.
            loaded = leaving_out(examples, load, source.columns, shape, self.skipped)
        batches = loaded.batch(self.batch_size)
        if count * math.prod(shape) <= CACHE_BYTES:
            batches = batches.cache()
        return batches.prefetch(2).with_options(source.options)

    def names(self, step: int) -> tuple[str, ...]:
        """Returns the names of the videos in the batch of a step, in order."""
        return tuple(self.videos[row].name for row in self.rows(tf.constant(step, tf.int64)).numpy())

    def broken(self, step: int) -> str:
        """Returns a message about a file of a batch, or of validation, that can't be read or cut, and its repair."""
        plan = self.plan(step)
        cut = Cut(self.crop_size if self.shown == "pixels" else 1, self.augment, self._largest)
        advice = SKIP_OR_MEND if self.skipped is None else NO_OTHER
        said = broken_file(self.source, plan["row"], plan["starts"], advice)
        said = said or frame_of_wrong_size(self.source, plan["row"], plan["starts"], cut)
        if said or self.skipped is not None or not self.held_out:
            return said
        source = source_of(self.dataset, self.held_out, self.clip)
        count = _number_of_views(source, VALIDATION_VIEWS) * len(self.held_out)
        views = _validation_views(source, VALIDATION_VIEWS, tf.range(count, dtype=tf.int64))
        said = broken_file(source, views["row"], views["starts"], SKIP_OR_MEND)
        return said or frame_of_wrong_size(source, views["row"], views["starts"], Cut(cut.crop_size, "none"))

    def cut(self, clips: Tensors, labels: tf.Tensor) -> tuple[Tensors, tf.Tensor]:
        """Cuts clips out of the batches' contents, on the device where the network runs, with their labels."""
        return self._cropped(clips) if self.on_device else clips, labels

    def plan(self, step: int | tf.Tensor) -> Example:
        """Returns the numbers from which the whole batch of a step is made; no file is read."""
        step, segments = tf.convert_to_tensor(step, tf.int64), self.clip.segments
        rows, shape = self.rows(step), [self.batch_size, segments + augment.NUM_RANDOMS]
        randoms = tf.random.stateless_uniform(shape, tf.stack([tf.constant(self.seed, tf.int64), step]))
        starts = sampling.random_starts(self.source.columns("num_items", rows), self.clip, randoms[:, :segments])
        labels = self.source.columns("label", rows)
        return {"row": rows, "starts": starts, "randoms": randoms[:, segments:], "label": labels}

    @property
    def _largest(self) -> int:
        """The longest side that the device can cut, or 0 if it does not cut."""
        return self.source.short_side() if self.on_device else 0

    def _cropped(self, clips: Tensors) -> tf.Tensor:
        return crop(clips, self.clip, self.crop_size, self.augment, self.source.rule)

    def _loaded(self, plans: tf.data.Dataset, size: int) -> tf.data.Dataset:
        """Reads the clips of each plan, or whole fields for the device, and makes batches of `size`."""
        together = 1 if self.on_device else _made_together(self.source, self.crop_size, size)
        read = partial(read_fields, side=self._largest) if self.on_device else read_clips
        load = plainly(
            lambda group: (read(self.source, group, self.crop_size, self.augment, shown=self.shown), group["label"])
        )
        groups = plans.rebatch(together, drop_remainder=True)
        return groups.map(load, num_parallel_calls=at_once()).rebatch(size, drop_remainder=True)

    def _replaced(self, plans: tf.data.Dataset, size: int, step: int) -> tf.data.Dataset:
        """Reads one clip at a time, and replaces a clip that can't be read by another one of its batch."""
        assert self.skipped is not None
        load, shape = plainly(partial(self._one_clip, self.source, self.augment)), self.clip.shape(self.crop_size)
        examples = plans.unbatch().enumerate(step * size).map(plainly(partial(_placed, size)))
        return skipping(examples, load, self.source.columns, size, shape, self.skipped)

    def _one_clip(self, source: Source, augmentation: str, example: Example) -> tf.Tensor:
        examples = {name: values[None] for name, values in example.items()}
        return read_clips(source, examples, self.crop_size, augmentation, self.shown)[0]


# Impossible choices, each with its message.
_REFUSED: tuple[tuple[Callable[[ClipStream], bool], str], ...] = (
    (lambda clips: clips.batch_size < 1, "batch_size must be at least 1. Received {batch_size}."),
    (lambda clips: clips.crop_size < 1, "crop_size must be at least 1. Received {crop_size}."),
    (
        lambda clips: clips.on_device and clips.skipped is not None,
        "Clips that can't be read can be skipped only if the pipeline cuts, not the device.",
    ),
    (
        lambda clips: clips.on_device and clips.shown == "whole",
        "Whole frames are squeezed where they are read, not on the device. Pass --crop-on host.",
    ),
    (
        lambda clips: clips.augment not in AUGMENTATIONS,
        f"There is no augmentation {{augment!r}}. Those known are: {', '.join(AUGMENTATIONS)}.",
    ),
)


def _not_shared(batch_size: int, machines: int) -> ValueError:
    return ValueError(f"A batch of {batch_size} can't be shared by {machines} machines: pass a multiple of {machines}.")


def _number_of_views(source: Source, wanted: int) -> int:
    """Returns the number of views of a video. With segments, there is one, of the middles of its parts."""
    return wanted if source.clip.segments == 1 else 1


def _validation_views(source: Source, wanted: int, places: tf.Tensor) -> Example:
    """Returns the numbers from which the views at some places are made; places count the views video by video."""
    number = _number_of_views(source, wanted)
    with tf.device("/cpu:0"):
        rows = tf.cast(places // number, tf.int32)
        if source.clip.segments == 1:
            starts = tf.gather(source.view_starts(rows, number), places % number, axis=1, batch_dims=1)[:, None]
        else:
            starts = sampling.middle_starts(source.columns("num_items", rows), source.clip)
        return {
            "row": rows,
            "starts": starts,
            "randoms": tf.zeros([tf.size(places), augment.NUM_RANDOMS]),
            "label": source.columns("label", rows),
            "place": tf.stack([tf.fill(tf.shape(places), np.int64(IN_VALIDATION)), places], axis=1),
        }


def _made_together(source: Source, crop_size: int, size: int) -> int:
    """Returns how many clips are made at a time: a divisor of `size`."""
    clip = source.clip
    small = BYTES_TOGETHER // math.prod(clip.shape(crop_size))
    few = FILES_TOGETHER // (source.num_files * clip.segments)
    return max(number for number in range(1, size + 1) if size % number == 0 and number <= max(1, min(small, few)))


def _placed(size: int, number: tf.Tensor, example: Example) -> Example:
    return example | {"place": tf.stack([number // size, number % size])}
