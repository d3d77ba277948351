"""What no training could use: refused as soon as the options are known, before anything heavy is imported."""

import difflib
import math
from collections.abc import Mapping
from typing import Any

# The names of the table of backbones, which imports Keras: a wrong name is told before that takes its seconds.
BACKBONE_NAMES = (
    "small",
    "cnn_m_2048",
    "cnn_m_2048_bn",
    "vgg16",
    "resnet18",
    "resnet50",
    "inception_v3",
    "xception",
    "motion",
    "mobilenet",
    "mobilenet_v2",
    "efficientnet_v2_b0",
    "bn_inception",
)


def check_backbone(name: str) -> None:
    """Refuses a network that does not exist, and suggests the one whose name is nearest."""
    if name not in BACKBONE_NAMES:
        guess = difflib.get_close_matches(name, BACKBONE_NAMES, n=1)
        meant = f"; did you mean {guess[0]}?" if guess else "."
        raise ValueError(f"There is no backbone {name!r}{meant} Choose one of {', '.join(BACKBONE_NAMES)}.")


def check_numbers(options: Mapping[str, Any]) -> None:
    """Refuses numbers that no training could use."""
    for name in ("split", "epochs", "batch_size", "accumulate", "crop_size", "segments"):
        _check(options[name] >= 1, name, options[name], "at least 1")
    for name in ("steps", "rate_batch", "devices", "threads", "patience", "plateau"):
        value = options[name]
        _check(value is None or value >= 1, name, value, "at least 1")
    for name in ("validation", "dropout", "dense_dropout", "momentum"):
        value = options[name]
        _check(value is None or 0 <= value < 1, name, value, "at least 0 and below 1")
    for name in ("warmup", "weight_decay", "checkpoint_minutes", "host_index"):
        value = options[name]
        _check(0 <= value < math.inf, name, value, "at least 0")
    for name in ("learning_rate", "clip_norm", "first_layer_rate"):
        value = options[name]
        _check(value is None or 0 < value < math.inf, name, value, "a number above 0")
    _check(
        all(each >= 1 for each in options["milestones"]),
        "milestones",
        min(options["milestones"], default=1),
        "at least 1",
    )
    _check(
        options["batch_size"] % options["accumulate"] == 0,
        "accumulate",
        options["accumulate"],
        f"a divisor of {options['batch_size']}",
    )


def _check(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ValueError(f"--{name.replace('_', '-')} is {value}; it must be {expected}.")
