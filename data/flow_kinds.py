"""The kinds of flow by name. Each prepares a frame once and solves pairs of prepared frames, in any thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

from data import brox as brox_method
from data.camera import camera_motion, without_camera_motion
from data.flow_frames import check_same_size, grey

Values = Mapping[str, Any]

# The names of OpenCV's parameters are those of its setters.
OPENCV_TVL1 = {
    "Tau": 0.25,
    "Lambda": 0.15,
    "Theta": 0.3,
    "ScalesNumber": 5,
    "WarpingsNumber": 5,
    "Epsilon": 0.01,
    "InnerIterations": 30,
    "OuterIterations": 10,
    "ScaleStep": 0.8,
    "MedianFiltering": 5,
}
FARNEBACK = {"pyr_scale": 0.5, "levels": 5, "winsize": 13, "iterations": 3, "poly_n": 5, "poly_sigma": 1.1, "flags": 0}
FARNEBACK_PRESETS = {"accurate": {"iterations": 10}, "balanced": {}, "fast": {"iterations": 1}}
# OpenCV's own presets are ultrafast, fast and medium; `balanced` is medium.
DIS = {
    "FinestScale": 1,
    "PatchSize": 8,
    "PatchStride": 3,
    "GradientDescentIterations": 25,
    "VariationalRefinementIterations": 5,
}
DIS_PRESETS = {
    "accurate": {"FinestScale": 0},
    "balanced": {},
    "fast": {"FinestScale": 2, "PatchStride": 4, "GradientDescentIterations": 16},
}
CAMERA = {"corners": 800, "inlier_distance": 1.0}


@dataclass(frozen=True)
class FlowKind:
    """One way to compute flow: its two functions, the values of all its parameters, and what made it."""

    prepare: Callable[[np.ndarray], Any]
    solve: Callable[[Any, Any], np.ndarray]
    values: Values
    made_by: Values


def tvl1(preset: str, parameters: Values) -> FlowKind:
    """Our own TV-L1; the solver is imported, and compiled, when it is first asked for."""
    from data.tvl1 import PRESETS, REVISION, TVL1, TVL1Parameters

    values = _values("tvl1", asdict(TVL1Parameters()), PRESETS, preset, parameters)
    solver = TVL1(TVL1Parameters(**values))
    return FlowKind(solver.prepare, solver.solve, values, {"tvl1": REVISION})


class WarpedFrame(NamedTuple):
    """A frame for `warped`: as pixels, to follow the camera, and as the pyramid of a first frame."""

    pixels: np.ndarray
    pyramid: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width."""
        return self.pixels.shape


def warped(preset: str, parameters: Values) -> FlowKind:
    """Our TV-L1 after the camera's own motion is taken out of the second frame: what moves before the background."""
    camera = {name: parameters.get(name, default) for name, default in CAMERA.items()}
    inner = tvl1(preset, {name: value for name, value in parameters.items() if name not in CAMERA})

    def solve(first: WarpedFrame, second: WarpedFrame) -> np.ndarray:
        check_same_size(first, second)
        motion = camera_motion(first.pixels, second.pixels, **camera)
        steady = without_camera_motion(first.pixels, second.pixels, motion)
        return inner.solve(first.pyramid, inner.prepare(steady))

    def prepare(frame: np.ndarray) -> WarpedFrame:
        return WarpedFrame(_grey8(frame), inner.prepare(frame))

    return FlowKind(prepare, solve, {**inner.values, **camera}, {**inner.made_by, "opencv": cv2.__version__})


def opencv_tvl1(preset: str, parameters: Values) -> FlowKind:
    """OpenCV's DualTVL1, the reference; only its contrib wheels have it, and all presets are its defaults."""
    if not hasattr(cv2, "optflow"):
        raise ValueError("opencv-tvl1 needs OpenCV's contrib modules: pip install opencv-contrib-python-headless.")
    create = cv2.optflow.DualTVL1OpticalFlow_create  # type: ignore[attr-defined]
    values = _values("opencv-tvl1", OPENCV_TVL1, {name: {} for name in PRESET_NAMES}, preset, parameters)
    return _opencv(lambda first, second: _set(create(), values).calc(first, second, None), values)


def farneback(preset: str, parameters: Values) -> FlowKind:
    """Polynomial expansion (Farnebäck, 2003): smooth, and blurred where motion ends."""
    values = _values("farneback", FARNEBACK, FARNEBACK_PRESETS, preset, parameters)
    return _opencv(lambda first, second: cv2.calcOpticalFlowFarneback(first, second, None, **values), values)


def dis(preset: str, parameters: Values) -> FlowKind:
    """Dense inverse search (Kroeger et al., 2016): the quickest that OpenCV has."""
    values = _values("dis", DIS, DIS_PRESETS, preset, parameters)
    create = cv2.DISOpticalFlow_create  # type: ignore[attr-defined]
    return _opencv(lambda first, second: _set(create(), values).calc(first, second, None), values)


def brox(preset: str, parameters: Values) -> FlowKind:
    """Brightness and gradient constancy (Brox et al., 2004), the flow of the two-stream paper."""
    values = _values("brox", brox_method.DEFAULTS, brox_method.PRESETS, preset, parameters)
    made_by = {"opencv": cv2.__version__}
    return FlowKind(grey, _checked(lambda a, b: brox_method.brox_flow(a, b, values)), values, made_by)


def _opencv(solve: Callable[[np.ndarray, np.ndarray], np.ndarray], values: Values) -> FlowKind:
    # A solver of OpenCV's keeps buffers, so each call makes its own: threads may share a kind.
    return FlowKind(_grey8, _checked(solve), values, {"opencv": cv2.__version__})


def _set(solver: Any, values: Values) -> Any:
    for name, value in values.items():
        getattr(solver, f"set{name}")(value)
    return solver


def _checked(solve: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def checked(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        check_same_size(first, second)
        return solve(first, second)

    return checked


def _grey8(frame: np.ndarray) -> np.ndarray:
    return np.rint(grey(frame)).astype(np.uint8)


def _values(
    method: str, defaults: Values, presets: Mapping[str, Values], preset: str, parameters: Values
) -> dict[str, Any]:
    """Returns all parameters of a method: its defaults, what its preset changes, and what was asked for."""
    if preset not in presets:
        raise ValueError(f"The preset must be one of {', '.join(presets)}. Received {preset!r}.")
    unknown = sorted(parameters.keys() - defaults.keys())
    if unknown:
        raise ValueError(f"{method} has no parameter {unknown[0]!r}; it has {', '.join(sorted(defaults))}.")
    return {**defaults, **presets[preset], **parameters}


PRESET_NAMES = ("accurate", "balanced", "fast")
KINDS: dict[str, Callable[[str, Values], FlowKind]] = {
    "tvl1": tvl1,
    "warped": warped,
    "brox": brox,
    "farneback": farneback,
    "dis": dis,
    "opencv-tvl1": opencv_tvl1,
}


def find_kind(method: str, preset: str, parameters: Values) -> FlowKind:
    """Returns a kind of flow with all its parameters set; asked again, the same one, workspaces and all."""
    if method not in KINDS:
        raise ValueError(f"The flow method must be one of {', '.join(KINDS)}. Received {method!r}.")
    return _find_kind(method, preset, tuple(sorted(parameters.items())))


@lru_cache(maxsize=8)
def _find_kind(method: str, preset: str, parameters: tuple[tuple[str, Any], ...]) -> FlowKind:
    return KINDS[method](preset, dict(parameters))
