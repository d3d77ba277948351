"""Shows flow as a picture: hue is direction, saturation is length, and no motion is white."""

from __future__ import annotations

import numpy as np

# Lengths of the six runs between the colours of the Middlebury wheel (Baker et al., 2011):
# red-yellow, yellow-green, green-cyan, cyan-blue, blue-magenta, magenta-red.
WHEEL_RUNS = (15, 6, 4, 11, 13, 6)
WHEEL_CORNERS = ((255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255))


def colour_wheel(flow: np.ndarray, max_magnitude: float | None = None) -> np.ndarray:
    """Returns a flow field as uint8 RGB; full saturation is `max_magnitude` pixels, by default the greatest length."""
    u, v = np.asarray(flow, np.float32)[..., 0], np.asarray(flow, np.float32)[..., 1]
    length = np.hypot(u, v)
    if max_magnitude is None:
        max_magnitude = float(length.max(initial=0.0))
    fullness = np.minimum(length / max(max_magnitude, 1e-6), 1.0)[..., None]

    wheel = _wheel()
    position = (np.arctan2(v, u) / (2 * np.pi)) % 1.0 * len(wheel)
    lower = position.astype(np.int64) % len(wheel)
    part = (position - np.floor(position))[..., None]
    hue = wheel[lower] * (1 - part) + wheel[(lower + 1) % len(wheel)] * part
    return np.rint(255 + fullness * (hue - 255)).astype(np.uint8)


def _wheel() -> np.ndarray:
    corners = np.array(WHEEL_CORNERS, np.float32)
    following = np.roll(corners, -1, axis=0)
    runs = [
        start + (end - start) * np.arange(steps)[:, None] / steps
        for start, end, steps in zip(corners, following, WHEEL_RUNS, strict=True)
    ]
    return np.concatenate(runs).astype(np.float32)
