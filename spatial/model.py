"""What only the spatial stream knows of its network."""

import keras

from pipelines.inputs import Input
from streams.networks import build_network
from streams.preprocessing import pixels_of


def spatial_network(
    backbone: str, clip: Input, *, size: int, num_classes: int, dropout: float, dense_dropout: float | None = None
) -> keras.Model:
    """Returns a network that looks at one RGB frame, or at another kind of clip that is made of frames."""
    return build_network(backbone, pixels_of(clip, size, {}), num_classes, dropout=dropout, dense_dropout=dense_dropout)
