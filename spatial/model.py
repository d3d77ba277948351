"""Builds the network of the spatial stream, for one RGB frame or another kind of clip made of frames."""

import keras

from data.catalog import DataSet
from pipelines.inputs import Input
from streams.config import TrainConfig
from streams.networks.preprocessing import pixels_of
from streams.networks.start import built, variant_of


def spatial_network(config: TrainConfig, clip: Input, dataset: DataSet) -> keras.Model:
    """Returns the network of the options, with its initial weights."""
    pixels = pixels_of(clip, config.crop_size, {})
    return built(config, variant_of(config), pixels, clip, dataset.classes)
