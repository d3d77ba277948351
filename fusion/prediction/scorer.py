"""Pairs a network with its model cards: a model of one stream, or one of both."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from data.store.description import Recipe
from streams.networks.scoring import Crops, view_scorer
from streams.runs.model_file import ModelCard, load_model


@dataclass(frozen=True)
class Scorer:
    """A saved network with its model card."""

    network: keras.Model
    card: ModelCard

    @classmethod
    def load(cls, path: Path) -> "Scorer":
        """Opens a model file."""
        return cls(*load_model(path))

    @property
    def parts(self) -> dict[str, ModelCard]:
        """The model cards of the streams in the network, in the order of its inputs."""
        return self.card.parts

    @property
    def flow_rule(self) -> str:
        """The rule for the levels of flow on which the network was trained; mirroring and showing flow need it."""
        return Recipe.of(self.card.flow).rule

    def of_views(self, num_crops: Crops, precision: str = "float32", layer: str = "") -> Callable[..., tf.Tensor]:
        """Returns a function from the views of each stream to their logits, or to the output of a layer."""
        how = {"precision": precision, "flow_rule": self.flow_rule, "shown": self.card.shown}
        return view_scorer(
            self.until(layer) if layer else self.network, num_crops=num_crops, in_mirror=self.card.in_mirror, **how
        )

    def until(self, layer: str) -> keras.Model:
        """Returns the network up to a layer."""
        if layer not in {each.name for each in self.network.layers}:
            name = self.network.name
            raise ValueError(f"{name} has no layer named {layer}. Every network that this project trains has one.")
        return keras.Model(self.network.inputs[0], self.network.get_layer(layer).output)
