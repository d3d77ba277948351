"""Builds the network of both streams for training, from saved streams, fresh streams, or an earlier such network."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras

from data.catalog import DataSet
from fusion.joint.config import FRESH, JointConfig, source_of
from pipelines.inputs import Input
from streams.networks.both_streams import two_stream_network
from streams.networks.preprocessing import pixels_of
from streams.networks.start import built, set_trainable, variant_of
from streams.runs.model_file import ModelCard, check_unseen, load_model
from streams.weights.names import WITH_MEAN


def joint_network(config: JointConfig, dataset: DataSet, cards: Sequence[ModelCard]) -> keras.Model:
    """Returns the network, built from saved or fresh streams, or loaded from an earlier network of both."""
    if config.weights.endswith(".keras"):
        found, card = load_model(Path(config.weights))
        check_card(card, ModelCard.joint(*cards), config.weights)
        print(f"All weights come from {config.weights}.")
    else:
        found = two_stream_network(
            len(dataset.classes),
            spatial=_stream(config, cards[0]),
            temporal=_stream(config, cards[1]),
            fusion=":".join([config.fusion, *config.fuse_at]),
            spatial_weight=config.spatial_weight,
            dropout=config.dropout,
            multi_label=dataset.multi_label,
        )
    print(set_trainable(found, config.train, config.freeze_bn), flush=True)
    return found


def check_card(found: ModelCard, wanted: ModelCard, path: str | Path) -> None:
    """Raises ValueError if a model has other classes or another input, or was trained on test videos of this split."""
    for name in ("stream", "input_kind", "length", "stride", "classes", "data_set"):
        ours, theirs = getattr(wanted, name), getattr(found, name)
        if ours != theirs:
            raise ValueError(
                f"{path} has {name} {theirs!r}, but this training has {ours!r}. Name another model or option."
            )
    check_unseen(found, path, data_set=wanted.data_set, split=wanted.split, selection=wanted.selection)


def _stream(config: JointConfig, card: ModelCard) -> keras.Model:
    """Returns one stream, saved or fresh. A fresh stream has the usual initial weights of its kind."""
    source = source_of(config, card.stream)
    if source == FRESH:
        return _fresh_stream(config, card)
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {card.stream} model {path} to start from. Train it first: ./run train {card.stream}. Or name "
            f"another with --{card.stream} FILE, or start without one by --{card.stream} fresh."
        )
    model, found = load_model(path)
    check_card(found, card, path)
    if model.input_shape[1] != config.crop_size:
        raise ValueError(f"{path} takes {model.input_shape[1]} pixels. Pass --crop-size {model.input_shape[1]}.")
    print(f"The {card.stream} stream starts from {path}.")
    return model


def _fresh_stream(config: JointConfig, card: ModelCard) -> keras.Model:
    clip, variant = Input(card.input_kind, card.length), variant_of(config)
    pixels = pixels_of(clip, config.crop_size, card.flow, subtract_mean=variant.origin not in WITH_MEAN)
    whole = dataclasses.replace(config, train="all", stage=())
    return built(whole, variant, pixels, clip, card.classes)
