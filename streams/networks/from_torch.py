"""Reads the weights in a PyTorch file as those of a network's layers, with axes in the order of Keras."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers

from streams.networks.shift import shifts
from streams.networks.variants import flattened_shapes
from streams.weights.names import HEAD, ORIGINS, check_shifts, places
from streams.weights.tensors import Tensor
from streams.weights.torch_file import origin_of, read_tensors

# The dense layers between a map and the class scores. Some files lack them.
_OPTIONAL = ("dense1", "dense2", HEAD)
# The weights of layers without a kernel, in the order of Keras.
_STATISTICS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class StoredLayer:
    """The weights of one layer in a file, which are read on demand."""

    layer: keras.Layer  # The layer that takes the weights.
    parts: Mapping[str, Tensor]
    flat: Sequence[int] = ()  # The shape of the map before a dense layer.
    last_first: bool = False  # Whether its first two channels come after the others.

    @property
    def name(self) -> str:
        """The name of the layer."""
        return str(self.layer.name)

    @property
    def weights(self) -> list[np.ndarray]:
        """The weights in the order of Keras."""
        if not hasattr(self.layer, "kernel"):
            return [self.parts[part].read().reshape(-1) for part in _STATISTICS if part in self.parts]
        kernel = _kernel(self.layer, self.parts["weight"].read(), self.flat)
        kernel = np.roll(kernel, 2, axis=2) if self.last_first else kernel
        if not self.layer.use_bias:
            return [kernel]
        # Some files have no bias where normalisation follows.
        return [kernel, self.parts["bias"].read() if "bias" in self.parts else np.zeros(kernel.shape[-1], np.float32)]

    def get_weights(self) -> list[np.ndarray]:
        """Returns the weights, like a layer."""
        return self.weights


def stored_layers(
    network: keras.Model, weighted: Sequence[keras.Layer], backbone: str, path: Path
) -> list[StoredLayer]:
    """Returns the layers of a network whose weights are in a file, in order of the graph.

    Raises ValueError for the first tensor without a layer, and for the first layer without weights.
    """
    tensors = read_tensors(path)
    try:
        check_shifts(tensors, shifts=shifts(network))
        placed = places(backbone, tensors)
        named = {layer.name: layer for layer in weighted}
        for name, parts in placed.items():
            _check(named.get(name), parts)
        missing = [name for name in named if name not in placed and name not in _OPTIONAL]
        if missing:
            raise ValueError(f"it has no weights of {missing[0]}")
    except ValueError as error:
        raise ValueError(f"{path} does not fit {network.name}: {error}.") from None
    flat, last_first = flattened_shapes(network), ORIGINS[origin_of(tensors)].last_first
    return [
        StoredLayer(
            layer,
            {part: tensors[tensor] for part, tensor in placed[name].items()},
            flat.get(name, ()),
            last_first and layer is weighted[0],
        )
        for name, layer in named.items()
        if name in placed
    ]


def _check(layer: keras.Layer | None, parts: Mapping[str, str]) -> None:
    """Raises ValueError for a tensor that the layer does not need, and for a missing one."""
    wanted = _STATISTICS[: len(layer.weights)] if layer else ()
    for part, tensor in parts.items():
        if part not in wanted:
            raise ValueError(f"it has {tensor}, but the network has no layer for it")
    for part in wanted:
        if part not in parts and not (hasattr(layer, "kernel") and part == "bias"):
            raise ValueError(f"it has no {part} beside {next(iter(parts.values()))}")


def _kernel(layer: keras.Layer, stored: np.ndarray, flat: Sequence[int]) -> np.ndarray:
    """Returns a kernel with axes in the order of Keras. A kernel that can't be that of the layer stays unchanged."""
    if isinstance(layer, layers.Dense):
        if flat and stored.ndim == 2 and stored.shape[1] == np.prod(flat):
            height, width, channels = flat
            return stored.reshape(-1, channels, height, width).transpose(2, 3, 1, 0).reshape(-1, len(stored))
        return stored.T
    if stored.ndim != 4:
        return stored
    return stored.transpose((2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0))
