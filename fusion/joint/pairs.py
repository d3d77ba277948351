"""Pairs of clips for a network of both streams: a frame and the flow around it, cropped and mirrored alike.

Both clips use the same random number u. The frame lies at the fraction u of its video, and the stack of L flow fields
starts at the fraction u of its possible starts. So the frame lies within the stack, and the flow shows its motion.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import tensorflow as tf

from data.catalog import Video
from pipelines.clip_stream import WHOLE, Clips, ClipStream, Shard
from pipelines.source import plainly

NAMES = ("rgb", "flow")


@dataclass(frozen=True)
class PairStream(Clips):
    """Pairs of clips of two streams over the same videos: `({"rgb": clips, "flow": clips}, labels)`."""

    frames: ClipStream
    flow: ClipStream

    @property
    def videos(self) -> Sequence[Video]:  # type: ignore[override]
        """The videos for training."""
        return self.frames.videos

    @property
    def parts(self) -> Mapping[str, ClipStream]:
        """The two streams of clips, by name."""
        return dict(zip(NAMES, (self.frames, self.flow), strict=True))

    def changed(self, change: Callable[[ClipStream], ClipStream]) -> "PairStream":
        """Returns these pairs with both streams changed."""
        return PairStream(change(self.frames), change(self.flow))

    @property
    def steps_per_epoch(self) -> int:
        """The number of whole batches in one pass over the videos."""
        return self.frames.steps_per_epoch

    def batches(self, step: int = 0, shard: Shard = WHOLE) -> tf.data.Dataset:
        """Builds an endless dataset of pairs from `step` on."""
        return _paired(each.batches(step, shard) for each in (self.frames, self.flow))

    def validation(self) -> tf.data.Dataset | None:
        """Builds the validation pairs, by which weights are chosen, or None if there are no validation videos."""
        if not self.frames.held_out:
            return None
        return _paired(each.validation() for each in (self.frames, self.flow))

    def names(self, step: int) -> Sequence[str]:
        """Returns the names of the videos in the batch of a step."""
        return self.frames.names(step)

    def broken(self, step: int) -> str:
        """Returns a message that names an unreadable file of a batch and its repair, or "" if all files can be read."""
        return self.frames.broken(step) or self.flow.broken(step)


def _paired(streams: Iterable[tf.data.Dataset]) -> tf.data.Dataset:
    def join(*batches: tuple[tf.Tensor, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        return {name: clips for name, (clips, _) in zip(NAMES, batches, strict=True)}, batches[0][1]

    return tf.data.Dataset.zip(*streams).map(plainly(join))
