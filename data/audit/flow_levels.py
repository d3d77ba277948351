"""Checks the rule by which flow was turned into levels, by comparing it with flow computed here."""

from collections.abc import Iterator, Sequence

import numpy as np

from data.audit.findings import WARNING, Finding
from data.optical_flow.levels import RULES

# A pixel is slow if it moves less than this along an axis. There must be this many, in this many fields.
SLOW, LEAST_PIXELS, LEAST_FIELDS = 0.5, 500, 4
# The largest distance, in levels, of the level of no motion from that of another rule, to accept that rule.
NEAR = 0.2


def audit_levels(fields: Sequence[tuple[np.ndarray, np.ndarray]], rule: str, bound: float) -> Iterator[Finding]:
    """Yields a finding if levels are read by `classic` but were truncated instead of rounded, or the reverse.

    Each field has its levels, and the same motion computed here in pixels, [H, W, 2] each.
    """
    still = still_level(fields, bound)
    if still is None or rule not in ("classic", "truncated"):
        return
    cut_off = RULES["truncated"].still
    is_cut_off, is_rounded = np.abs(still - cut_off).max() < NEAR, still.min() > cut_off + 0.5 - NEAR
    wanted = "truncated" if is_cut_off else "classic" if is_rounded else rule
    if wanted != rule:
        off = bound / RULES["classic"].reach / 2
        found = f"no motion is level {still[0]:.2f} in x and {still[1]:.2f} in y, as in the rule {wanted}"
        yield Finding(
            WARNING,
            f"Flow is read by the rule {rule}, but {found}. So it is {off:.3f} pixels off in both axes.",
            f"Delete flow.json and run: ./run prepare {{name}} --frames FOLDER --rule {wanted}",
        )


def still_level(fields: Sequence[tuple[np.ndarray, np.ndarray]], bound: float) -> np.ndarray | None:
    """Returns the level of no motion in x and in y; None if too few pixels are slow enough to tell.

    Over pixels that hardly move, it is the stored level minus the level of the computed motion. The median over fields
    is taken, so that a few fields that belong to other frames have no effect.
    """
    found: tuple[list[float], list[float]] = ([], [])
    for levels, computed in fields:
        for axis, means in enumerate(found):
            slow = np.abs(computed[..., axis]) < SLOW
            if slow.sum() >= LEAST_PIXELS:
                rest = levels[slow, axis] - computed[slow, axis] * (RULES["classic"].reach / bound)
                means.append(float(rest.mean()))
    return np.array([np.median(means) for means in found]) if min(map(len, found)) >= LEAST_FIELDS else None
