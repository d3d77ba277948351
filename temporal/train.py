"""Trains the temporal stream, from scratch: a stack of optical flow fields a clip.

python temporal/train.py --dataset ucf101 --split 1
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.options import option
from commands.running import run
from data.catalog import DataSet
from data.ready import flow_description
from pipelines.inputs import KINDS, Input
from streams.command import train_stream
from streams.config import TrainConfig
from streams.ingredients import Ingredients, Videos, of_dataset
from temporal.multitask import SecondDataSet, second_dataset, with_second_dataset

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class TemporalConfig(TrainConfig, SecondDataSet):
    """What decides the training of a temporal stream."""

    input: str = option("flow", "what a clip is made of", choices=KINDS)
    length: int = option(10, "flow fields in a clip, L in the paper", metavar="L")
    subtract_mean: bool = option(True, "take each field's mean vector off, which is the camera's part")

    def __post_init__(self) -> None:
        """Refuses a batch that two data sets cannot share, and features of one that the other would lack."""
        super().__post_init__()
        if self.and_dataset and self.batch_size % 2:
            raise ValueError(f"Two data sets share a batch, so its size must be even. Received {self.batch_size}.")
        if self.and_dataset and self.keeps_features:
            raise ValueError(
                "Two data sets are learnt at once from clips, not from kept features. Drop --train last-layer."
            )

    @property
    def can_cut_on_device(self) -> bool:
        """Tells whether batches are of one pipeline, which those of two data sets are not."""
        return super().can_cut_on_device and not self.and_dataset

    @cached_property
    def others(self) -> tuple[DataSet, ...]:
        """The data sets that are learnt besides the first."""
        return (second_dataset(self),) if self.and_dataset else ()


def main(argv: Sequence[str] | None = None) -> None:
    """Trains on the data set that the command line names and leaves a run."""
    train_stream("temporal", TemporalConfig, argv, __doc__, ingredients)


def ingredients(config: TemporalConfig, dataset: DataSet, training: Videos, validation: Videos) -> Ingredients:
    """Returns the network of the stream and its batches, of a second data set too where one is asked for."""
    alone = of_dataset("temporal", config, dataset, (training, validation), fresh_network)
    return with_second_dataset(alone, config, dataset, training, validation) if config.and_dataset else alone


def fresh_network(config: TemporalConfig, clip: Input, dataset: DataSet) -> "keras.Model":
    """Returns a network of the options, with random weights."""
    from temporal.model import temporal_network

    return temporal_network(
        config.backbone,
        clip,
        flow_description(dataset.root) if clip.is_flow else {},
        size=config.crop_size,
        num_classes=len(dataset.classes),
        dropout=config.dropout,
        dense_dropout=config.dense_dropout,
        subtract_mean=config.subtract_mean,
    )


if __name__ == "__main__":
    run(main)
