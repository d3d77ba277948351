"""Trains the spatial stream: one RGB frame a clip.

python spatial/train.py --dataset ucf101 --split 1
"""

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.options import parse
from commands.running import quiet_tensorflow, run, write_json
from data.catalog import cut_validation
from data.prepare import ready_dataset
from streams.runs import Run
from streams.training import TrainConfig, is_finished, say_result


def main(argv: Sequence[str] | None = None) -> None:
    """Trains on the data set that the command line names and leaves a run."""
    config = parse(TrainConfig, argv, __doc__)
    dataset = ready_dataset(config.dataset, config.root)
    this_run = Run.of(config.runs, dataset.name, "spatial", config.split)
    if not is_finished(config, this_run):
        training, validation = cut_validation(dataset.part(config.split, "train"), config.validation, config.seed)
        quiet_tensorflow()

        from pipelines.clips import train_batches, validation_batches
        from pipelines.inputs import Input
        from spatial.model import spatial_network
        from streams.modelfile import ModelCard
        from streams.training import train

        clip = Input("rgb")
        sizes = {"batch_size": config.batch_size, "crop_size": config.crop_size}
        train(
            lambda: spatial_network(
                config.backbone, size=config.crop_size, num_classes=len(dataset.classes), dropout=config.dropout
            ),
            train_batches(dataset, training, clip, seed=config.seed, **sizes),
            validation_batches(dataset, validation, clip, **sizes),
            steps_per_epoch=max(1, len(training) // config.batch_size),
            config=config,
            card=ModelCard("spatial", "rgb", 1, dataset.classes, dataset.name, config.split, "validation"),
            run=this_run,
        )
    result = say_result(this_run)
    if config.json:
        write_json(config.json, result)


if __name__ == "__main__":
    run(main)
