"""How a fresh network starts: the weights that it gets, and which of its layers learn, as the options say."""

import math
from collections.abc import Sequence

import keras

from pipelines.inputs import Input
from streams.config import TrainConfig
from streams.networks.backbones.table import backbone_named
from streams.networks.weights import pretrain
from streams.runs.model_file import card_of_weights, check_unseen


def started(network: keras.Model, options: TrainConfig, clip: Input, classes: Sequence[str]) -> keras.Model:
    """Returns the network of a clip's kind, ready to be trained; says what it starts from and what of it learns.

    Unless the options say else, networks of frames start from ImageNet, if Keras has such weights, and networks of
    flow from random weights.
    """
    source = options.weights
    if source == "auto":
        can_start = backbone_named(options.backbone).application and not clip.is_flow
        source = "imagenet" if can_start else "none"
        if source == "none" and options.train != "all":
            raise ValueError(
                f"--train {options.train} builds on weights that are there, and {options.backbone} has none to start "
                "from. Pass --weights FILE, or --weights none if random ones are meant."
            )
    card = card_of_weights(source)
    if card is not None:
        check_unseen(card, source, data_set=options.dataset, split=options.split, selection=options.protocol)
    # The class scores of a model of ours for the very same task can stay.
    keep_head = card is not None and (card.input_kind, card.classes) == (clip.kind, tuple(classes))
    average_first = clip.kind == "rgb_difference"
    print(pretrain(network, options.backbone, source, average_first=average_first, keep_head=keep_head))
    print(set_trainable(network, options.train, options.freeze_bn), flush=True)
    return network


def set_trainable(network: keras.Model, place: str = "all", freeze_bn: str = "none") -> str:
    """Lets the layers after a place learn, and says in words how many weights that are.

    A batch normalisation that does not learn uses the statistics that it has, in training as in prediction.
    """
    first = _first_index(network, place)
    for index, layer in enumerate(network.layers):
        layer.trainable = index >= first
    # In a network of both streams, each has its own first one.
    for part in (network, *(layer for layer in network.layers if isinstance(layer, keras.Model))):
        normalisations = [layer for layer in part.layers if isinstance(layer, keras.layers.BatchNormalization)]
        # The first one alone sees another kind of input than the network that its statistics are of (TSN, Sec. 3.3).
        kept = {"none": 0, "all-but-first": 1, "all": 0}[freeze_bn]
        for layer in normalisations[kept:] if freeze_bn != "none" else ():
            layer.trainable = False
    learning = sum(math.prod(variable.shape) for variable in network.trainable_variables)
    return f"{learning:,} of {network.count_params():,} weights of {network.name} learn (from {place})."


def _first_index(network: keras.Model, place: str) -> int:
    names = [layer.name for layer in network.layers]
    if place == "all":
        return 0
    wanted = "features" if place == "last-layer" else place.removeprefix("after-")
    if wanted not in names:
        alike = [name for name in names if name[:3] == wanted[:3]] or names[-8:]
        raise ValueError(f"{network.name} has no layer {wanted!r} to learn after. It has {', '.join(alike)}.")
    return names.index(wanted) + 1
