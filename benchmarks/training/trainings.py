"""The networks and clips that benchmarks train: those of the training commands, with changed batches or epochs."""

from collections.abc import Callable
from typing import Any, TypeAlias

import tensorflow as tf

from data.catalog import DataSet
from pipelines.clip_stream import WHOLE, Clips, ClipStream, Shard
from pipelines.inputs import Input
from spatial.model import spatial_network
from spatial.train import SpatialConfig
from streams.runs.model_file import card_of
from streams.training.stage import Learner, building
from temporal.model import temporal_network
from temporal.train import TemporalConfig

# Returns other batches instead of those given, which begin at a number.
Change: TypeAlias = Callable[[tf.data.Dataset, int], tf.data.Dataset]


def learner_of(
    config: SpatialConfig | TemporalConfig, dataset: DataSet, clip: Input, strategy: tf.distribute.Strategy
) -> Learner:
    """Returns the network of the stream that the options belong to, ready for training."""
    with building(config, strategy):
        if isinstance(config, TemporalConfig):
            network = temporal_network(config, clip, dataset, subtract_mean=config.subtract_mean)
            return Learner(network, card_of("temporal", config, dataset, clip))
        return Learner(spatial_network(config, clip, dataset), card_of("spatial", config, dataset, clip))


class ChangedClips(Clips):
    """The clips of a stream with another length of epochs or other batches."""

    def __init__(
        self, clips: ClipStream, steps_per_epoch: int | None = None, change: Change = lambda batches, number: batches
    ):
        self.clips, self.skipped, self.change = clips, clips.skipped, change
        self.num_steps = steps_per_epoch or clips.steps_per_epoch

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches in an epoch."""
        return self.num_steps

    def batches(self, step: int = 0, shard: Shard = WHOLE) -> tf.data.Dataset:
        """Builds the changed batches of training from `step` on."""
        return self.change(self.clips.batches(step, shard), step)

    def validation(self) -> tf.data.Dataset | None:
        """Builds the changed batches of validation, if there is one."""
        batches = self.clips.validation()
        return None if batches is None else self.change(batches, 10**6)

    def cut(self, clips: Any, labels: Any) -> Any:
        """Crops the clips of a batch where the network runs."""
        return self.clips.cut(clips, labels)
