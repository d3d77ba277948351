"""Trains the spatial stream: one RGB frame a clip.

python spatial/train.py --dataset ucf101 --split 1
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.options import parse
from commands.running import run
from data.catalog import DataSet, Video
from data.prepare import ready_dataset
from data.selection import training_lists
from streams.command import Ingredients, train_stream
from streams.config import TrainConfig

if TYPE_CHECKING:
    import keras

    from pipelines.inputs import Input


def main(argv: Sequence[str] | None = None) -> None:
    """Trains on the data set that the command line names and leaves a run."""
    config = parse(TrainConfig, argv, __doc__)
    dataset = ready_dataset(config.dataset, config.root)
    lists = training_lists(dataset, config.split, config.protocol, config.validation, config.seed)
    train_stream("spatial", config, dataset, lists, ingredients)


def ingredients(
    config: TrainConfig, dataset: DataSet, training: Sequence[Video], validation: Sequence[Video]
) -> Ingredients:
    """Returns the network of the stream and its batches."""
    from pipelines.clips import train_batches, validation_batches
    from pipelines.inputs import Input
    from streams.modelfile import ModelCard

    clip = Input("rgb")
    sizes: dict[str, Any] = {"batch_size": config.batch_size, "crop_size": config.crop_size}
    return Ingredients(
        network=partial(network, config, clip, dataset.classes),
        batches=partial(train_batches, dataset, training, clip, seed=config.seed, **sizes),
        validation=validation_batches(dataset, validation, clip, **sizes) if validation else None,
        card=ModelCard("spatial", clip.kind, clip.length, dataset.classes, dataset.name, config.split, config.protocol),
    )


def network(config: TrainConfig, clip: "Input", classes: Sequence[str]) -> "keras.Model":
    """Returns the network that is trained, from ImageNet weights where Keras has them unless the options say else."""
    from spatial.model import spatial_network
    from streams.starting import started

    fresh = spatial_network(
        config.backbone,
        clip,
        size=config.crop_size,
        num_classes=len(classes),
        dropout=config.dropout,
        dense_dropout=config.dense_dropout,
    )
    return started(fresh, config, default="imagenet", clip=clip, classes=classes)


if __name__ == "__main__":
    run(main)
