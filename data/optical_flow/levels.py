"""Flow in pixels <-> the 8-bit levels that are stored on disk.

Two rules are known. `centred`, ours: level = 128 + round(u * 127 / bound), from 1 to 255. Standing
still is exactly level 128, and moving left is the exact mirror of moving right: 256 - level.
`classic`, of other tools: level = round(127.5 + u * 255 / (2 * bound)), from 0 to 255. There
nothing moves at 127.5, a level that does not exist, so a still image reads as .078 pixels at
the usual bound of 20; its mirror is 255 - level.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class LevelRule(NamedTuple):
    """How a rule maps -bound..bound to levels: `level = still + u * reach / bound`."""

    still: float
    reach: float
    lowest: int


RULES = {
    "centred": LevelRule(still=128.0, reach=127.0, lowest=1),
    "classic": LevelRule(still=127.5, reach=127.5, lowest=0),
}


# Pixels at which flow may be clipped; no frame is larger.
BOUNDS = (0.01, 10_000.0)


def quantise(flow: np.ndarray, bound: float = 20.0, rule: str = "centred") -> np.ndarray:
    """Returns flow in pixels as uint8 levels; what moves further than `bound` is clipped to it.

    Rounding is to the nearest level and symmetrical, so under `centred`
    `quantise(-flow) == 256 - quantise(flow)` holds exactly.
    """
    still, reach, lowest = _rule(rule, bound)
    flow = np.asarray(flow, np.float32)
    # The smallest and largest of an array with NaN is NaN: two quick passes without a mask.
    if flow.size and np.isnan(flow.min()):
        raise ValueError("Flow must be finite to be stored. Received NaN; compute the flow of finite frames.")
    steps = flow * np.float32(reach / bound)
    if rule == "centred":
        # Rounding before adding 128 keeps halves symmetrical around stillness.
        steps = np.rint(steps)
        return (np.clip(steps, -reach, reach) + still).astype(np.uint8)
    return np.clip(np.floor(steps + (still + 0.5)), lowest, 255).astype(np.uint8)


def dequantise(levels: np.ndarray, bound: float = 20.0, rule: str = "centred") -> np.ndarray:
    """Returns uint8 levels as float32 pixels: `(level - still) * bound / reach`."""
    still, reach, _ = _rule(rule, bound)
    return (np.asarray(levels).astype(np.float32) - np.float32(still)) * np.float32(bound / reach)


def mirror_levels(levels: np.ndarray, rule: str = "centred") -> np.ndarray:
    """Returns the levels of the opposite motion, exactly.

    Level 0 does not exist under `centred`, yet a JPEG decoder may write it beside a clipped edge: it counts as 1.
    """
    still, _, lowest = _rule(rule, 1.0)
    return (int(2 * still) - np.maximum(np.asarray(levels).astype(np.int16), lowest)).astype(np.uint8)


def check_bound(bound: float) -> None:
    """Raises ValueError unless flow can be clipped at so many pixels."""
    least, most = BOUNDS
    if not least <= bound <= most:  # Written so that NaN is refused, too.
        raise ValueError(f"The bound of flow must be from {least:g} to {most:g} pixels. Received {bound!r}.")


def _rule(rule: str, bound: float) -> LevelRule:
    if rule not in RULES:
        raise ValueError(f"The rule of flow levels must be one of {', '.join(RULES)}. Received {rule!r}.")
    check_bound(bound)
    return RULES[rule]
