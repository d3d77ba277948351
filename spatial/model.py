"""What only the spatial stream knows of its network."""

import keras

from streams.networks import build_network


def spatial_network(backbone: str, *, size: int, num_classes: int, dropout: float) -> keras.Model:
    """Returns a network that looks at one RGB frame."""
    return build_network(
        backbone, input_name="rgb", channels=3, size=size, num_classes=num_classes, dropout=dropout, flow_bound=0
    )
