"""Frames as the flow methods want them: grey, float32, 0..255, checked once."""

from __future__ import annotations

from typing import Protocol

import numpy as np

# ITU-R BT.601 luma, the weights behind every "RGB to grey".
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
SMALLEST_SIDE = 16


def grey(frame: np.ndarray) -> np.ndarray:
    """Returns a grey or RGB frame, uint8 or float, as contiguous float32[H, W] from 0 to 255.

    Floats mean what the same numbers as uint8 mean (0..255), unless none is above 1: then they are 0..1.
    """
    frame = np.asarray(frame)
    if frame.ndim == 3 and frame.shape[2] == 1:
        frame = frame[..., 0]
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] != 3):
        raise ValueError(f"A frame must be grey [H, W] or RGB [H, W, 3]. Received an array of shape {frame.shape}.")
    if min(frame.shape[:2]) < SMALLEST_SIDE:
        raise ValueError(f"Flow needs frames of at least 16×16 pixels. Received {frame.shape[1]}×{frame.shape[0]}.")
    if frame.dtype == np.uint8:
        return _luma(frame)
    if frame.dtype.kind != "f":
        raise ValueError(f"A frame must hold uint8 or float pixels. Received {frame.dtype}.")
    image = _luma(frame)
    if not np.isfinite(image.sum(dtype=np.float64)):
        raise ValueError("A frame must hold finite numbers. Received NaN or infinity.")
    return image * np.float32(255) if image.max() <= 1 else image


def _luma(frame: np.ndarray) -> np.ndarray:
    pixels = np.ascontiguousarray(frame, np.float32)
    return pixels if frame.ndim == 2 else np.ascontiguousarray(pixels @ LUMA)


class Sized(Protocol):
    """An image, or a frame prepared from one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width come first."""


def check_same_size(first: Sized, second: Sized) -> None:
    """Raises ValueError unless both frames have the same height and width."""
    if first.shape[:2] != second.shape[:2]:
        raise ValueError(
            "Both frames of a pair must have the same size. "
            f"Received {first.shape[1]}×{first.shape[0]} and {second.shape[1]}×{second.shape[0]}; resize one first."
        )
