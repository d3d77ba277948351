"""Combines networks with their model cards: the models of the streams, or one for both."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from commands.files import read_member
from commands.schema import parsed
from data.store.description import Recipe
from fusion.prediction.prediction import FUSED
from streams.networks.scoring import Crops, view_scorer
from streams.runs.model_file import BOTH, ModelCard, load_model, open_network, read_card

# The file in an exported model that holds the cards of its streams.
CARDS = "streams.json"


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
        """The cards of the streams that the network looks at, in the order of its inputs."""
        return self.card.parts

    @property
    def flow_rule(self) -> str:
        """The rule of the levels that the network was trained on, by which its flow is mirrored and shown."""
        return Recipe.of(self.card.flow).rule

    def of_views(self, num_crops: Crops, precision: str = "float32") -> Callable[..., tf.Tensor]:
        """Returns a function from the views of each part to their logits."""
        how = {"precision": precision, "flow_rule": self.flow_rule, "shown": self.card.shown}
        return view_scorer(self.network, num_crops=num_crops, in_mirror=self.card.in_mirror, **how)


def scorers_in(path: Path) -> dict[str, Scorer]:
    """Returns the streams that an exported Keras file joins, or the network itself if it was trained as one."""
    text = read_member(path, CARDS)
    if text is None:
        if read_card(path).stream == BOTH:
            return {FUSED: Scorer.load(path)}
        raise ValueError(
            f"{path} is neither a model that ./run export wrote nor a network of both streams that this project "
            "trained. Pass the model of one stream as --spatial or --temporal."
        )
    try:
        cards = {name: card.checked() for name, card in parsed(text, dict[str, ModelCard]).items()}
        model = open_network(path)
        scorers = {name: Scorer(model.get_layer(name), card) for name, card in cards.items()}
        if not scorers or any(each.network.output_shape[-1] != len(each.card.classes) for each in scorers.values()):
            raise ValueError("its streams don't score the classes that it names")
        return scorers
    except ValueError as error:
        raise ValueError(f"{path} can't be used as an exported model: {error}. Export it again.") from None
