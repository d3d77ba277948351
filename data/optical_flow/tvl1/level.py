"""Solves one level of the pyramid: filters the flow, linearises the data term, and iterates, several times."""

from __future__ import annotations

import numpy as np

from data.optical_flow.tvl1.iterate import iterate
from data.optical_flow.tvl1.kernel_cache import kernel
from data.optical_flow.tvl1.median import median_filter
from data.optical_flow.tvl1.parameters import Scheme
from data.optical_flow.tvl1.warp import linearise


@kernel
def solve_level(
    fields: np.ndarray,
    images: tuple[np.ndarray, np.ndarray],
    size: tuple[int, int],
    scheme: Scheme,
    brightness: tuple[np.float32, np.float32],
    cubic: bool,
    scratch: np.ndarray,
) -> None:
    """Improves the flow of a level by a number of warps."""
    units = (scheme.pixels, scheme.threshold)
    for _ in range(scheme.warps):
        median_filter(fields, size)
        linearise(fields, images, size, units, brightness, cubic, scratch)
        iterate(fields, size, scheme.iterations, scheme.tau, scheme.keep)
