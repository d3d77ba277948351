"""The kinds of flow by name. Each prepares a frame once and solves pairs of prepared frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from data.flow_frames import check_same_size, grey

# The wheel with OpenCV's TV-L1 and the one without; either serves Farneback and DIS.
OPENCV = "opencv-contrib-python-headless"

FARNEBACK = {
    "pyr_scale": 0.5,
    "levels": 5,
    "winsize": 13,
    "iterations": 10,
    "poly_n": 5,
    "poly_sigma": 1.1,
    "flags": 0,
}
FARNEBACK_PRESETS = {"accurate": {}, "balanced": {"iterations": 5}, "fast": {"iterations": 3, "levels": 3}}
DIS_PRESETS = {
    "accurate": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
    "balanced": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
}


@dataclass(frozen=True)
class FlowKind:
    """One way to compute flow, with the values of all its parameters."""

    prepare: Callable[[np.ndarray], Any]
    solve: Callable[[Any, Any], np.ndarray]
    parameters: Mapping[str, Any]
    packages: tuple[str, ...] = ("numpy", OPENCV)


def tvl1(preset: str, parameters: Mapping[str, Any]) -> FlowKind:
    """Our own TV-L1; the solver is imported, and compiled, when it is first asked for."""
    from data.tvl1 import PRESETS, TVL1, TVL1Parameters

    values = TVL1Parameters(**{**_preset(PRESETS, preset), **parameters})
    solver = TVL1(values)
    return FlowKind(solver.prepare, solver.solve, asdict(values), ("numpy", "numba", "llvmlite"))


def opencv_tvl1(preset: str, parameters: Mapping[str, Any]) -> FlowKind:
    """OpenCV's DualTVL1, the reference; only the contrib wheel has it. Presets mean nothing to it."""
    if not hasattr(cv2, "optflow"):
        raise ValueError("opencv-tvl1 needs OpenCV's contrib modules: pip install opencv-contrib-python-headless.")
    solver = cv2.optflow.DualTVL1OpticalFlow_create(**parameters)  # type: ignore[attr-defined]
    return FlowKind(_grey8, _pair(lambda first, second: solver.calc(first, second, None)), dict(parameters))


def farneback(preset: str, parameters: Mapping[str, Any]) -> FlowKind:
    """Polynomial expansion (Farnebäck, 2003): quick, smooth, blurred at the borders of motion."""
    values = FARNEBACK | _preset(FARNEBACK_PRESETS, preset) | dict(parameters)
    return FlowKind(
        _grey8, _pair(lambda first, second: cv2.calcOpticalFlowFarneback(first, second, None, **values)), values
    )


def dis(preset: str, parameters: Mapping[str, Any]) -> FlowKind:
    """Dense inverse search (Kroeger et al., 2016): the quickest that OpenCV has."""
    solver = cv2.DISOpticalFlow_create(_preset(DIS_PRESETS, preset))  # type: ignore[attr-defined]
    return FlowKind(_grey8, _pair(lambda first, second: solver.calc(first, second, None)), {})


def _preset(presets: Mapping[str, Any], name: str) -> Any:
    if name not in presets:
        raise ValueError(f"The preset must be one of {', '.join(presets)}. Received {name!r}.")
    return presets[name]


def _grey8(frame: np.ndarray) -> np.ndarray:
    return np.rint(grey(frame)).astype(np.uint8)


def _pair(solve: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def checked(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        check_same_size(first, second)
        return solve(first, second)

    return checked


KINDS: dict[str, Callable[[str, Mapping[str, Any]], FlowKind]] = {
    "tvl1": tvl1,
    "opencv-tvl1": opencv_tvl1,
    "farneback": farneback,
    "dis": dis,
}
