"""The options of a training that say how its network starts and which of its layers learn."""

from dataclasses import dataclass

from commands.options import option
from streams.finetuning import FREEZE_BN, check_place


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """How a network starts and which of its layers learn, for either stream."""

    weights: str = option(
        "auto",
        "imagenet; none; a file (.keras, .weights.h5, .h5), a model of ours among them; or auto: imagenet for the "
        "spatial stream where Keras has such weights of the backbone, none otherwise",
        metavar="SOURCE",
    )
    train: str = option("all", "what learns: all, last-layer, or after-NAME, what follows that layer", metavar="PLACE")
    freeze_bn: str = option("none", "batch normalisations that keep their statistics and weights", choices=FREEZE_BN)
    dense_dropout: float | None = option(
        None, "share left out between dense layers, as in vgg16; as --dropout unless given", metavar="SHARE"
    )

    def __post_init__(self) -> None:
        """Refuses places and stages that cannot be meant."""
        check_place("--train", self.train)
