"""Trains on two data sets at once: batches have clips of both, and the part of the network for the first is saved."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from data.catalog import DataSet
from data.optical_flow.levels import RULES
from data.ready import flow_description
from pipelines.clip_stream import WHOLE, Clips, ClipStream, Shard
from streams.command import Data
from streams.networks.two_tasks import both_batches, with_second_task
from streams.training.stage import Learner


@dataclass(frozen=True)
class TwoDataSets(Clips):
    """Batches that are half of the first data set and half of the second. Validation uses the first only."""

    clips: ClipStream  # Whole batches of the first data set.
    second: ClipStream  # Half batches of the second.
    tasks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Lets both streams of clips count skipped clips together."""
        object.__setattr__(self, "skipped", self.clips.skipped)

    @property
    def first(self) -> ClipStream:
        """Half batches of the first data set."""
        return dataclasses.replace(self.clips, batch_size=self.clips.batch_size // 2)

    @property
    def steps_per_epoch(self) -> int:
        """The number of whole batches in one pass over the first data set."""
        return self.clips.steps_per_epoch

    def batches(self, step: int = 0, shard: Shard = WHOLE) -> tf.data.Dataset:
        """Builds the batches. Labels of the second data set are numbered after those of the first."""
        first, second = (half.batches(step, shard) for half in (self.first, self.second))
        return both_batches(first, second, len(self.clips.dataset.classes))

    def validation(self) -> tf.data.Dataset | None:
        """Builds the batches of the first data set's held-out videos."""
        return self.clips.validation()

    def names(self, step: int) -> Sequence[str]:
        """Returns the names of the videos in the batch of a step."""
        return [*self.first.names(step), *self.second.names(step)]

    def broken(self, step: int) -> str:
        """Returns a message about an unreadable file of either half and its repair, or "" if all can be read."""
        return self.first.broken(step) or self.second.broken(step)


def with_second(
    learner: Learner, clips: ClipStream, other: Data, *, joined: bool = False
) -> tuple[Learner, TwoDataSets]:
    """Returns a learner and clips that include all of a second data set, as in the paper (Sec. 6).

    The saved network never scores the second data set, so all of its videos may be used for training.
    """
    second, (videos,) = other
    _check_alike(clips.dataset, second, is_flow=clips.clip.is_flow)
    counts = len(clips.dataset.classes), len(second.classes)
    # Both count the clips that they skip together.
    size = clips.batch_size // 2
    half = dataclasses.replace(clips, dataset=second, videos=videos, held_out=(), batch_size=size)
    with learner.network.distribute_strategy.scope():
        network = with_second_task(learner.network, counts[1])
    card = learner.card.having_learnt([(second.name, 0, learner.card.selection)])
    return Learner(network, card, saved=learner.network), TwoDataSets(clips, half, () if joined else counts)


def _check_alike(first: DataSet, second: DataSet, *, is_flow: bool) -> None:
    """Raises ValueError for data sets with several labels per video, and for flow with levels of other meaning."""
    if second.multi_label or first.multi_label:
        raise ValueError("Training on two data sets at once needs videos with one label each. Drop --and-dataset.")
    if is_flow:
        ours, theirs = flow_description(first.root), flow_description(second.root)
        compared = {
            "bound": (ours["bound"], theirs["bound"], ours["bound"] == theirs["bound"]),
            "rule": (ours["rule"], theirs["rule"], RULES[ours["rule"]] == RULES[theirs["rule"]]),
        }
        for key, (mine, other, is_same) in compared.items():
            if not is_same:
                raise ValueError(
                    f"The flow of {first.name} has {key} {mine!r}, but that of {second.name} has {other!r}. "
                    "Prepare both in the same way to train on them at once."
                )
