"""Trains the temporal stream, whose clips are stacks of optical flow fields. By default, it starts from random weights.

./run train temporal --dataset ucf101 --split 1
./run train temporal --dataset my_clips
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from commands.options import option
from commands.running import run
from data.ready import ready_dataset
from data.sets.lists import training_lists
from pipelines.inputs import KINDS, Input
from streams.command import import_tensorflow, report, run_folder, training_options
from streams.config import TrainConfig
from streams.runs.model_file import card_of
from streams.runs.run_folder import stages_left, threads_before
from temporal.second_dataset import TWO_AT_ONCE, SecondDataSet, second_lists


@dataclass(frozen=True, kw_only=True)
class TemporalConfig(TrainConfig, SecondDataSet):
    """The options of a training of the temporal stream."""

    input: str = option("flow", "kind of input: the content of a clip", choices=KINDS)
    length: int = option(10, "flow fields in a clip, L in the paper", metavar="N")
    subtract_mean: bool = option(True, "subtract each field's mean vector, which is mostly camera motion")

    also_wrong: ClassVar = TWO_AT_ONCE

    @property
    def can_cut_on_device(self) -> bool:
        """Tells whether clips can be cut on the device. Those of two data sets can't."""
        return super().can_cut_on_device and not self.and_dataset


def main(argv: Sequence[str] | None = None) -> None:
    """Trains the stream with the options of the command line, and saves the run."""
    config = training_options(TemporalConfig, argv, __doc__, "temporal")
    dataset = ready_dataset(config.dataset, config.root)
    training, validation = training_lists(dataset, config.split, config.protocol, config.validation, config.seed)
    clip, costs = Input(config.input, config.length, config.segments, config.stride), []
    second = [second_lists(config, dataset.name)] if config.and_dataset else []
    with run_folder(config, "temporal", clip, (dataset, (training, validation)), *second) as folder:
        stages = stages_left(config, folder)
        if stages:
            import_tensorflow(config, dataset, training)
            from streams.training.stage import Learner, building, clips_of, strategy_for, train_stage
            from temporal import model, multitask  # These imports take seconds.

            strategy = strategy_for(config, threads_before(config, folder))
        for stage, place in stages:
            alone = clips_of(stage, dataset, clip, training, validation)
            with building(stage, strategy):
                network = model.temporal_network(stage, clip, dataset, subtract_mean=config.subtract_mean)
            learner = Learner(network, card_of("temporal", stage, dataset, clip))
            both = multitask.with_second(learner, alone, *second, joined=config.and_joined) if second else None
            learner, clips = both or (learner, alone)
            costs.append(train_stage(learner, clips, stage, place))
        report(config, folder, costs)


if __name__ == "__main__":
    run(main)
