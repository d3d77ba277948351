"""Builds the network of the spatial stream, for one RGB frame or another kind of clip made of frames."""

import keras

from data.catalog import DataSet
from pipelines.inputs import Input
from streams.config import TrainConfig
from streams.networks.build import build_network
from streams.networks.preprocessing import pixels_of
from streams.networks.start import started, variant_of


def spatial_network(config: TrainConfig, clip: Input, dataset: DataSet) -> keras.Model:
    """Returns the network of the options with the weights that it starts from."""
    variant = variant_of(config)
    pixels = pixels_of(clip, config.crop_size, {})
    network = build_network(
        config.backbone,
        pixels,
        len(dataset.classes),
        dropout=config.dropout,
        dense_dropout=config.dense_dropout,
        variant=variant,
    )
    return started(network, config, clip, dataset.classes)
