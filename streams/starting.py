"""A fresh network gets its weights, and it is decided which of its layers learn, as the options of a training say."""

from collections.abc import Sequence
from typing import Any

import keras

from streams.backbones.table import backbone_named
from streams.config import TrainConfig
from streams.finetuning import set_trainable
from streams.modelfile import card_of_weights, check_unseen
from streams.weights import pretrain


def started(
    network: keras.Model, options: TrainConfig, *, default: str, clip: Any, classes: Sequence[str]
) -> keras.Model:
    """Returns the network of a clip's kind, ready to be trained; says what it starts from and what of it learns.

    `default` is where the weights come from unless the options say it: imagenet, where Keras has such, or none.
    """
    source = options.weights
    if source == "auto":
        source = default if backbone_named(options.backbone).application else "none"
        if source == "none" and options.train != "all":
            raise ValueError(
                f"--train {options.train} builds on weights that are there, and {options.backbone} has none to start "
                "from. Pass --weights FILE, or --weights none if random ones are meant."
            )
    card = card_of_weights(source)
    if card is not None:
        place: dict[str, Any] = {"data_set": options.dataset, "split": options.split, "selection": options.protocol}
        check_unseen(card, source, **place)
    # The class scores of a model of ours for the very same task can stay.
    keep_head = card is not None and (card.input_kind, card.classes) == (clip.kind, tuple(classes))
    average_first = clip.kind == "rgb_difference"
    print(pretrain(network, options.backbone, source, average_first=average_first, keep_head=keep_head))
    print(set_trainable(network, options.train, options.freeze_bn), flush=True)
    return network
