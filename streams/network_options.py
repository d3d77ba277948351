"""The options of a training that say how its network starts and which of its layers learn."""

from dataclasses import dataclass

from commands.options import option
from streams.finetuning import FREEZE_BN, check_place, parse_stage

# How a network of both streams joins them: see streams/two_stream.py.
FUSIONS = ("average", "logits", "weighted", "concat", "conv")


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """How a network starts and which of its layers learn, for either stream."""

    recipe: str = option("", "defaults of a published training; list prints them all", metavar="NAME")
    weights: str = option(
        "auto",
        "imagenet; none; a file (.keras, .weights.h5, .h5), a model of ours among them; or auto: imagenet for the "
        "spatial stream where Keras has such weights of the backbone, none otherwise",
        metavar="SOURCE",
    )
    train: str = option("all", "what learns: all, last-layer, or after-NAME, what follows that layer", metavar="PLACE")
    stage: tuple[str, ...] = option(
        (),
        "a stage of the training, PLACE:EPOCHS:OPTIMIZER:RATE as in last-layer:10:rmsprop:1e-3; repeat it: each goes "
        "on with the best weights of the one before",
        repeat=True,
        metavar="STAGE",
    )
    freeze_bn: str = option("none", "batch normalisations that keep their statistics and weights", choices=FREEZE_BN)
    first_layer_rate: float = option(1.0, "learning rate of the first convolution, times the others'", metavar="X")
    dense_dropout: float | None = option(
        None, "share left out between dense layers, as in vgg16; as --dropout unless given", metavar="SHARE"
    )

    def __post_init__(self) -> None:
        """Refuses places and stages that cannot be meant."""
        check_place("--train", self.train)
        for stage in self.stage:
            parse_stage(stage)
        if self.first_layer_rate != 1 and (self.train != "all" or self.stage):
            raise ValueError("--first-layer-rate needs a first layer that learns. Drop it, or --train and --stage.")
