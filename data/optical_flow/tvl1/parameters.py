"""The parameters of our TV-L1 and its presets. Describing flow needs only this file, so it compiles nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from data.optical_flow.parameters import LIMITS, Values, check_limits

# Must go up whenever the same frames give other flow than before. `flow.json` records it, so that old flow is known.
REVISION = 3
PRESETS: dict[str, Values] = {
    "accurate": {"warps": 5, "iterations": 20},
    "balanced": {"warps": 3, "iterations": 20},
    "fast": {"warps": 2, "iterations": 10},
}


class Scheme(NamedTuple):
    """The parameters of every level, in the units of the iteration: see data/optical_flow/tvl1/iterate.py."""

    pixels: np.float32
    """Pixels in one unit of flow."""
    threshold: np.float32
    """lambda * theta."""
    tau: np.float32
    keep: np.float32
    warps: int
    iterations: int


@dataclass(frozen=True)
class TVL1Parameters:
    """The parameters of TV-L1, with the symbols of the paper in brackets."""

    attachment: float = 0.4
    """Weight of the data term against smoothness (lambda), per grey level of 0..255. Less gives smoother flow."""
    # No single attachment suits all frames: noisy ones need 0.15 or less, clean ones 0.3 or more.
    tolerance: float = 1.5
    """Noise in grey levels (median difference) that is accepted; with more noise, the attachment is reduced."""
    tightness: float = 0.25
    """How far the flow of the data term and the smooth flow may differ (theta)."""
    step: float = 0.25
    """Step size of the dual variables (tau); above 1/4 the iteration diverges."""
    huber_slope: float = 0.03
    """Changes of flow below this per pixel are smoothed, not turned into steps (Huber's norm); 0 is plain TV-L1."""
    levels: int = 10
    """Greatest number of pyramid levels; no level is smaller than 16 pixels."""
    warps: int = 3
    """Number of warps on each level; each linearises brightness constancy again."""
    iterations: int = 20
    """Iterations after each warp."""
    smooth: bool = True
    """Whether frames are first smoothed by half a pixel, against noise and compression."""
    match_brightness: bool = True
    """Whether gain and offset between the frames are estimated together with the flow."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name in LIMITS:
                check_limits("tvl1", name, value)

    @property
    def scheme(self) -> Scheme:
        """The parameters in the units of the iteration."""
        dual_step = self.step / self.tightness
        keep = 1 / (1 + self.huber_slope * dual_step)
        return Scheme(
            pixels=np.float32(1 / (2 * dual_step * keep)),
            threshold=np.float32(self.attachment * self.tightness),
            tau=np.float32(self.step * keep),
            keep=np.float32(keep),
            warps=self.warps,
            iterations=self.iterations,
        )
