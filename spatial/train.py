"""Trains the spatial stream: one RGB frame a clip.

python spatial/train.py --dataset ucf101 --split 1
"""

import sys
from collections import Counter
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
from data.prepare import ready_dataset
from data.ready import frame_description
from data.selection import training_lists
from pipelines.inputs import FRAME_KINDS
from streams.command import Ingredients, train_stream
from streams.config import TrainConfig
from streams.recipes import recipe_presets

if TYPE_CHECKING:
    import keras

    from pipelines.inputs import Input


@dataclass(frozen=True, kw_only=True)
class SpatialConfig(TrainConfig):
    """What decides the training of a spatial stream."""

    input: str = option("rgb", "what a clip is made of", choices=FRAME_KINDS)
    length: int = option(1, "frames in a clip of grey, or differences in one of rgb_difference", metavar="L")


def main(argv: Sequence[str] | None = None) -> None:
    """Trains on the data set that the command line names and leaves a run."""
    presets = recipe_presets(argv, "spatial")
    if presets is None:
        return
    config = parse(SpatialConfig, argv, __doc__, **presets)
    dataset = ready_dataset(config.dataset, config.root)
    lists = training_lists(dataset, config.split, config.protocol, config.validation, config.seed)
    train_stream("spatial", config, dataset, lists, ingredients)


def ingredients(
    config: SpatialConfig, dataset: DataSet, training: Sequence[Video], validation: Sequence[Video]
) -> Ingredients:
    """Returns the network of the stream and its batches."""
    from pipelines.clips import explain_failure, train_batches, validation_batches, video_views
    from pipelines.drawing import Drawing, batch_videos
    from pipelines.inputs import Input
    from streams.bottleneck import on_features
    from streams.modelfile import ModelCard

    clip, skipped = Input(config.input, config.length, config.segments), Counter[str]() if config.skip_broken else None
    drawing = Drawing(config.augment, config.balance, skipped=skipped)
    drawn: dict[str, Any] = {"batch_size": config.batch_size, "seed": config.seed, "drawing": drawing}
    sizes: dict[str, Any] = {"batch_size": config.batch_size, "crop_size": config.crop_size}
    given = Ingredients(
        network=partial(network, config, clip, dataset.classes),
        batches=partial(train_batches, dataset, training, clip, crop_size=config.crop_size, **drawn),
        validation=validation_batches(dataset, validation, clip, **sizes) if validation else None,
        card=ModelCard(
            "spatial",
            clip.kind,
            clip.length,
            dataset.classes,
            dataset.name,
            config.split,
            config.protocol,
            multi_label=dataset.multi_label,
            frames=frame_description(dataset.root),
        ),
        videos=lambda step: batch_videos(training, step=step, **drawn),
        broken=lambda step: explain_failure(dataset, training, clip, step=step, validation=validation, **drawn),
        skipped=skipped,
    )
    if config.keeps_features:
        return on_features(given, config, partial(video_views, dataset, clip=clip), training, validation)
    return given


def network(config: SpatialConfig, clip: "Input", classes: Sequence[str]) -> "keras.Model":
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
