"""The stages of a training: which layers learn in each, for how long, and what each goes on from."""

import math
from dataclasses import dataclass

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
