"""What only the temporal stream knows of its network."""

from collections.abc import Mapping
from typing import Any

import keras

from pipelines.inputs import Input
from streams.networks import build_network
from streams.preprocessing import pixels_of


def temporal_network(
    backbone: str,
    clip: Input,
    flow: Mapping[str, Any],
    *,
    size: int,
    num_classes: int,
    dropout: float,
    dense_dropout: float | None = None,
    subtract_mean: bool = True,
) -> keras.Model:
    """Returns a network that looks at a stack of flow fields, x and y in turn, as `flow.json` describes them."""
    pixels = pixels_of(clip, size, flow, subtract_mean=subtract_mean)
    return build_network(backbone, pixels, num_classes, dropout=dropout, dense_dropout=dense_dropout)
