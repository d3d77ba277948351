"""What numba compiles of the flow methods; importing it takes a while, which other methods need not wait for."""

from data.optical_flow.motion_vectors.coded_again import coded_again
from data.optical_flow.motion_vectors.vectors import MotionReader
from data.optical_flow.tvl1.solver import TVL1

__all__ = ["TVL1", "MotionReader", "coded_again"]
