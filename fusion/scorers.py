"""Networks with what they look at: the views of one stream, or of both at once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from fusion.making import Making
from pipelines import augment
from pipelines.inputs import Input
from streams.modelfile import ModelCard, load_model
from streams.scoring import Mirror, view_scorer


@dataclass(frozen=True)
class Scorer:
    """A saved network and what its file says of it."""

    network: Any
    card: ModelCard

    @classmethod
    def load(cls, path: Path) -> "Scorer":
        """Opens a model file."""
        return cls(*load_model(path))

    @property
    def parts(self) -> dict[str, ModelCard]:
        """The cards of the streams that the network looks at, in the order of its inputs."""
        return self.card.parts

    def of_views(self, num_crops: int) -> Callable[..., tf.Tensor]:
        """Returns a function from the views of each part to their logits."""
        return view_scorer(self.network, num_crops=num_crops, mirror_flow=mirror_of(self.card))


def mirror_of(card: ModelCard) -> Mirror:
    """Returns how the flow that a model was trained on is mirrored."""
    return partial(augment.mirror_flow, rule=Making.of(card.flow).rule)


def clip_of(card: ModelCard) -> Input:
    """Returns what one clip of a stream is made of."""
    return Input(card.input_kind, card.length)
