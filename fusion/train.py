"""Trains both streams as one network, end to end: pairs of a frame and the flow around it.

python fusion/train.py --dataset ucf101 --fusion conv
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.options import option
from commands.running import run
from data.catalog import DataSet
from pipelines.inputs import FLOW_KINDS, Input
from streams.command import train_stream
from streams.config import TrainConfig
from streams.ingredients import Ingredients, Videos
from streams.modelfile import BOTH, ModelCard, check_unseen, lessons_in
from streams.network_options import FUSIONS
from streams.runs import Run

if TYPE_CHECKING:
    import keras

FRESH = "fresh"
STREAMS = ("spatial", "temporal")


@dataclass(frozen=True, kw_only=True)
class JointConfig(TrainConfig):
    """What decides the training of both streams as one network."""

    fusion: str = option("conv", "how the streams are joined: their scores, features or last maps", choices=FUSIONS)
    spatial: str = option("", "a saved stream to start from, instead of the one trained here; or fresh", metavar="FILE")
    temporal: str = option("", "the same for flow", metavar="FILE")
    spatial_weight: float = option(0.5, "of the spatial stream's probabilities in weighted", metavar="SHARE")
    input: str = option("flow", "the kind of flow beside the frame", choices=FLOW_KINDS)
    length: int = option(10, "flow fields in a clip, L in the paper", metavar="L")

    def __post_init__(self) -> None:
        """Refuses what pairs cannot have."""
        super().__post_init__()
        if self.skip_broken:
            raise ValueError("--skip-broken would pair frames of one video with flow of another. Drop it.")
        if self.first_layer_rate != 1:
            raise ValueError("--first-layer-rate is of one stream, and two have two first layers. Drop it.")
        if not 0 <= self.spatial_weight <= 1:
            raise ValueError(f"--spatial-weight is {self.spatial_weight}; it must be from 0 to 1.")

    @property
    def can_cut_on_device(self) -> bool:
        """Tells whether batches are of one pipeline, which pairs are not."""
        return False


def main(argv: Sequence[str] | None = None) -> None:
    """Trains on the data set that the command line names and leaves a run."""
    train_stream(BOTH, JointConfig, argv, __doc__, ingredients)


def ingredients(config: JointConfig, dataset: DataSet, training: Videos, validation: Videos) -> Ingredients:
    """Returns the network of both streams and its batches of pairs."""
    from fusion.pairs import pair_batches, pair_failure, validation_pairs
    from pipelines.drawing import batch_videos
    from streams.ingredients import card_of, drawing_of

    inputs = Input("rgb", 1, config.segments), Input(config.input, config.length, config.segments)
    drawn: dict[str, Any] = {"batch_size": config.batch_size, "seed": config.seed, "drawing": drawing_of(config)}
    cards = [
        card_of(stream, config, dataset, clip).having_learnt(lessons_in(_source(config, stream)))
        for stream, clip in zip(STREAMS, inputs, strict=True)
    ]
    return Ingredients(
        network=partial(network, config, dataset, cards),
        batches=partial(pair_batches, dataset, training, inputs, config),
        validation=validation_pairs(dataset, validation, inputs, config),
        card=ModelCard.joint(*cards),
        videos=lambda step: batch_videos(training, step=step, **drawn),
        broken=lambda step: pair_failure(
            dataset, training, inputs, step=step, validation=validation, crop_size=config.crop_size, **drawn
        ),
    )


def network(config: JointConfig, dataset: DataSet, cards: Sequence[ModelCard]) -> "keras.Model":
    """Returns the network: of saved streams, of fresh ones, or an earlier one of both."""
    from streams.finetuning import set_trainable
    from streams.modelfile import load_model
    from streams.two_stream import two_stream_network

    if config.weights.endswith(".keras"):
        found, card = load_model(Path(config.weights))
        check_card(card, ModelCard.joint(*cards), config.weights)
        print(f"All weights are of {config.weights}.")
    else:
        found = two_stream_network(
            len(dataset.classes),
            spatial=_stream(config, cards[0]),
            temporal=_stream(config, cards[1]),
            fusion=config.fusion,
            spatial_weight=config.spatial_weight,
            dropout=config.dropout,
            multi_label=dataset.multi_label,
        )
    print(set_trainable(found, config.train, config.freeze_bn), flush=True)
    return found


def check_card(found: ModelCard, wanted: ModelCard, path: Any) -> None:
    """Refuses a model of other classes or another kind of input, and one that has seen this split's test videos."""
    for name in ("stream", "input_kind", "length", "classes", "data_set"):
        ours, theirs = getattr(wanted, name), getattr(found, name)
        if ours != theirs:
            raise ValueError(
                f"{path} has {name} {theirs!r}, and this training {ours!r}. Name another model or change it."
            )
    check_unseen(found, path, data_set=wanted.data_set, split=wanted.split, selection=wanted.selection)


def _source(config: JointConfig, stream: str) -> str:
    """Returns what a stream starts from: an earlier network of both, a file, or fresh."""
    if config.weights.endswith(".keras"):
        return config.weights
    named = config.spatial if stream == "spatial" else config.temporal
    return named or str(Run.of(config.runs, config.dataset, stream, config.split).model)


def _stream(config: JointConfig, card: ModelCard) -> "keras.Model":
    """Returns one stream: saved, or fresh with the weights that its kind starts from."""
    from streams.modelfile import load_model

    source = _source(config, card.stream)
    if source == FRESH:
        return _fresh_stream(config, card)
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {card.stream} model {path} to start from. Train it first with {card.stream}/train.py, name "
            f"one with --{card.stream} FILE, or start anew with --{card.stream} fresh."
        )
    model, found = load_model(path)
    check_card(found, card, path)
    if model.input_shape[1] != config.crop_size:
        raise ValueError(f"{path} looks at {model.input_shape[1]} pixels. Pass --crop-size {model.input_shape[1]}.")
    print(f"The {card.stream} stream starts from {path}.")
    return model


def _fresh_stream(config: JointConfig, card: ModelCard) -> "keras.Model":
    from streams.networks import build_network
    from streams.preprocessing import pixels_of
    from streams.starting import started

    clip = Input(card.input_kind, card.length)
    pixels = pixels_of(clip, config.crop_size, card.flow)
    fresh = build_network(
        config.backbone, pixels, len(card.classes), dropout=config.dropout, dense_dropout=config.dense_dropout
    )
    whole = dataclasses.replace(config, train="all", stage=())
    default = "none" if clip.is_flow else "imagenet"
    return started(fresh, whole, default=default, clip=clip, classes=card.classes)


if __name__ == "__main__":
    run(main)
