"""Trains the temporal stream, from scratch: a stack of optical flow fields a clip.

python temporal/train.py --dataset ucf101 --split 1
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.options import option, parse
from commands.running import quiet_tensorflow, run, write_json
from data.catalog import cut_validation
from data.prepare import flow_description, ready_dataset
from streams.runs import Run
from streams.training import TrainConfig, is_finished, say_result


@dataclass(frozen=True, kw_only=True)
class TemporalConfig(TrainConfig):
    """What decides the training of a temporal stream."""

    length: int = option(10, "flow fields in a clip, L in the paper", metavar="L")


def main(argv: Sequence[str] | None = None) -> None:
    """Trains on the data set that the command line names and leaves a run."""
    config = parse(TemporalConfig, argv, __doc__)
    dataset = ready_dataset(config.dataset, config.root)
    this_run = Run.of(config.runs, dataset.name, "temporal", config.split)
    if not is_finished(config, this_run):
        training, validation = cut_validation(dataset.part(config.split, "train"), config.validation, config.seed)
        flow = flow_description(dataset.root)
        quiet_tensorflow()

        from pipelines.clips import train_batches, validation_batches
        from pipelines.inputs import Input
        from streams.modelfile import ModelCard
        from streams.training import train
        from temporal.model import temporal_network

        clip = Input("flow", config.length)
        sizes = {"batch_size": config.batch_size, "crop_size": config.crop_size}
        train(
            lambda: temporal_network(
                config.backbone,
                size=config.crop_size,
                length=config.length,
                bound=flow["bound"],
                num_classes=len(dataset.classes),
                dropout=config.dropout,
            ),
            train_batches(dataset, training, clip, seed=config.seed, **sizes),
            validation_batches(dataset, validation, clip, **sizes),
            steps_per_epoch=max(1, len(training) // config.batch_size),
            config=config,
            card=ModelCard(
                "temporal", "flow", config.length, dataset.classes, dataset.name, config.split, "validation", flow
            ),
            run=this_run,
        )
    result = say_result(this_run)
    if config.json:
        write_json(config.json, result)


if __name__ == "__main__":
    run(main)
