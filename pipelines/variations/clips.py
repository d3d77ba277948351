"""Clips that are varied where the network runs, in the same way for all streams: a function of seed, step and place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tensorflow as tf

from data.catalog import Video
from pipelines.clip_stream import WHOLE, Clips, Shard, Tensors
from pipelines.source import plainly
from pipelines.variations import pixels
from pipelines.variations.drawn import NUM_MIX_RANDOMS, NUM_RANDOMS, drawn, drawn_mix, moves_places

# Separates these random numbers from those that choose clips.
_STREAM = 0x7A1E


@dataclass(frozen=True)
class Varied(Clips):
    """The clips of another source, varied by `amounts`."""

    clips: Clips
    amounts: Mapping[str, float]
    num_classes: int
    seed: int

    def __post_init__(self) -> None:
        """Lets both sources count skipped clips together."""
        object.__setattr__(self, "skipped", self.clips.skipped)

    @property
    def videos(self) -> Sequence[Video]:  # type: ignore[override]
        """The videos for training."""
        return self.clips.videos

    @property
    def batch_size(self) -> int:
        """The number of clips in a whole batch."""
        return next(iter(self.clips.parts.values())).batch_size

    @property
    def steps_per_epoch(self) -> int:
        """The number of whole batches in one pass over the videos."""
        return self.clips.steps_per_epoch

    def batches(self, step: int = 0, shard: Shard = WHOLE) -> tf.data.Dataset:
        """Builds the batches, where each clip carries its step and its place."""
        index, number = shard

        @plainly
        def placed(step: tf.Tensor, batch: tuple[Tensors, tf.Tensor]) -> tuple[dict[str, Tensors], tf.Tensor]:
            clips, labels = batch
            size = self.batch_size // number
            places = tf.range(index * size, (index + 1) * size, dtype=tf.int64)
            return {"clips": clips, "place": tf.stack([tf.fill([size], step), places], axis=1)}, labels

        return self.clips.batches(step, shard).enumerate(step).map(placed)

    def validation(self) -> tf.data.Dataset | None:
        """Builds the validation batches, which are not varied."""
        return self.clips.validation()

    def names(self, step: int) -> Sequence[str]:
        """Returns the names of the videos in the batch of a step."""
        return self.clips.names(step)

    def broken(self, step: int) -> str:
        """Returns a message about an unreadable file of a step's batch and its repair, or "" if all can be read."""
        return self.clips.broken(step)

    def cut(self, clips: Tensors, labels: tf.Tensor) -> tuple[Tensors, tf.Tensor]:
        """Cuts and varies clips where the network runs. If clips are mixed, labels become shares of classes."""
        found, labels = self.clips.cut(clips["clips"], labels)
        step, places = clips["place"][0, 0], clips["place"][:, 1]
        # The random numbers of the whole batch. Each device and each part takes those of its places.
        of_all = tf.random.stateless_uniform([self.batch_size, NUM_RANDOMS], [self.seed ^ _STREAM, step])
        how = drawn(self.amounts, tf.gather(of_all, places))
        mix = drawn_mix(self.amounts, tf.random.stateless_uniform([NUM_MIX_RANDOMS], [self.seed ^ _STREAM, -1 - step]))
        by_name = found if isinstance(found, dict) else {"": found}
        is_moved = moves_places(self.amounts)
        for name, stream in self.clips.parts.items():
            each = pixels.varied(by_name[name], stream.clip, stream.source.rule, how, moves_places=is_moved)
            by_name[name] = pixels.mixed(each, mix) if mix else each
        if mix:
            shares = labels if len(labels.shape) > 1 else tf.one_hot(labels, self.num_classes)
            labels = pixels.mixed_labels(tf.cast(shares, tf.float32), mix)
        return by_name if isinstance(found, dict) else by_name[""], labels
