"""Trains both streams as one network, end to end, on pairs of a frame and the flow around it.

./run train both --dataset ucf101 --fusion conv
"""

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from commands.running import run
from data.ready import ready_dataset
from data.sets.lists import training_lists
from fusion.joint.config import JointConfig, cards_of
from pipelines.inputs import Input
from streams.command import import_tensorflow, report, run_folder, training_options
from streams.runs.model_file import BOTH, ModelCard
from streams.runs.run_folder import stages_left, threads_before


def main(argv: Sequence[str] | None = None) -> None:
    """Trains on the data set that the command line names, and saves a run."""
    config = training_options(JointConfig, argv, __doc__, BOTH)
    dataset = ready_dataset(config.dataset, config.root)
    training, validation = training_lists(dataset, config.split, config.protocol, config.validation, config.seed)
    frame = Input("rgb", 1, config.segments)
    stack = Input(config.input, config.length, config.segments, config.stride)
    costs = []
    with run_folder(config, BOTH, stack, (dataset, (training, validation))) as folder:
        stages = stages_left(config, folder)
        if stages:
            import_tensorflow(config, dataset, training)
            from fusion.joint import network, pairs  # These imports take seconds.
            from streams.training.stage import Learner, building, clips_of, strategy_for, train_stage

            strategy = strategy_for(config, threads_before(config, folder))
        for stage, place in stages:
            clips = pairs.PairStream(*(clips_of(stage, dataset, clip, training, validation) for clip in (frame, stack)))
            cards = cards_of(stage, dataset, (frame, stack))
            with building(stage, strategy):
                model = network.joint_network(stage, dataset, cards)
            costs.append(train_stage(Learner(model, ModelCard.joint(*cards)), clips, stage, place))
        report(config, folder, costs)


if __name__ == "__main__":
    run(main)
