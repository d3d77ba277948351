"""Optical flow between frames: one interface to every method, in pixels, +x right and +y down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from typing import Any

import numpy as np

from data.flow_kinds import KINDS, FlowKind
from data.flow_levels import dequantise, quantise
from data.flow_picture import colour_wheel

__all__ = ["METHODS", "colour_wheel", "dequantise", "flow_between", "flow_description", "flow_of_video", "quantise"]

METHODS: tuple[str, ...] = tuple(KINDS)


def flow_between(
    first: np.ndarray, second: np.ndarray, method: str = "tvl1", preset: str = "balanced", **parameters: Any
) -> np.ndarray:
    """Returns how far each pixel of `first` moves until `second`: float32[H, W, 2] in pixels."""
    kind = _kind(method, preset, parameters)
    return kind.solve(kind.prepare(first), kind.prepare(second))


def flow_of_video(
    frames: Iterable[np.ndarray], method: str = "tvl1", preset: str = "balanced", **parameters: Any
) -> Iterator[np.ndarray]:
    """Yields the flow of each frame to its next one; each frame is prepared once and let go soon after."""
    kind = _kind(method, preset, parameters)
    for first, second in pairwise(map(kind.prepare, frames)):
        yield kind.solve(first, second)


def flow_description(
    method: str = "tvl1", preset: str = "balanced", bound: float = 20.0, rule: str = "centred", **parameters: Any
) -> dict[str, Any]:
    """Returns what `flow.json` says: all that decides what the stored levels mean and how they were made."""
    kind = _kind(method, preset, parameters)
    return {
        "method": method,
        "preset": preset,
        "parameters": dict(sorted(kind.parameters.items())),
        "bound": float(bound),
        "rule": rule,
        "made_by": {package: _version(package) for package in kind.packages},
    }


def _kind(method: str, preset: str, parameters: dict[str, Any]) -> FlowKind:
    if method not in KINDS:
        raise ValueError(f"The flow method must be one of {', '.join(METHODS)}. Received {method!r}.")
    return KINDS[method](preset, parameters)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
