"""Trains the temporal stream, from scratch: a stack of optical flow fields a clip.

python temporal/train.py --dataset ucf101 --split 1
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
from data.prepare import flow_description, ready_dataset
from data.ready import frame_description
from data.selection import training_lists
from pipelines.inputs import KINDS
from streams.command import Ingredients, train_stream
from streams.config import TrainConfig
from streams.recipes import recipe_presets

if TYPE_CHECKING:
    import keras

    from pipelines.inputs import Input


@dataclass(frozen=True, kw_only=True)
class TemporalConfig(TrainConfig):
    """What decides the training of a temporal stream."""

    input: str = option("flow", "what a clip is made of", choices=KINDS)
    length: int = option(10, "flow fields in a clip, L in the paper", metavar="L")
    subtract_mean: bool = option(True, "take each field's mean vector off, which is the camera's part")
    and_dataset: str = option(
        "", "a second data set to learn at once, with scores and a loss of its own (multi-task)", metavar="NAME"
    )
    and_root: Path | None = option(None, "its folder, instead of datasets/<data set>", metavar="DIR")

    def __post_init__(self) -> None:
        """Refuses a batch that two data sets cannot share."""
        super().__post_init__()
        if self.and_dataset and self.batch_size % 2:
            raise ValueError(f"Two data sets share a batch, so its size must be even. Received {self.batch_size}.")


def main(argv: Sequence[str] | None = None) -> None:
    """Trains on the data set that the command line names and leaves a run."""
    presets = recipe_presets(argv, "temporal")
    if presets is None:
        return
    config = parse(TemporalConfig, argv, __doc__, **presets)
    dataset = ready_dataset(config.dataset, config.root)
    lists = training_lists(dataset, config.split, config.protocol, config.validation, config.seed)
    train_stream("temporal", config, dataset, lists, ingredients)


def ingredients(
    config: TemporalConfig, dataset: DataSet, training: Sequence[Video], validation: Sequence[Video]
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
    flow = flow_description(dataset.root) if clip.is_flow else {}
    sizes: dict[str, Any] = {"batch_size": config.batch_size, "crop_size": config.crop_size}
    alone = Ingredients(
        network=partial(network, config, clip, flow, dataset.classes),
        batches=partial(train_batches, dataset, training, clip, crop_size=config.crop_size, **drawn),
        validation=validation_batches(dataset, validation, clip, **sizes) if validation else None,
        card=ModelCard(
            "temporal",
            clip.kind,
            clip.length,
            dataset.classes,
            dataset.name,
            config.split,
            config.protocol,
            flow,
            dataset.multi_label,
            frame_description(dataset.root),
        ),
        videos=lambda step: batch_videos(training, step=step, **drawn),
        broken=lambda step: explain_failure(dataset, training, clip, step=step, validation=validation, **drawn),
        skipped=skipped,
    )
    if config.and_dataset:
        from temporal.multitask import with_second_dataset

        return with_second_dataset(alone, dataset, training, clip, drawing, config=config)
    if config.keeps_features:
        return on_features(alone, config, partial(video_views, dataset, clip=clip), training, validation)
    return alone


def network(config: TemporalConfig, clip: "Input", flow: dict[str, Any], classes: Sequence[str]) -> "keras.Model":
    """Returns the network that is trained, flow from scratch, as it is no photograph, unless the options say else."""
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
    return started(fresh, config, default="none" if clip.is_flow else "imagenet", clip=clip, classes=classes)


if __name__ == "__main__":
    run(main)
