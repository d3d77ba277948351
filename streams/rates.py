"""A learning rate of its own for the first layer, which sees another kind of input than its weights were made for."""

from collections.abc import Sequence
from typing import Any

import keras


def with_first_layer_rate(
    kind: type[keras.optimizers.Optimizer], factor: float, **settings: Any
) -> keras.optimizers.Optimizer:
    """Returns an optimizer of a kind that changes the first layer `factor` times as fast as the others."""
    if factor == 1.0:
        return kind(**settings)

    class FirstLayerRate(kind):
        """Scales the rate, not the gradient, which some optimizers normalise away."""

        def build(self, variables: Sequence[keras.Variable]) -> None:
            """Notes which variables are the first layer's."""
            first = variables[0].path.rpartition("/")[0]
            self.num_first = sum(variable.path.rpartition("/")[0] == first for variable in variables)
            super().build(variables)

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            """Changes one variable."""
            is_first = self._get_variable_index(variable) < self.num_first
            super().update_step(gradient, variable, learning_rate * factor if is_first else learning_rate)

    return FirstLayerRate(name=kind.__name__.lower(), **settings)
