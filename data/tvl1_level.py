"""One level of the pyramid: linearise the data term, iterate, and again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data.kernel_cache import kernel
from data.tvl1_iterate import iterate
from data.tvl1_median import median_filter
from data.tvl1_warp import linearise


class Scheme(NamedTuple):
    """How every level is solved, in the units of the iteration: see data/tvl1_iterate.py."""

    pixels: np.float32
    """The unit of flow."""
    threshold: np.float32
    """lambda * theta."""
    tau: np.float32
    keep: np.float32
    warps: int
    iterations: int


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
    """Improves the flow of a level."""
    units = (scheme.pixels, scheme.threshold)
    for _ in range(scheme.warps):
        median_filter(fields, size)
        linearise(fields, images, size, units, brightness, cubic, scratch)
        iterate(fields, size, scheme.iterations, scheme.tau, scheme.keep)
