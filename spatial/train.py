"""Trains the spatial stream, whose clips are one RGB frame each.

./run train spatial --dataset ucf101 --split 1
./run train spatial --dataset my_clips
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from commands.options import option
from commands.running import run
from data.ready import ready_dataset
from data.sets.lists import training_lists
from pipelines.inputs import FRAME_KINDS, Input
from streams.command import import_tensorflow, report, run_folder, training_options
from streams.config import TrainConfig
from streams.runs.model_file import card_of
from streams.runs.run_folder import stages_left, threads_before


@dataclass(frozen=True, kw_only=True)
class SpatialConfig(TrainConfig):
    """The options of a training of the spatial stream."""

    input: str = option("rgb", "kind of input: the content of a clip", choices=FRAME_KINDS)
    length: int = option(1, "frames in a clip of kind grey, or differences in one of kind rgb_difference", metavar="N")


def main(argv: Sequence[str] | None = None) -> None:
    """Trains the stream with the options of the command line, and saves the run."""
    config = training_options(SpatialConfig, argv, __doc__, "spatial")
    dataset = ready_dataset(config.dataset, config.root)
    training, validation = training_lists(dataset, config.split, config.protocol, config.validation, config.seed)
    clip, costs = Input(config.input, config.length, config.segments, config.stride), []
    with run_folder(config, "spatial", clip, (dataset, (training, validation))) as folder:
        stages = stages_left(config, folder)
        if stages:
            import_tensorflow(config, dataset, training)
            from spatial.model import spatial_network  # These imports take seconds.
            from streams.training.stage import Learner, building, clips_of, strategy_for, train_stage

            strategy = strategy_for(config, threads_before(config, folder))
        for stage, place in stages:
            clips = clips_of(stage, dataset, clip, training, validation)
            with building(stage, strategy):
                network = spatial_network(stage, clip, dataset)
            learner = Learner(network, card_of("spatial", stage, dataset, clip))
            costs.append(train_stage(learner, clips, stage, place))
        report(config, folder, costs)


if __name__ == "__main__":
    run(main)
