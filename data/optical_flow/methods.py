"""The flow methods by name. Each prepares a frame once and solves pairs of prepared frames, in any thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import cv2
import numpy as np

from data.optical_flow import brox as brox_method
from data.optical_flow.camera import camera_motion, without_camera_motion
from data.optical_flow.frames import Prepared, check_same_size, grey
from data.optical_flow.motion_vectors.coded_frames import CodedFrame, known_flow
from data.optical_flow.parameters import Value, Values, all_values
from data.optical_flow.tvl1.parameters import PRESETS, REVISION, TVL1Parameters

if TYPE_CHECKING:
    from data.optical_flow.motion_vectors.vectors import MotionReader

Solver = TypeVar("Solver")

# Parameters of OpenCV have the names of its setters.
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
# With `recode`, all frames are coded again in memory, whatever their file's codec.
MOTION_VECTORS = {"recode": False}
# Of what is made of vectors; raised when the same vectors become other flow.
MOTION_VECTORS_REVISION = 1


@dataclass(frozen=True)
class FlowKind:
    """A flow method with its parameters set: its two functions, the values, and the versions that made the flow."""

    prepare: Callable[[np.ndarray], Prepared]
    solve: Callable[[Prepared, Prepared], np.ndarray]
    values: Values
    made_by: Mapping[str, int | str]
    reader: type[MotionReader] | None = None  # Reads motion from the code of a video, where frames are to carry it.


class Method(NamedTuple):
    """A flow method: a function that returns its defaults and presets, and one that makes it from values."""

    parameters: Callable[[], tuple[Values, Mapping[str, Values]]]
    make: Callable[[Values], FlowKind]


def tvl1_parameters() -> tuple[Values, Mapping[str, Values]]:
    """Returns the defaults and presets of our own TV-L1."""
    return asdict(TVL1Parameters()), PRESETS


def tvl1(values: Values) -> FlowKind:
    """Returns our own TV-L1 (Zach, Pock and Bischof, 2007)."""
    solver = _compiled().TVL1(TVL1Parameters(**values))
    return FlowKind(solver.prepare, solver.solve, values, {"tvl1": REVISION})


class WarpedFrame(NamedTuple):
    """A frame prepared for `warped`: its pixels, to track the camera, and its pyramid as a first frame."""

    pixels: np.ndarray
    pyramid: Prepared

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width."""
        return self.pixels.shape


def warped_parameters() -> tuple[Values, Mapping[str, Values]]:
    """Returns the defaults and presets of TV-L1, plus the parameters of camera tracking."""
    defaults, presets = tvl1_parameters()
    return {**defaults, **CAMERA}, presets


def warped(values: Values) -> FlowKind:
    """Returns our TV-L1 on a second frame without camera motion, so that only motion in the scene is left."""
    camera = {name: values[name] for name in CAMERA}
    inner = tvl1({name: value for name, value in values.items() if name not in CAMERA})

    def solve(first: WarpedFrame, second: WarpedFrame) -> np.ndarray:
        check_same_size(first, second)
        motion = camera_motion(first.pixels, second.pixels, **camera)
        steady = without_camera_motion(first.pixels, second.pixels, motion)
        return inner.solve(first.pyramid, inner.prepare(steady))

    def prepare(frame: np.ndarray) -> WarpedFrame:
        return WarpedFrame(_grey8(frame), inner.prepare(frame))

    return FlowKind(prepare, solve, values, {**inner.made_by, "opencv": cv2.__version__})


def opencv_tvl1(values: Values) -> FlowKind:
    """Returns OpenCV's DualTVL1, the reference; only contrib wheels have it, and all presets are its defaults."""
    if not hasattr(cv2, "optflow"):
        raise ValueError("opencv-tvl1 needs OpenCV's contrib modules: pip install opencv-contrib-python-headless")
    create = cv2.optflow.DualTVL1OpticalFlow_create  # type: ignore[attr-defined]
    return _opencv(lambda first, second: _set(create(), values).calc(first, second, None), values)


def farneback(values: Values) -> FlowKind:
    """Returns polynomial expansion (Farnebäck, 2003): smooth flow, blurred at the edges of moving things."""
    return _opencv(lambda first, second: cv2.calcOpticalFlowFarneback(first, second, None, **values), values)


def dis(values: Values) -> FlowKind:
    """Returns dense inverse search (Kroeger et al., 2016), OpenCV's fastest method."""
    create = cv2.DISOpticalFlow_create  # type: ignore[attr-defined]
    return _opencv(lambda first, second: _set(create(), values).calc(first, second, None), values)


def brox(values: Values) -> FlowKind:
    """Returns brightness and gradient constancy (Brox et al., 2004), the flow of the two-stream paper."""
    made_by = {"opencv": cv2.__version__}
    return FlowKind(_own_grey, _checked(lambda a, b: brox_method.brox_flow(a, b, values)), values, made_by)


def motion_vectors(values: Values) -> FlowKind:
    """Returns the motion that a video's encoder has found, or finds when frames are coded again."""
    compiled = _compiled()

    def prepare(frame: np.ndarray) -> np.ndarray:
        return frame if isinstance(frame, CodedFrame) else _grey8(frame)

    def solve(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        check_same_size(first, second)
        known = known_flow(first, second)
        return compiled.coded_again(_grey8(first), _grey8(second)) if known is None else known

    made_by: dict[str, int | str] = {"motion-vectors": MOTION_VECTORS_REVISION, "av": version("av")}
    reader = None if values["recode"] else compiled.MotionReader
    return FlowKind(prepare, solve, values, made_by, reader)


def _compiled() -> ModuleType:
    from data.optical_flow import compiled  # Loading kernels takes a while, which other methods need not wait for.

    return compiled


def _opencv(solve: Callable[[np.ndarray, np.ndarray], np.ndarray], values: Values) -> FlowKind:
    def moving(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        if np.array_equal(first, second):  # Farnebäck's method would find a little motion even here.
            return np.zeros((*first.shape, 2), np.float32)
        try:
            return solve(first, second)
        except cv2.error as error:
            raise ValueError(f"OpenCV can't compute flow with {dict(values)}: {error.err}") from error

    # OpenCV's solvers keep buffers. Each call makes a new solver, so that threads may share a method.
    return FlowKind(_grey8, _checked(moving), values, {"opencv": cv2.__version__})


def _set(solver: Solver, values: Values) -> Solver:
    for name, value in values.items():
        getattr(solver, f"set{name}")(value)
    return solver


def _checked(solve: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def checked(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        check_same_size(first, second)
        return solve(first, second)

    return checked


def _grey8(frame: np.ndarray) -> np.ndarray:
    # Smoothed or enlarged frames may have floats a little below 0 or above 255.
    return np.clip(np.rint(grey(frame)), 0, 255).astype(np.uint8)


def _own_grey(frame: np.ndarray) -> np.ndarray:
    # The caller may decode the next frame into the same memory.
    image = grey(frame)
    return image.copy() if np.shares_memory(image, frame) else image


PRESET_NAMES = ("accurate", "balanced", "fast")
KINDS = {
    "tvl1": Method(tvl1_parameters, tvl1),
    "warped": Method(warped_parameters, warped),
    "brox": Method(lambda: (brox_method.DEFAULTS, brox_method.PRESETS), brox),
    "farneback": Method(lambda: (FARNEBACK, FARNEBACK_PRESETS), farneback),
    "dis": Method(lambda: (DIS, DIS_PRESETS), dis),
    "motion-vectors": Method(lambda: (MOTION_VECTORS, {name: {} for name in PRESET_NAMES}), motion_vectors),
    "opencv-tvl1": Method(lambda: (OPENCV_TVL1, {name: {} for name in PRESET_NAMES}), opencv_tvl1),
}


def find_kind(method: str, preset: str, parameters: Values) -> FlowKind:
    """Returns a flow method with all its parameters set; equal calls return the same object, with its workspaces."""
    if method not in KINDS:
        raise ValueError(f"The flow method must be one of {', '.join(KINDS)}. Received {method!r}.")
    values = all_values(method, *KINDS[method].parameters(), preset, parameters)
    return _find_kind(method, tuple(values.items()))


@lru_cache(maxsize=8)
def _find_kind(method: str, values: tuple[tuple[str, Value], ...]) -> FlowKind:
    return KINDS[method].make(dict(values))
