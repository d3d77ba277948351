"""Computes flow between frames by any method, in pixels, +x right and +y down, and describes how it was computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TypedDict

import numpy as np

from data.optical_flow.frames import levels_of_pair, levels_of_video
from data.optical_flow.methods import KINDS, find_kind

METHODS: tuple[str, ...] = tuple(KINDS)
UNKNOWN = "unknown"  # The method of flow that another tool made.


class FlowDescription(TypedDict, total=False):
    """The part of `flow.json` about flow: how it was computed, and what the stored levels mean."""

    method: str  # UNKNOWN if another tool made the flow; absent if there is no flow.
    preset: str
    parameters: dict[str, float | bool]
    bound: float
    rule: str
    made_by: dict[str, int | str]


def flow_between(
    first: np.ndarray, second: np.ndarray, method: str = "tvl1", preset: str = "balanced", **parameters: float
) -> np.ndarray:
    """Returns how far each pixel of `first` moves until `second`: float32[H, W, 2] in pixels.

    Frames are grey or RGB and at least 16×16, of uint8 or floats. Floats are read as 0..1 if no value of either frame
    exceeds 1, else as 0..255.
    """
    kind = find_kind(method, preset, parameters)
    first, second = levels_of_pair(first, second)
    return kind.solve(kind.prepare(first), kind.prepare(second))


def flow_of_video(
    frames: Iterable[np.ndarray], method: str = "tvl1", preset: str = "balanced", **parameters: float
) -> Iterator[np.ndarray]:
    """Yields the flow from each frame to the next; prepares each frame once and keeps only two at a time."""
    kind = find_kind(method, preset, parameters)
    for first, second in pairwise(map(kind.prepare, levels_of_video(frames))):
        yield kind.solve(first, second)


def flow_description(
    method: str = "tvl1", preset: str = "balanced", bound: float = 20.0, rule: str = "centred", **parameters: float
) -> FlowDescription:
    """Returns the entries of `flow.json` for flow that is computed and stored with these settings."""
    kind = find_kind(method, preset, parameters)
    return {
        "method": method,
        "preset": preset,
        "parameters": dict(sorted(kind.values.items())),
        "bound": float(bound),
        "rule": rule,
        "made_by": dict(kind.made_by),
    }
