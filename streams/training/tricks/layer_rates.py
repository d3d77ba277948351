"""Optimizers with a learning rate for each layer: a faster first layer, or slower rates towards the input."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

# Groups of layers that share a rate, as in the larger ConvNeXts (Liu et al. 2022, Appendix A.2).
GROUPS = 12


def with_layer_rates(
    kind: type[keras.optimizers.Optimizer], first_layer_rate: float = 1.0, layer_decay: float = 1.0, **settings: Any
) -> keras.optimizers.Optimizer:
    """Returns an optimizer of a kind whose first layer has `first_layer_rate` times the rate of the others.

    With `layer_decay`, the class scores have the whole rate, and each group of layers has this multiple of the rate of
    the group after it.
    """

    class LayerRates(kind):
        """Scales the rate instead of the gradient, because some optimizers normalise gradients."""

        weight_decay: Any

        def build(self, variables: Sequence[keras.Variable]) -> None:
            """Records the rate of each variable."""
            self.shares = shares_of(variables, first_layer_rate, layer_decay)
            super().build(variables)

        def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
            """Updates one variable."""
            super().update_step(gradient, variable, learning_rate * self.shares[self._get_variable_index(variable)])

        def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
            whole = self.weight_decay
            for share in sorted(set(self.shares)) if whole else ():
                self.weight_decay = whole * share
                super()._apply_weight_decay([v for v, s in zip(variables, self.shares, strict=True) if s == share])
            self.weight_decay = whole

    return LayerRates(name=kind.__name__.lower(), **settings)


def shares_of(variables: Sequence[keras.Variable], first_layer_rate: float, layer_decay: float) -> list[float]:
    """Returns the multiple of the rate for each variable, in the order of the network."""
    layers = [variable.path.rpartition("/")[0] for variable in variables]
    # A layer with a kernel begins a new group. The normalisation after it belongs to that group.
    kernels = list(dict.fromkeys(name for name, each in zip(layers, variables, strict=True) if len(each.shape) > 1))
    places, place = [], 0
    for name in layers:
        place = kernels.index(name) if name in kernels else place
        places.append(place)
    body = max(1, len(kernels) - 1)
    groups = min(GROUPS, body)
    above = [0 if place == body else groups - place * groups // body for place in places]
    return [
        layer_decay**number * (first_layer_rate if name == layers[0] else 1.0)
        for number, name in zip(above, layers, strict=True)
    ]
