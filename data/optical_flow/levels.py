"""Converts flow between pixels and the 8-bit levels that are stored on disk, by one of three rules.

`centred` is the rule of this project: level = 128 + round(u * 127 / bound), from 1 to 255. No motion is exactly level
128, and the opposite motion is exactly 256 - level.

`classic` is the rule of other tools: level = round(127.5 + u * 255 / (2 * bound)), from 0 to 255. No motion would be
127.5, which is not a whole level, so a still image reads as 0.078 pixels of motion at the usual bound of 20. The
opposite motion is 255 - level.

`truncated` is the rule of tools that cut the fraction off instead of rounding, as mmaction2's tool for processors does:
level = floor(127.5 + u * 255 / (2 * bound)), from 0 to 255. No motion is level 127, and a level stands for the middle
of the stretch that was cut to it, (level - 127) * 2 * bound / 255. Read by the rule `classic`, such flow is 0.078
pixels off in both axes at the usual bound. The opposite motion is 254 - level; level 255, which is the bound itself,
counts as 254.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data.catalog import FLOATS


class LevelRule(NamedTuple):
    """The numbers of a rule: `level = still + u * reach / bound`, never below `lowest`."""

    still: float
    reach: float
    lowest: int

    @property
    def highest(self) -> int:
        """The level of the motion opposite to that of `lowest`; a level above counts as this one."""
        return int(2 * self.still) - self.lowest


RULES = {
    "centred": LevelRule(still=128.0, reach=127.0, lowest=1),
    "classic": LevelRule(still=127.5, reach=127.5, lowest=0),
    "truncated": LevelRule(still=127.0, reach=127.5, lowest=0),
}
# Flow that is stored in pixels has levels once it is read: ours.
RULES[FLOATS] = RULES["centred"]


# The least and greatest bound, in pixels; no frame is larger.
BOUNDS = (0.01, 10_000.0)


def quantise(flow: np.ndarray, bound: float = 20.0, rule: str = "centred") -> np.ndarray:
    """Returns flow in pixels as uint8 levels; motion longer than `bound` along an axis is clipped.

    Rounding is to the nearest level and symmetrical, so under `centred`
    `quantise(-flow) == 256 - quantise(flow)` holds exactly.
    """
    still, reach, lowest = _rule(rule, bound)
    flow = np.asarray(flow, np.float32)
    # The minimum is NaN if any value is: one quick pass, and no mask.
    if flow.size and np.isnan(flow.min()):
        raise ValueError("Flow must be finite to be stored. Received NaN. Compute flow from finite frames.")
    steps = flow * np.float32(reach / bound)
    if RULES[rule] == RULES["centred"]:
        # Rounding before 128 is added keeps positive and negative halves symmetrical.
        steps = np.rint(steps)
        return (np.clip(steps, -reach, reach) + still).astype(np.uint8)
    return np.clip(np.floor(steps + (still + 0.5)), lowest, 255).astype(np.uint8)


def dequantise(levels: np.ndarray, bound: float = 20.0, rule: str = "centred") -> np.ndarray:
    """Returns uint8 levels as float32 pixels: `(level - still) * bound / reach`."""
    still, reach, _ = _rule(rule, bound)
    return (np.asarray(levels).astype(np.float32) - np.float32(still)) * np.float32(bound / reach)


def mirror_levels(levels: np.ndarray, rule: str = "centred") -> np.ndarray:
    """Returns the levels of the opposite motion, exactly.

    The rule `centred` has no level 0, but JPEG decoding may produce it next to a clipped edge. It counts as 1.
    """
    numbers = _rule(rule, 1.0)
    known = np.clip(np.asarray(levels).astype(np.int16), numbers.lowest, numbers.highest)
    return (int(2 * numbers.still) - known).astype(np.uint8)


def check_bound(bound: float) -> None:
    """Raises ValueError if the bound, in pixels, is outside its limits."""
    least, most = BOUNDS
    if not least <= bound <= most:  # This form also refuses NaN.
        raise ValueError(f"The bound of flow must be from {least:g} to {most:g} pixels. Received {bound!r}.")


def _rule(rule: str, bound: float) -> LevelRule:
    if rule not in RULES:
        raise ValueError(f"The rule of flow levels must be one of {', '.join(RULES)}. Received {rule!r}.")
    check_bound(bound)
    return RULES[rule]
