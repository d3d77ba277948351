"""Estimates the change of exposure and the noise between two frames, given the flow so far."""

from __future__ import annotations

import numpy as np

from data.optical_flow.tvl1.kernel_cache import inner, kernel
from data.optical_flow.tvl1.memory_layout import U, V, cell, row_layout
from data.optical_flow.tvl1.sampling import row_pitch
from data.optical_flow.tvl1.vectors_of_pixels import CHANNELS, MARGIN

# Regularises the fit of the gain, in squared grey levels: see `fit_brightness`.
LITTLE_CONTRAST = 100.0
FITTING_ROUNDS = 3
WORTH_MATCHING = 0.9
# A fit uses every second pixel of every second row, the noise estimate every fourth.
EVERY_TO_MATCH, EVERY_TO_COMPARE = 2, 4


@kernel
def match_brightness(
    fields: np.ndarray, images: tuple[np.ndarray, np.ndarray], size: tuple[int, int], pixels: np.float32
) -> tuple[float, float]:
    """Returns the gain and offset that make the second frame most like the first, given the flow so far.

    This keeps a change of exposure from being taken for motion. The fit is least squares, reweighted for the L1 norm
    that the flow minimises. If it hardly reduces the difference, it only fits noise, and gain and offset are 1 and 0.
    """
    value_0, value_1 = corresponding_pixels(fields, images, size, pixels, EVERY_TO_MATCH)
    if value_0.size == 0:
        return 1.0, 0.0
    gain, offset = 1.0, 0.0
    for _ in range(FITTING_ROUNDS):
        gain, offset = fit_brightness(value_0, value_1, gain, offset)
    if difference(value_0, value_1, gain, offset) > WORTH_MATCHING * difference(value_0, value_1, 1.0, 0.0):
        return 1.0, 0.0
    return gain, offset


@kernel
def typical_difference(
    fields: np.ndarray,
    images: tuple[np.ndarray, np.ndarray],
    size: tuple[int, int],
    pixels: np.float32,
    brightness: tuple[np.float32, np.float32],
) -> float:
    """Returns the median difference between corresponding pixels of the frames, given the flow so far.

    After the coarser levels the flow of most pixels is nearly right, so the difference is due to noise and compression.
    """
    value_0, value_1 = corresponding_pixels(fields, images, size, pixels, EVERY_TO_COMPARE)
    if value_0.size == 0:
        return 0.0
    gain, offset = brightness
    for i in range(value_0.size):
        value_0[i] = abs(gain * value_1[i] + offset - value_0[i])
    return float(np.float32(np.median(value_0)))


@inner
def corresponding_pixels(
    fields: np.ndarray, images: tuple[np.ndarray, np.ndarray], size: tuple[int, int], pixels: np.float32, every: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the brightness of some pixels in the first frame, and where the flow takes them in the second."""
    first, second = images
    height, width = size
    blocks, pitch, _ = row_layout(width)
    image_pitch = row_pitch(width)
    value_0 = np.empty(((height + every - 1) // every) * ((width + every - 1) // every), np.float32)
    value_1 = np.empty_like(value_0)
    found = 0
    for y in range(0, height, every):
        for x in range(0, width, every):
            here = (y + 1) * pitch + cell(x, blocks)
            x1 = x + pixels * fields[here + U]
            y1 = y + pixels * fields[here + V]
            if 0 <= x1 <= width - 1 and 0 <= y1 <= height - 1:
                value_0[found] = brightness_at(first, image_pitch, x, y)
                value_1[found] = brightness_between(second, image_pitch, x1, y1)
                found += 1
    return value_0[:found], value_1[:found]


@inner
def fit_brightness(value_0: np.ndarray, value_1: np.ndarray, gain: float, offset: float) -> tuple[float, float]:
    """Returns gain and offset by least squares; pixels that agreed in the previous round have more weight."""
    weights = sum_0 = sum_1 = sum_11 = sum_01 = 0.0
    for i in range(value_0.size):
        weight = 1 / (1 + abs(gain * value_1[i] + offset - value_0[i]))
        weights += weight
        sum_0 += weight * value_0[i]
        sum_1 += weight * value_1[i]
        sum_11 += weight * value_1[i] * value_1[i]
        sum_01 += weight * value_0[i] * value_1[i]
    mean_0 = sum_0 / weights
    mean_1 = sum_1 / weights
    covariance = sum_01 / weights - mean_0 * mean_1
    variance = sum_11 / weights - mean_1 * mean_1
    # Frames without contrast tell nothing about the gain. LITTLE_CONTRAST then keeps it near one.
    gain = min(max((covariance + LITTLE_CONTRAST) / (variance + LITTLE_CONTRAST), 0.5), 2.0)
    return gain, mean_0 - gain * mean_1


@inner
def difference(value_0: np.ndarray, value_1: np.ndarray, gain: float, offset: float) -> float:
    """Returns the sum of all absolute differences in brightness."""
    total = 0.0
    for i in range(value_0.size):
        total += abs(gain * value_1[i] + offset - value_0[i])
    return total


@inner
def brightness_at(image: np.ndarray, image_pitch: int, x: int, y: int) -> float:
    """Returns the brightness of one pixel."""
    return image[((y + MARGIN) * image_pitch + x + MARGIN) * CHANNELS]


@inner
def brightness_between(image: np.ndarray, image_pitch: int, x: float, y: float) -> float:
    """Returns the brightness at a point between pixels, by bilinear interpolation."""
    column = int(x)
    row = int(y)
    top = brightness_at(image, image_pitch, column, row)
    top += (x - column) * (brightness_at(image, image_pitch, column + 1, row) - top)
    bottom = brightness_at(image, image_pitch, column, row + 1)
    bottom += (x - column) * (brightness_at(image, image_pitch, column + 1, row + 1) - bottom)
    return top + (y - row) * (bottom - top)
