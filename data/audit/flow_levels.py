"""Checks by which rule flow was turned into levels, against flow computed here."""

from collections.abc import Iterator, Sequence

import numpy as np

from data.audit.findings import WARNING, Finding
from data.optical_flow.levels import RULES

# Pixels that move less than this along an axis, of which there must be so many, in so many fields.
SLOW, LEAST_PIXELS, LEAST_FIELDS = 0.5, 500, 4
# How near the level of no motion must be to that of another rule, in levels.
NEAR = 0.2


def audit_levels(fields: Sequence[tuple[np.ndarray, np.ndarray]], rule: str, bound: float) -> Iterator[Finding]:
    """Yields that levels are read by `classic` but were cut off instead of rounded, or the other way round.

    Each field is its levels and the same motion computed here in pixels, [H, W, 2] each.
    """
    still = still_level(fields, bound)
    if still is None or rule not in ("classic", "truncated"):
        return
    cut_off = RULES["truncated"].still
    is_cut_off, is_rounded = np.abs(still - cut_off).max() < NEAR, still.min() > cut_off + 0.5 - NEAR
    wanted = "truncated" if is_cut_off else "classic" if is_rounded else rule
    if wanted != rule:
        off = bound / RULES["classic"].reach / 2
        found = f"no motion is level {still[0]:.2f} in x and {still[1]:.2f} in y, as by the rule {wanted}"
        yield Finding(
            WARNING,
            f"Flow is read by the rule {rule}, but {found}: read so, it is {off:.3f} pixels off in both axes.",
            f"Delete flow.json and run: ./run prepare {{name}} --frames FOLDER --rule {wanted}",
        )


def still_level(fields: Sequence[tuple[np.ndarray, np.ndarray]], bound: float) -> np.ndarray | None:
    """Returns the level of no motion in x and in y; None if too little is slow enough to say.

    It is what levels are, less what the computed motion is in levels, over pixels that hardly move: the median of the
    fields, so that a few whose flow is of other frames decide nothing.
    """
    found: tuple[list[float], list[float]] = ([], [])
    for levels, computed in fields:
        for axis, means in enumerate(found):
            slow = np.abs(computed[..., axis]) < SLOW
            if slow.sum() >= LEAST_PIXELS:
                rest = levels[slow, axis] - computed[slow, axis] * (RULES["classic"].reach / bound)
                means.append(float(rest.mean()))
    return np.array([np.median(means) for means in found]) if min(map(len, found)) >= LEAST_FIELDS else None
