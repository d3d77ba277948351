"""What only the temporal stream knows of its network."""

import keras

from streams.networks import build_network


def temporal_network(
    backbone: str, *, size: int, length: int, bound: float, num_classes: int, dropout: float
) -> keras.Model:
    """Returns a network that looks at a stack of flow fields, x and y interleaved."""
    return build_network(
        backbone,
        input_name="flow",
        channels=2 * length,
        size=size,
        num_classes=num_classes,
        dropout=dropout,
        flow_bound=bound,
    )
