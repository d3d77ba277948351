"""The clips of a training: which videos each step shows, how clips are cut from them, and the clips to choose by."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from data.catalog import DataSet, Video
from pipelines import augment, sampling
from pipelines.clips import all_view_starts, read_clips, with_options
from pipelines.cutting_on_device import crop, read_fields
from pipelines.drawing import IN_VALIDATION, Draw, Skipped, draw_rows
from pipelines.inputs import AUGMENTATIONS, Input
from pipelines.skipping import Example, leaving_out, skipping
from pipelines.source import Source, at_once, plainly
from pipelines.unreadable import NO_OTHER, SKIP_OR_MEND, Cut, broken_file, frame_of_wrong_size

Shard = tuple[int, int]  # Which of how many equal parts of each batch a machine makes.
WHOLE: Shard = (0, 1)
# Clips, or what they are cut from; by the name of their input where a network has several.
Tensors: TypeAlias = tf.Tensor

# Validation crops stay in memory from one epoch to the next if they take less than this.
CACHE_BYTES = 2**30
# Small clips of few files are made a few at a time: they share the cost of the call that cuts them.
BYTES_TOGETHER, FILES_TOGETHER = 2**21, 160
# How many views of a video are validated on.
VALIDATION_VIEWS = 3


class Clips:
    """What a training asks of its clips; the defaults suit clips that are neither skipped nor cut on the device."""

    tasks: tuple[int, ...] = ()  # The number of classes of each data set, if the scores of several stand side by side.
    skipped: Skipped | None = None  # The clips that could not be read and were left out, if that is allowed.

    @property
    def steps_per_epoch(self) -> int:
        """How many whole batches one pass over the videos makes."""
        raise NotImplementedError

    def batches(self, step: int = 0, shard: Shard = WHOLE) -> tf.data.Dataset:
        """Builds an endless dataset of `(clips, labels)` from `step` on, or of a machine's part of each batch."""
        raise NotImplementedError

    def validation(self) -> tf.data.Dataset | None:
        """Builds the batches that weights are chosen by, in a fixed order; None if nothing is chosen."""
        raise NotImplementedError

    def names(self, step: int) -> Sequence[str]:
        """Returns the names of the videos in the batch of a step, if they are known."""
        return ()

    def broken(self, step: int) -> str:
        """Returns which file of a step's batch can't be read, and what to do about it; empty if all can be."""
        return ""

    def cut(self, clips: Tensors) -> Tensors:
        """Makes clips of what batches hold, where the network runs."""
        return clips

    def num_skipped(self, steps: int) -> dict[str, int]:
        """Returns how many clips of each video were left out of `steps` steps and of validation, the most first."""
        return dict(Counter(video for video, step, _ in list(self.skipped or ()) if step < steps).most_common())


@dataclass(frozen=True)
class ClipStream(Clips):
    """Clips of one kind from the videos of one data set. A batch depends on the seed and the step alone."""

    dataset: DataSet
    videos: Sequence[Video]
    clip: Input
    batch_size: int
    crop_size: int
    _: KW_ONLY
    seed: int = 0
    augment: str = "flip"  # One of AUGMENTATIONS.
    balance: bool = False  # Draw classes alike, however many videos each has.
    shown: str = "pixels"  # One of SHOWN: what of a frame a clip shows.
    on_device: bool = False  # Batches hold whole frames, and `cut` cuts the clips where the network runs.
    held_out: Sequence[Video] = ()  # The videos that weights are chosen by.
    skipped: Skipped | None = None  # Notes clips that can't be read, instead of stopping at them.

    def __post_init__(self) -> None:
        """Refuses sizes and augmentations that don't exist, and choices that exclude each other."""
        for name in ("batch_size", "crop_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received {getattr(self, name)}.")
        if self.on_device and self.skipped is not None:
            raise ValueError("Clips that can't be read can be skipped only if the pipeline cuts, not the device.")
        if self.on_device and self.shown == "whole":
            raise ValueError("Whole frames are squeezed where they are read, not on the device. Pass --crop-on host.")
        if self.augment not in AUGMENTATIONS:
            known = ", ".join(AUGMENTATIONS)
            raise ValueError(f"There is no augmentation {self.augment!r}. Those known are: {known}.")

    @cached_property
    def source(self) -> Source:
        """Where the files of the videos lie."""
        return Source(self.dataset, self.videos, self.clip)

    @property
    def steps_per_epoch(self) -> int:
        """How many whole batches one pass over the videos makes."""
        return len(self.videos) // self.batch_size

    def batches(self, step: int = 0, shard: Shard = WHOLE) -> tf.data.Dataset:
        """Builds an endless dataset of `(clips, labels)` from `step` on, or of a machine's part of each batch.

        Every pass over the videos takes one random clip from each, so that long videos weigh no more than short
        ones (Sec. 5 of the paper).
        """
        source = self.source  # Made here: a tensor that is made inside a graph belongs to that graph alone.
        side = source.short_side() if self.on_device else 0
        draw, size = self._draw(shard), self.batch_size // shard[1]
        steps = tf.data.Dataset.range(step, np.iinfo(np.int64).max // (2 * self.batch_size))
        plans = steps.map(plainly(lambda step: self._plan(draw, step, shard)))
        batches = self._loaded(plans, size, side) if self.skipped is None else self._replaced(plans, size, step)
        # One batch made while another is used is all that helps; TensorFlow's own choice may keep many.
        batches = batches.prefetch(2)
        return with_options(batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)))

    def validation(self, num_views: int = VALIDATION_VIEWS) -> tf.data.Dataset | None:
        """Builds `(clips, labels)` of a few centred views of each held-out video, in order; None without such videos.

        With segments there is one view of each video. Views that can't be read are left out if `skipped` notes them.
        """
        if not self.held_out:
            return None
        source = Source(self.dataset, self.held_out, self.clip)
        starts = _validation_starts(source, num_views)
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
            return read_clips(
                source, one | {"randoms": tf.zeros([1, augment.NUM_RANDOMS])}, self.crop_size, "none", self.shown
            )[0]

        shape = self.clip.shape(self.crop_size)
        examples = tf.data.Dataset.range(len(self.held_out) * num_views, output_type=tf.int32).map(plan)
        if self.skipped is None:
            load_one = plainly(lambda example: (load(example), example["label"]))
            loaded = examples.map(load_one, num_parallel_calls=at_once())
        else:
            loaded = leaving_out(examples, load, source.names, shape, self.skipped)
        batches = loaded.batch(self.batch_size)
        if len(self.held_out) * num_views * math.prod(shape) <= CACHE_BYTES:
            batches = batches.cache()
        return with_options(batches.prefetch(2))

    def rows(self, step: tf.Tensor) -> tf.Tensor:
        """Returns which of the videos the batch of a step shows, int32[batch]."""
        return self._draw(WHOLE)(step)

    def names(self, step: int) -> tuple[str, ...]:
        """Returns the names of the videos in the batch of a step, in order."""
        return tuple(self.videos[row].name for row in self.rows(tf.constant(step, tf.int64)).numpy())

    def broken(self, step: int) -> str:
        """Returns which file of a step's batch, or of validation, can't be read or cut, and what to do about it."""
        plan = self.plan(step)
        largest = self.source.short_side() if self.on_device else 0
        cut = Cut(self.crop_size if self.shown == "pixels" else 1, self.augment, largest)
        advice = SKIP_OR_MEND if self.skipped is None else NO_OTHER
        said = broken_file(self.source, plan["row"], plan["starts"], advice)
        said = said or frame_of_wrong_size(self.source, plan["row"], plan["starts"], cut)
        if said or self.skipped is not None or not self.held_out:
            return said
        source, rows = Source(self.dataset, self.held_out, self.clip), tf.range(len(self.held_out))
        starts = tf.reshape(_validation_starts(source, VALIDATION_VIEWS), [len(self.held_out), -1])
        said = broken_file(source, rows, starts, SKIP_OR_MEND)
        return said or frame_of_wrong_size(
            source, rows, starts, Cut(self.crop_size if self.shown == "pixels" else 1, "none")
        )

    def cut(self, clips: Tensors) -> Tensors:
        """Makes clips of what batches hold, where the network runs."""
        return crop(clips, self.clip, self.crop_size, self.augment, self.source.rule) if self.on_device else clips

    def plan(self, step: int) -> Example:
        """Returns the numbers that make the whole batch of a step; nothing is read."""
        return self._plan(self._draw(WHOLE), tf.constant(step, tf.int64), WHOLE)

    def _plan(self, draw: Draw, step: tf.Tensor, shard: Shard) -> Example:
        """Returns the numbers that make a batch, all at once, so that its clips share the cost of the operations."""
        rows, segments = draw(step), self.clip.segments
        shape = [self.batch_size, segments + augment.NUM_RANDOMS]
        randoms = tf.random.stateless_uniform(shape, tf.stack([tf.constant(self.seed, tf.int64), step]))
        randoms = _part(randoms, shard)
        starts = sampling.random_starts(tf.gather(self.source.num_items, rows), self.clip, randoms[:, :segments])
        return {"row": rows, "starts": starts, "randoms": randoms[:, segments:], "label": self.source.labels(rows)}

    def _draw(self, shard: Shard) -> Draw:
        return draw_rows(self.videos, self.batch_size, self.seed, balance=self.balance, shard=shard)

    def _loaded(self, plans: tf.data.Dataset, size: int, side: int) -> tf.data.Dataset:
        """Reads the clips of each plan, or squares of `side` for the device, and puts batches of `size` together."""
        together = 1 if self.on_device else _made_together(self.source, self.crop_size, size)
        groups = plans.map(plainly(lambda plan: _each(lambda values: _split(values, together), plan))).unbatch()
        loaded = groups.map(
            plainly(lambda group: (self._load(group, side), group["label"])), num_parallel_calls=at_once()
        )
        batches = loaded.batch(size // together, drop_remainder=True)
        return batches.map(plainly(lambda *grouped: _each(_joined, grouped)))

    def _replaced(self, plans: tf.data.Dataset, size: int, step: int) -> tf.data.Dataset:
        """Reads one clip at a time, and puts another of its batch in the place of one that can't be read."""

        def load_one(example: Example) -> tf.Tensor:
            return self._load(_each(lambda values: values[None], example))[0]

        assert self.skipped is not None
        examples = plans.unbatch().enumerate(step * size).map(plainly(partial(_placed, size)))
        return skipping(examples, load_one, self.source.names, size, self.clip.shape(self.crop_size), self.skipped)

    def _load(self, examples: Example, side: int = 0) -> Tensors:
        if side:
            return read_fields(self.source, examples, self.crop_size, self.augment, side, self.shown)
        return read_clips(self.source, examples, self.crop_size, self.augment, self.shown)


def _validation_starts(source: Source, num_views: int) -> tf.Tensor:
    """Returns int32[videos, views, segments]: with segments there is one view, of the middles of their parts."""
    if source.clip.segments == 1:
        return all_view_starts(source, num_views)[..., None]
    return sampling.middle_starts(source.num_items, source.clip)[:, None]


def _made_together(source: Source, crop_size: int, size: int) -> int:
    """Returns how many clips are made at a time: a divisor of `size`."""
    clip = source.clip
    small = BYTES_TOGETHER // math.prod(clip.shape(crop_size))
    few = FILES_TOGETHER // (source.num_files * clip.segments)
    return max(number for number in range(1, size + 1) if size % number == 0 and number <= max(1, min(small, few)))


def _each(function: Callable[[tf.Tensor], tf.Tensor], values: Tensors) -> Tensors:
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


def _part(values: tf.Tensor, shard: Shard) -> tf.Tensor:
    """Returns the part of a batch that this machine makes."""
    index, number = shard
    size = values.shape[0] // number
    return values[index * size : (index + 1) * size]
