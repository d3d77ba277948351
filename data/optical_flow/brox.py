"""Flow by the method of Brox et al. (2004), which the two-stream paper used.

The method assumes that brightness and its gradient stay constant, with robust penalties. It is solved by successive
over-relaxation, so the primal-dual kernels of our TV-L1 can't be used. This file runs the pyramid from coarse to fine;
OpenCV's `VariationalRefinement`, which its DIS flow uses as a last step, solves each level.
"""

from __future__ import annotations

import cv2
import numpy as np

from data.optical_flow.parameters import Values

SMALLEST_SIDE = 16
DEFAULTS = {
    "smoothness": 15.0,
    "brightness": 5.0,
    "gradient": 10.0,
    "blur": 0.8,
    "scale": 0.8,
    "warps": 3,
    "fixed_point_iterations": 5,
    "relaxation_steps": 5,
}
PRESETS: dict[str, Values] = {
    "accurate": {"warps": 5},
    "balanced": {},
    "fast": {"warps": 1, "smoothness": 12.0},
}


def brox_flow(first: np.ndarray, second: np.ndarray, values: Values) -> np.ndarray:
    """Returns the flow between two grey float32 images in pixels; `values` has the keys of DEFAULTS."""
    solver = _solver(values)
    soft = [cv2.GaussianBlur(image, (0, 0), values["blur"]) for image in (first, second)]
    sizes = _sizes(first.shape, values["scale"])
    flow = np.zeros((*sizes[-1], 2), np.float32)
    for height, width in reversed(sizes):
        growth = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
        flow = cv2.resize(flow, (width, height)) * growth
        one, two = (cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in soft)
        for _ in range(values["warps"]):
            flow = solver.calc(one, two, flow)
    return flow


def _solver(values: Values) -> cv2.VariationalRefinement:
    solver = cv2.VariationalRefinement_create()  # type: ignore[attr-defined]
    solver.setAlpha(values["smoothness"])
    solver.setDelta(values["brightness"])
    solver.setGamma(values["gradient"])
    solver.setFixedPointIterations(values["fixed_point_iterations"])
    solver.setSorIterations(values["relaxation_steps"])
    return solver


def _sizes(shape: tuple[int, ...], scale: float) -> list[tuple[int, int]]:
    """Returns the size of each level, finest first."""
    height, width = shape
    sizes = [(height, width)]
    while min(sizes[-1]) * scale >= SMALLEST_SIDE:
        sizes.append((round(height * scale ** len(sizes)), round(width * scale ** len(sizes))))
    return sizes
