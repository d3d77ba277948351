"""Trains the spatial stream: one RGB frame a clip.

python spatial/train.py --dataset ucf101 --split 1
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.options import option
from commands.running import run
from data.catalog import DataSet
from pipelines.inputs import FRAME_KINDS, Input
from streams.command import train_stream
from streams.config import TrainConfig
from streams.ingredients import Ingredients, Videos, of_dataset

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class SpatialConfig(TrainConfig):
    """What decides the training of a spatial stream."""

    input: str = option("rgb", "what a clip is made of", choices=FRAME_KINDS)
    length: int = option(1, "frames in a clip of grey, or differences in one of rgb_difference", metavar="L")


def main(argv: Sequence[str] | None = None) -> None:
    """Trains on the data set that the command line names and leaves a run."""
    train_stream("spatial", SpatialConfig, argv, __doc__, ingredients)


def ingredients(config: SpatialConfig, dataset: DataSet, training: Videos, validation: Videos) -> Ingredients:
    """Returns the network of the stream and its batches."""
    return of_dataset("spatial", config, dataset, (training, validation), fresh_network)


def fresh_network(config: SpatialConfig, clip: Input, dataset: DataSet) -> "keras.Model":
    """Returns a network of the options, with random weights."""
    from spatial.model import spatial_network

    return spatial_network(
        config.backbone,
        clip,
        size=config.crop_size,
        num_classes=len(dataset.classes),
        dropout=config.dropout,
        dense_dropout=config.dense_dropout,
    )


if __name__ == "__main__":
    run(main)
