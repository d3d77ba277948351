"""The first layer's own learning rate."""

import keras
import numpy as np
import pytest

from streams.networks.build import build_network
from streams.networks.preprocessing import Pixels
from streams.training.tricks.layer_rates import with_layer_rates


@pytest.mark.parametrize("kind", [keras.optimizers.SGD, keras.optimizers.Adam, keras.optimizers.RMSprop])
def test_the_first_layer_moves_that_many_times_as_far_and_no_other(kind: type) -> None:
    moved = {}
    for factor in (1.0, 5.0):
        keras.utils.set_random_seed(0)
        network = build_network("small", Pixels("flow", 4, 16), 3)
        before = [variable.numpy() for variable in network.trainable_variables]
        optimizer = with_layer_rates(kind, factor, learning_rate=1e-3)
        optimizer.apply([keras.ops.ones_like(variable) for variable in before], network.trainable_variables)
        moved[factor] = [a.numpy() - b for a, b in zip(network.trainable_variables, before, strict=True)]

    np.testing.assert_allclose(moved[5.0][0], 5 * moved[1.0][0], rtol=1e-3)
    for fast, slow in zip(moved[5.0][1:], moved[1.0][1:], strict=True):
        np.testing.assert_array_equal(fast, slow)
