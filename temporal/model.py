"""What only the temporal stream knows of its network."""

from collections.abc import Mapping
from typing import Any

import keras

from data.flow_levels import RULES
from pipelines.inputs import Input
from streams.networks import build_network
from streams.preprocessing import Pixels


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
    """Returns a network that looks at a stack of flow fields, x and y in turn, as `flow.json` describes them.

    Motion can also be seen in frames that follow each other, as `sg3i` and `rgb_difference` show them.
    """
    if clip.is_flow:
        levels = RULES[flow["rule"]]
        pixels = Pixels("flow", clip.channels, size, flow["bound"], levels.still, levels.reach, subtract_mean)
    else:
        pixels = Pixels("rgb", clip.channels, size, differences=clip.kind == "rgb_difference")
    return build_network(backbone, pixels, num_classes, dropout=dropout, dense_dropout=dense_dropout)
