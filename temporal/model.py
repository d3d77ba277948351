"""Builds the network of the temporal stream, for a stack of flow fields, x and y in turn."""

import keras

from data.catalog import DataSet
from data.ready import flow_description
from pipelines.inputs import Input
from streams.config import TrainConfig
from streams.networks.preprocessing import pixels_of
from streams.networks.start import built, variant_of
from streams.weights.names import WITH_MEAN


def temporal_network(config: TrainConfig, clip: Input, dataset: DataSet, *, subtract_mean: bool = True) -> keras.Model:
    """Returns the network of the options, with its initial weights. The data set gives the meaning of flow levels."""
    flow = flow_description(dataset.root) if clip.is_flow else {}
    variant = variant_of(config)
    pixels = pixels_of(clip, config.crop_size, flow, subtract_mean=subtract_mean and variant.origin not in WITH_MEAN)
    return built(config, variant, pixels, clip, dataset.classes)
