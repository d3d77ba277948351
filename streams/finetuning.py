"""Which layers learn, and when: the last layer alone, stage by stage, and batch normalisation that stays as it is."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

FREEZE_BN = ("none", "all-but-first", "all")
OPTIMIZERS = ("adam", "sgd", "rmsprop")


@dataclass(frozen=True)
class Stage:
    """Some epochs in which the layers after a place learn, with an optimiser of their own."""

    place: str  # "all", "last-layer", or "after-" and the name of a layer.
    epochs: int
    optimizer: str
    learning_rate: float


def parse_stage(text: str) -> Stage:
    """Reads `PLACE:EPOCHS:OPTIMIZER:RATE`."""
    parts = text.split(":")
    try:
        place, epochs, optimizer, rate = parts[0], int(parts[1]), parts[2], float(parts[3])
        is_right = len(parts) == 4 and epochs > 0 and 0 < rate < math.inf and optimizer in OPTIMIZERS
    except (ValueError, IndexError):
        is_right = False
    if not is_right:
        raise ValueError(
            "--stage is PLACE:EPOCHS:OPTIMIZER:RATE, as in last-layer:10:rmsprop:1e-3 or after-mixed8:10:sgd:1e-4, "
            f"with an optimizer of {', '.join(OPTIMIZERS)}. Received {text!r}."
        )
    check_place("--stage", place)
    return Stage(place, epochs, optimizer, rate)


def check_place(name: str, place: str) -> None:
    """Refuses what is no place to learn from; whether a network has the layer shows when it is built."""
    if place not in ("all", "last-layer") and (not place.startswith("after-") or place == "after-"):
        raise ValueError(f"{name} learns from all, last-layer or after-NAME of a layer. Received {place!r}.")


def set_trainable(network: "keras.Model", place: str = "all", freeze_bn: str = "none") -> str:
    """Lets the layers after a place learn, and says in words how many weights that are.

    A batch normalisation that does not learn uses the statistics that it has, in training as in prediction.
    """
    import keras

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


def _first_index(network: "keras.Model", place: str) -> int:
    names = [layer.name for layer in network.layers]
    if place == "all":
        return 0
    wanted = "features" if place == "last-layer" else place.removeprefix("after-")
    if wanted not in names:
        alike = [name for name in names if name[:3] == wanted[:3]] or names[-8:]
        raise ValueError(f"{network.name} has no layer {wanted!r} to learn after. It has {', '.join(alike)}.")
    return names.index(wanted) + 1
