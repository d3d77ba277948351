"""Trains the temporal stream, from scratch: a stack of optical flow fields a clip.

python temporal/train.py --dataset ucf101 --split 1
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.options import option, parse
from commands.running import run
from data.catalog import DataSet, Video
from data.prepare import flow_description, ready_dataset
from data.selection import training_lists
from streams.command import Ingredients, train_stream
from streams.config import TrainConfig

if TYPE_CHECKING:
    import keras

    from pipelines.inputs import Input


@dataclass(frozen=True, kw_only=True)
class TemporalConfig(TrainConfig):
    """What decides the training of a temporal stream."""

    length: int = option(10, "flow fields in a clip, L in the paper", metavar="L")
    subtract_mean: bool = option(True, "take each field's mean vector off, which is the camera's part")


def main(argv: Sequence[str] | None = None) -> None:
    """Trains on the data set that the command line names and leaves a run."""
    config = parse(TemporalConfig, argv, __doc__)
    dataset = ready_dataset(config.dataset, config.root)
    lists = training_lists(dataset, config.split, config.protocol, config.validation, config.seed)
    train_stream("temporal", config, dataset, lists, ingredients)


def ingredients(
    config: TemporalConfig, dataset: DataSet, training: Sequence[Video], validation: Sequence[Video]
) -> Ingredients:
    """Returns the network of the stream and its batches."""
    from pipelines.clips import train_batches, validation_batches
    from pipelines.inputs import Input
    from streams.modelfile import ModelCard

    clip, flow = Input("flow", config.length), flow_description(dataset.root)
    sizes: dict[str, Any] = {"batch_size": config.batch_size, "crop_size": config.crop_size}
    return Ingredients(
        network=partial(network, config, clip, flow, dataset.classes),
        batches=partial(train_batches, dataset, training, clip, seed=config.seed, **sizes),
        validation=validation_batches(dataset, validation, clip, **sizes) if validation else None,
        card=ModelCard(
            "temporal", clip.kind, clip.length, dataset.classes, dataset.name, config.split, config.protocol, flow
        ),
    )


def network(config: TemporalConfig, clip: "Input", flow: dict[str, Any], classes: Sequence[str]) -> "keras.Model":
    """Returns the network that is trained, from scratch unless the options say else: flow is no photograph."""
    from streams.starting import started
    from temporal.model import temporal_network

    fresh = temporal_network(
        config.backbone,
        clip,
        flow,
        size=config.crop_size,
        num_classes=len(classes),
        dropout=config.dropout,
        dense_dropout=config.dense_dropout,
        subtract_mean=config.subtract_mean,
    )
    return started(fresh, config, default="none", clip=clip, classes=classes)


if __name__ == "__main__":
    run(main)
