"""Trains the temporal stream, from scratch: a stack of optical flow fields a clip.

python temporal/train.py --dataset ucf101 --split 1
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.options import option, parse
from commands.running import run
from data.catalog import DataSet, Video
from data.prepare import flow_description, ready_dataset
from data.selection import training_lists
from streams.command import Ingredients, train_stream
from streams.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class TemporalConfig(TrainConfig):
    """What decides the training of a temporal stream."""

    length: int = option(10, "flow fields in a clip, L in the paper", metavar="L")


def main(argv: Sequence[str] | None = None) -> None:
    """Trains on the data set that the command line names and leaves a run."""
    config = parse(TemporalConfig, argv, __doc__)
    dataset = ready_dataset(config.dataset, config.root)
    lists = training_lists(dataset, config.split, "validation", config.validation, config.seed)
    train_stream("temporal", config, dataset, lists, ingredients)


def ingredients(
    config: TemporalConfig, dataset: DataSet, training: Sequence[Video], validation: Sequence[Video]
) -> Ingredients:
    """Returns the network of the stream and its batches."""
    from pipelines.clips import train_batches, validation_batches
    from pipelines.inputs import Input
    from streams.modelfile import ModelCard
    from temporal.model import temporal_network

    clip, flow = Input("flow", config.length), flow_description(dataset.root)
    sizes = {"batch_size": config.batch_size, "crop_size": config.crop_size}
    return Ingredients(
        network=partial(
            temporal_network,
            config.backbone,
            clip,
            flow,
            size=config.crop_size,
            num_classes=len(dataset.classes),
            dropout=config.dropout,
        ),
        batches=partial(train_batches, dataset, training, clip, seed=config.seed, **sizes),
        validation=validation_batches(dataset, validation, clip, **sizes) if validation else None,
        card=ModelCard(
            "temporal", clip.kind, clip.length, dataset.classes, dataset.name, config.split, "validation", flow
        ),
    )


if __name__ == "__main__":
    run(main)
