"""Checks frames and converts them to what the flow methods expect: grey, float32, 0..255."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np

# ITU-R BT.601 luma, the usual weights for converting RGB to grey.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
SMALLEST_SIDE = 16
# Far above 255, so that values that a filter pushed a little beyond 255 are still accepted.
FAR_BEYOND = 1000
# A frame that one flow method has prepared; its type depends on the method.
Prepared = Any


def levels_of_pair(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns two frames as levels of 0..255; floats are read as 0..1 if no value of either exceeds 1."""
    frames = np.asanyarray(first), np.asanyarray(second)
    if not any(_counts_levels(frame) for frame in frames):
        return _in_levels(frames[0]), _in_levels(frames[1])
    return frames


def levels_of_video(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields frames as levels of 0..255; floats are read as 0..1 if the first frame not black has none above 1."""
    counts_levels = None
    for frame in map(np.asanyarray, frames):
        if counts_levels is None and frame.any():
            counts_levels = _counts_levels(frame)
        yield _in_levels(frame) if counts_levels is False else frame


def _counts_levels(frame: np.ndarray) -> bool:
    return frame.dtype.kind == "f" and bool((frame > 1).any())


def _in_levels(frame: np.ndarray) -> np.ndarray:
    return frame.astype(np.float32) * np.float32(255) if frame.dtype.kind == "f" else frame


def grey(frame: np.ndarray) -> np.ndarray:
    """Returns a grey or RGB frame of 0..255, uint8 or float, as contiguous float32[H, W]."""
    frame = _image(frame)
    if frame.dtype == np.uint8:
        return _luma(frame)
    if frame.dtype.kind != "f":
        raise ValueError(f"A frame must hold uint8 or float pixels. Received {frame.dtype}.")
    image = _luma(frame)
    if not np.isfinite(image.sum(dtype=np.float64)):
        raise ValueError("A frame must hold finite numbers. Received NaN or infinity.")
    if np.abs(image).max() > FAR_BEYOND:
        raise ValueError(f"Floats in a frame must be 0..255, or 0..1. Received {image.flat[np.abs(image).argmax()]:g}.")
    return image


def in_few_bytes(frame: np.ndarray) -> np.ndarray:
    """Returns a frame from which a GPU makes `grey` itself: uint8[H, W] or [H, W, 3], or float32[H, W] of floats."""
    frame = _image(frame)
    return np.ascontiguousarray(frame) if frame.dtype == np.uint8 else grey(frame)


def _image(frame: np.ndarray) -> np.ndarray:
    frame = np.asarray(frame)
    if frame.ndim == 3 and frame.shape[2] == 1:
        frame = frame[..., 0]
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] != 3):
        raise ValueError(f"A frame must be grey [H, W] or RGB [H, W, 3]. Received an array of shape {frame.shape}.")
    if min(frame.shape[:2]) < SMALLEST_SIDE:
        raise ValueError(f"Flow needs frames of at least 16×16 pixels. Received {frame.shape[1]}×{frame.shape[0]}.")
    return frame


def _luma(frame: np.ndarray) -> np.ndarray:
    pixels = np.ascontiguousarray(frame, np.float32)
    return pixels if frame.ndim == 2 else np.ascontiguousarray(pixels @ LUMA)


class Sized(Protocol):
    """Anything with a shape: an image, or a frame prepared from one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width come first."""


def check_same_size(first: Sized, second: Sized) -> None:
    """Raises ValueError unless both frames have the same height and width."""
    if first.shape[:2] != second.shape[:2]:
        raise ValueError(
            "Both frames of a pair must have the same size. "
            f"Received {first.shape[1]}×{first.shape[0]} and {second.shape[1]}×{second.shape[0]}. Resize one of them."
        )
