"""The network of every recipe learns eight clips by heart."""

import keras
import numpy as np
import pytest

from streams.networks.backbones.table import BACKBONES
from streams.networks.build import build_network
from streams.networks.preprocessing import Pixels
from streams.recipes.table import RECIPES

BACKBONES_OF_RECIPES = sorted(
    {
        options.get("backbone", "small")
        for recipe in RECIPES.values()
        for options in (recipe.spatial, recipe.temporal)
        if options is not None
    }
)


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES_OF_RECIPES)
def test_eight_clips_are_learnt_by_heart(name: str) -> None:
    keras.utils.set_random_seed(0)
    network = build_network(name, Pixels("flow", 4, max(32, BACKBONES[name].smallest)), 4, dropout=0.0)
    clips = np.random.default_rng(0).integers(64, 192, (8, *network.input_shape[1:]), dtype=np.uint8)
    labels = np.arange(8) % 4
    # Without normalisation, deep networks want small steps.
    rate = 1e-4 if name in ("vgg16", "cnn_m_2048") else 1e-3
    network.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        run_eagerly=True,  # A few steps are enough; making a graph of a deep network takes longer than they do.
    )

    for _ in range(60):
        accuracy = network.train_on_batch(clips, labels)[1]
        network.reset_metrics()
        if accuracy == 1:
            break

    assert accuracy == 1
