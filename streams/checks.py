"""Checks the values of a training's options, before anything heavy is imported."""

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# The names in the table of backbones. That table imports Keras, which takes seconds, so a wrong name is refused before.
BACKBONE_NAMES = (
    "small",
    "cnn_m_2048",
    "cnn_m_2048_bn",
    "vgg16",
    "resnet18",
    "resnet50",
    "resnet101",
    "resnet152",
    "inception_v3",
    "xception",
    "motion",
    "mobilenet",
    "mobilenet_v2",
    "efficientnet_v2_b0",
    "efficientnet_v2_s",
    "convnext_tiny",
    "bn_inception",
)
FREEZE_BN = ("none", "all-but-first", "all")
OPTIMIZERS = ("adam", "sgd", "rmsprop")

# The conditions on numbers, in words and as a test, with their options. None means that the option is not used.
_LIMITS: tuple[tuple[str, Callable[[float], bool], tuple[str, ...]], ...] = (
    (
        "at least 1",
        lambda value: value >= 1,
        (
            *("split", "epochs", "steps", "batch_size", "rate_batch", "accumulate", "crop_size", "segments", "stride"),
            *("devices", "threads", "patience", "plateau", "milestones"),
        ),
    ),
    (
        "at least 0 and below 1",
        lambda value: 0 <= value < 1,
        ("validation", "dropout", "dense_dropout", "momentum", "label_smoothing", "ema", "drop_path"),
    ),
    ("from 0 to 0.5", lambda value: 0 <= value <= 0.5, ("shift",)),
    ("from 0 to 1", lambda value: 0 <= value <= 1, ("teacher_weight",)),
    ("above 0 and at most 1", lambda value: 0 < value <= 1, ("layer_decay",)),
    (
        "at least 0",
        lambda value: 0 <= value < math.inf,
        ("warmup", "weight_decay", "checkpoint_minutes", "host_index"),
    ),
    ("a number above 0", lambda value: 0 < value < math.inf, ("learning_rate", "clip_norm", "first_layer_rate")),
)


@dataclass(frozen=True)
class Stage:
    """A stage of a training: some epochs in which the layers after a place are trained, with their own optimizer."""

    place: str  # "all", "last-layer", or "after-" and the name of a layer.
    epochs: int
    optimizer: str
    learning_rate: float


def check_backbone(name: str) -> None:
    """Raises ValueError for a network that does not exist, and suggests the most similar name."""
    if name not in BACKBONE_NAMES:
        raise _unknown(name)


def _unknown(backbone: str) -> ValueError:
    guess = difflib.get_close_matches(backbone, BACKBONE_NAMES, n=1)
    meant = f"; did you mean {guess[0]}?" if guess else "."
    return ValueError(f"There is no backbone {backbone!r}{meant} Choose one of {', '.join(BACKBONE_NAMES)}.")


def check_numbers(options: Mapping[str, Any]) -> None:
    """Raises ValueError for numbers that no training could use."""
    for expected, is_right, names in _LIMITS:
        for name in names:
            values = options[name] if isinstance(options[name], tuple) else (options[name],)
            for value in values:
                if value is not None and not is_right(value):
                    raise ValueError(f"--{name.replace('_', '-')} is {value}; it must be {expected}.")


def check_place(name: str, place: str) -> None:
    """Raises ValueError for an impossible place. Whether this network has it is checked when the network is built."""
    if place not in ("all", "last-layer") and (not place.startswith("after-") or place == "after-"):
        raise ValueError(f"{name} takes all, last-layer, or after-NAME with the name of a layer. Received {place!r}.")


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
