"""Linearising brightness constancy around the flow so far: what the iteration's data term is made of.

At flow w0, the second frame looked up at x + w0 leaves the residual  gain * I1(x + w0) + offset - I0(x).
With the gradient g, the data term is rho(w) = residual + g . (w - w0), stored as the line rho = 0: its
normal g / |g|, its distance from w = 0, and how far one step may go towards it, lambda * theta * |g|.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from data.kernel_cache import inner, kernel
from data.tvl1_layout import (
    BLOCK,
    DISTANCE,
    HALF,
    NORMAL_X,
    NORMAL_Y,
    ONE,
    REACH,
    ZERO,
    U,
    V,
    cell,
    close_row,
    row_layout,
)
from data.tvl1_sampling import (
    CHANNELS,
    MARGIN,
    PIXELS,
    PLACES,
    copy_pixel,
    load_pixels,
    look_up,
    row_pitch,
    split_places,
)
from data.vectors import (
    LANES,
    lane_numbers,
    load,
    maximum,
    minimum,
    splat,
    store,
    twice_inverse_root,
    zero_unless_equal,
)

# A gradient this small, in grey levels a pixel, says nothing about motion; it only must not divide by zero.
TINY = np.float32(1e-12)
# In squared grey levels.
LITTLE_CONTRAST = 100.0
FITTING_ROUNDS = 3
WORTH_MATCHING = 0.9


@inner
def linearise(
    fields: np.ndarray,
    images: tuple[np.ndarray, np.ndarray],
    size: tuple[int, int],
    units: tuple[float, float],
    brightness: tuple[float, float],
    cubic: bool,
    scratch: np.ndarray,
) -> None:
    """Takes the filtered flow as the flow, and fills in the data term around it.

    `units`: how many pixels the unit of flow is, and lambda * theta. `brightness`: gain and offset. The gradient is the
    mean of both frames' (one at x, one at x + w0), a better slope for the way between them than either.
    What moves out of sight has no data term. `scratch` is for what both frames are along a row.
    """
    height, width = size
    first, second = images
    pixels, threshold = units
    gain, offset = brightness
    blocks, pitch, beyond = row_layout(width)
    image_pitch = row_pitch(width)
    per_pixel = ONE / pixels
    reach = threshold / pixels
    before, after, places = scratch[: blocks * PIXELS], scratch[blocks * PIXELS :], scratch[2 * blocks * PIXELS :]
    for y in range(height):
        row = (y + 1) * pitch
        for block in range(blocks):
            x1, y1, x_seen, y_seen = place_in_second(fields, row, block, blocks, y, size, pixels)
            split_places(x_seen, y_seen, image_pitch, cubic, places, block * PLACES)
        for block in range(blocks):
            look_up(second, image_pitch, places, block * PLACES, cubic, after, block * PIXELS)
            copy_block(first, (y + MARGIN) * image_pitch + MARGIN + block, blocks, before, block * PIXELS)
        for block in range(blocks):
            x1, y1, x_seen, y_seen = place_in_second(fields, row, block, blocks, y, size, pixels)
            value, g_x, g_y = load_pixels(before, block * PIXELS)
            warped, warped_x, warped_y = load_pixels(after, block * PIXELS)
            residual = gain * warped + offset - value
            g_x = HALF * (gain * warped_x + g_x)
            g_y = HALF * (gain * warped_y + g_y)
            g_x = zero_unless_equal(x1, x_seen, zero_unless_equal(y1, y_seen, g_x))
            g_y = zero_unless_equal(x1, x_seen, zero_unless_equal(y1, y_seen, g_y))
            square = maximum(g_x * g_x + g_y * g_y, splat(TINY))
            per_length = HALF * twice_inverse_root(square)
            normal_x = per_length * g_x
            normal_y = per_length * g_y
            here = row + block * BLOCK
            u = load(fields, here + NORMAL_X)
            v = load(fields, here + NORMAL_Y)
            store(fields, here + U, u)
            store(fields, here + V, v)
            store(fields, here + NORMAL_X, normal_x)
            store(fields, here + NORMAL_Y, normal_y)
            store(fields, here + DISTANCE, per_pixel * (per_length * residual) - normal_x * u - normal_y * v)
            store(fields, here + REACH, reach * (square * per_length))
        close_row(fields, row, blocks, beyond)


def scratch_length(width: int) -> int:
    """Returns how many floats `linearise` needs beside the fields."""
    return -(-width // LANES) * (2 * PIXELS + PLACES)


@inner
def place_in_second(
    fields: np.ndarray, row: int, block: int, blocks: int, y: int, size: tuple[int, int], pixels: float
) -> tuple[Any, Any, Any, Any]:
    """Returns where the pixels of a block are in the second frame by the filtered flow, and the nearest inside it."""
    height, width = size
    here = row + block * BLOCK
    x1 = np.float32(block) + np.float32(blocks) * lane_numbers() + pixels * load(fields, here + NORMAL_X)
    y1 = np.float32(y) + pixels * load(fields, here + NORMAL_Y)
    x_seen = maximum(minimum(x1, splat(np.float32(width - 1))), splat(ZERO))
    y_seen = maximum(minimum(y1, splat(np.float32(height - 1))), splat(ZERO))
    return x1, y1, x_seen, y_seen


@inner
def copy_block(image: np.ndarray, pixel: int, stride: int, pixels: np.ndarray, target: int) -> None:
    """Copies LANES pixels that lie `stride` apart to where they lie side by side."""
    for lane in range(LANES):
        copy_pixel(image, (pixel + lane * stride) * CHANNELS, pixels, target + lane * CHANNELS)


@kernel
def match_brightness(
    fields: np.ndarray, first: np.ndarray, second: np.ndarray, size: tuple[int, int], pixels: float
) -> tuple[Any, Any]:
    """Returns the gain and offset of the second frame that make it most like the first under the flow so far.

    A camera that adjusts its exposure is then not taken for motion. Least squares, reweighted for the L1 norm that the
    flow minimises, on every other pixel of every other row. Where the difference hardly shrinks there was
    nothing to match, and what was found is chance: then gain and offset are one and zero.
    """
    value_0, value_1 = corresponding_pixels(fields, first, second, size, pixels)
    if value_0.size == 0:
        return ONE, ZERO
    gain, offset = 1.0, 0.0
    for _ in range(FITTING_ROUNDS):
        gain, offset = fit_brightness(value_0, value_1, gain, offset)
    if difference(value_0, value_1, gain, offset) > WORTH_MATCHING * difference(value_0, value_1, 1.0, 0.0):
        return ONE, ZERO
    return np.float32(gain), np.float32(offset)


@inner
def corresponding_pixels(
    fields: np.ndarray, first: np.ndarray, second: np.ndarray, size: tuple[int, int], pixels: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the brightness of pixels of the first frame, and of where they are in the second."""
    height, width = size
    blocks, pitch, _ = row_layout(width)
    image_pitch = row_pitch(width)
    value_0 = np.empty(((height + 1) // 2) * ((width + 1) // 2), np.float32)
    value_1 = np.empty_like(value_0)
    found = 0
    for y in range(0, height, 2):
        for x in range(0, width, 2):
            here = (y + 1) * pitch + cell(x, blocks)
            x1 = x + pixels * fields[here + U]
            y1 = y + pixels * fields[here + V]
            if 0 <= x1 <= width - 1 and 0 <= y1 <= height - 1:
                value_0[found] = brightness_at(first, image_pitch, x, y)
                value_1[found] = brightness_between(second, image_pitch, x1, y1)
                found += 1
    return value_0[:found], value_1[:found]


@inner
def fit_brightness(value_0: np.ndarray, value_1: np.ndarray, gain: float, offset: float) -> tuple[Any, Any]:
    """Returns gain and offset by least squares, weighted by how well pixels agree under the gain and offset before."""
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
    # Frames without contrast say nothing about gain: it stays near one, as if there were a little that agreed.
    gain = min(max((covariance + LITTLE_CONTRAST) / (variance + LITTLE_CONTRAST), 0.5), 2.0)
    return gain, mean_0 - gain * mean_1


@inner
def difference(value_0: np.ndarray, value_1: np.ndarray, gain: float, offset: float) -> Any:
    """Returns how much brightness differs in all."""
    total = 0.0
    for i in range(value_0.size):
        total += abs(gain * value_1[i] + offset - value_0[i])
    return total


@inner
def brightness_at(image: np.ndarray, image_pitch: int, x: int, y: int) -> Any:
    """Returns the brightness of one pixel."""
    return image[((y + MARGIN) * image_pitch + x + MARGIN) * CHANNELS]


@inner
def brightness_between(image: np.ndarray, image_pitch: int, x: float, y: float) -> Any:
    """Returns the bilinear brightness at one place."""
    column = int(x)
    row = int(y)
    top = brightness_at(image, image_pitch, column, row)
    top += (x - column) * (brightness_at(image, image_pitch, column + 1, row) - top)
    bottom = brightness_at(image, image_pitch, column, row + 1)
    bottom += (x - column) * (brightness_at(image, image_pitch, column + 1, row + 1) - bottom)
    return top + (y - row) * (bottom - top)
