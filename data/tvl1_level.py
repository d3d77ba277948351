"""One level of the pyramid: linearise the data term, iterate, and again."""

from __future__ import annotations

import numpy as np

from data.kernel_cache import kernel
from data.tvl1_iterate import iterate
from data.tvl1_median import median_filter
from data.tvl1_warp import linearise


@kernel
def solve_level(
    fields: np.ndarray,
    images: tuple[np.ndarray, np.ndarray],
    size: tuple[int, int],
    units: tuple[float, float],
    brightness: tuple[float, float],
    cubic: bool,
    scratch: np.ndarray,
    times: tuple[int, int],
    tau: float,
) -> None:
    """Improves the flow of a level by `times`: so many warps, and so many iterations after each."""
    warps, iterations = times
    for _ in range(warps):
        median_filter(fields, size)
        linearise(fields, images, size, units, brightness, cubic, scratch)
        iterate(fields, size, iterations, tau)
