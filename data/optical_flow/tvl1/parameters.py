"""What our TV-L1 can be told, and what its presets tell it; whoever only describes flow needs no more of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from data.optical_flow.parameters import LIMITS, Values, check_limits

# Goes up whenever the same frames would give other flow than before: `flow.json` tells old flow from new by it.
REVISION = 3
PRESETS: dict[str, Values] = {
    "accurate": {"warps": 5, "iterations": 20},
    "balanced": {"warps": 3, "iterations": 20},
    "fast": {"warps": 2, "iterations": 10},
}


class Scheme(NamedTuple):
    """How every level is solved, in the units of the iteration: see data/optical_flow/tvl1/iterate.py."""

    pixels: np.float32
    """The unit of flow."""
    threshold: np.float32
    """lambda * theta."""
    tau: np.float32
    keep: np.float32
    warps: int
    iterations: int


@dataclass(frozen=True)
class TVL1Parameters:
    """What TV-L1 can be told; the names of the paper are in brackets."""

    attachment: float = 0.4
    """Weight of the data against smoothness (lambda), in 1 / grey levels of 0..255. Less is smoother."""
    tolerance: float = 1.5
    """Grey levels by which half of the pixels may differ for noise; the attachment shrinks as they differ by more."""
    tightness: float = 0.25
    """How far the data's flow and the smooth flow may part (theta)."""
    step: float = 0.25
    """Step of the dual variables (tau); above 1/4 the iteration diverges."""
    huber_slope: float = 0.03
    """Changes of flow by less a pixel are smoothed evenly, not made into steps (Huber's norm); zero is plain TV-L1."""
    levels: int = 10
    """Levels of the pyramid at most; no level is smaller than 16 pixels."""
    warps: int = 3
    """How often brightness constancy is linearised anew on each level."""
    iterations: int = 20
    """Iterations after each warp."""
    smooth: bool = True
    """Whether frames are smoothed by half a pixel first, against noise and compression."""
    match_brightness: bool = True
    """Whether a gain and an offset between the frames are estimated along with the flow."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name in LIMITS:
                check_limits("tvl1", name, value)

    @property
    def scheme(self) -> Scheme:
        """All that the iteration needs, in its own units."""
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
