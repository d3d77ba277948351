"""Computes the data term: linearises brightness constancy around the flow so far.

At the flow w0, sampling the second frame at x + w0 leaves the residual  gain * I1(x + w0) + offset - I0(x).
With the gradient g, the data term is rho(w) = residual + g . (w - w0). It is stored as the line rho = 0: its normal
g / |g|, its distance from w = 0, and the greatest length of one step towards it, lambda * theta * |g|.
"""

from __future__ import annotations

import numpy as np

from data.optical_flow.tvl1.kernel_cache import inner
from data.optical_flow.tvl1.memory_layout import (
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
    close_row,
    row_layout,
)
from data.optical_flow.tvl1.sampling import PIXELS, PLACES, look_up, row_pitch, split_places
from data.optical_flow.tvl1.vectors import (
    LANES,
    Lanes,
    lane_numbers,
    load,
    maximum,
    minimum,
    splat,
    store,
    twice_inverse_root,
    zero_unless_equal,
)
from data.optical_flow.tvl1.vectors_of_pixels import CHANNELS, MARGIN, copy_pixel, load_pixels

# Gradients below this, in grey levels per pixel, tell nothing about motion; the limit only avoids division by zero.
TINY = np.float32(1e-12)


@inner
def linearise(
    fields: np.ndarray,
    images: tuple[np.ndarray, np.ndarray],
    size: tuple[int, int],
    units: tuple[np.float32, np.float32],
    brightness: tuple[np.float32, np.float32],
    cubic: bool,
    scratch: np.ndarray,
) -> None:
    """Makes the filtered flow the current flow, and fills in the data term around it.

    `units` is the pixels per unit of flow, and lambda * theta. `brightness` is gain and offset. The gradient is the
    mean of both frames' gradients, at x and at x + w0, which fits the way between them better than either. Pixels that
    move out of view have no data term. `scratch` holds the pixels of one row from both frames.
    """
    height, width = size
    blocks, pitch, beyond = row_layout(width)
    for y in range(height):
        look_up_row(fields, images, size, y, units, cubic, scratch)
        linearise_row(fields, size, y, units, brightness, scratch)
        close_row(fields, (y + 1) * pitch, blocks, beyond)


@inner
def look_up_row(
    fields: np.ndarray,
    images: tuple[np.ndarray, np.ndarray],
    size: tuple[int, int],
    y: int,
    units: tuple[np.float32, np.float32],
    cubic: bool,
    scratch: np.ndarray,
) -> None:
    """Samples both frames for a row of pixels: at the pixels in the first, and where they move to in the second."""
    first, second = images
    blocks, pitch, _ = row_layout(size[1])
    image_pitch = row_pitch(size[1])
    row = (y + 1) * pitch
    before, after, places = scratch[: blocks * PIXELS], scratch[blocks * PIXELS :], scratch[2 * blocks * PIXELS :]
    for block in range(blocks):
        _, _, x_seen, y_seen = place_in_second(fields, row, block, blocks, y, size, units[0])
        split_places(x_seen, y_seen, image_pitch, cubic, places, block * PLACES)
    for block in range(blocks):
        look_up(second, image_pitch, places, block * PLACES, cubic, after, block * PIXELS)
        copy_block(first, (y + MARGIN) * image_pitch + MARGIN + block, blocks, before, block * PIXELS)


@inner
def linearise_row(
    fields: np.ndarray,
    size: tuple[int, int],
    y: int,
    units: tuple[np.float32, np.float32],
    brightness: tuple[np.float32, np.float32],
    scratch: np.ndarray,
) -> None:
    """Fills in the flow and data term of a row from the sampled pixels."""
    pixels, threshold = units
    gain, offset = brightness
    blocks, pitch, _ = row_layout(size[1])
    row = (y + 1) * pitch
    per_pixel = ONE / pixels
    reach = threshold / pixels
    before, after = scratch[: blocks * PIXELS], scratch[blocks * PIXELS :]
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


def scratch_length(width: int) -> int:
    """Returns the number of floats of scratch memory that `linearise` needs."""
    return -(-width // LANES) * (2 * PIXELS + PLACES)


@inner
def place_in_second(
    fields: np.ndarray, row: int, block: int, blocks: int, y: int, size: tuple[int, int], pixels: np.float32
) -> tuple[Lanes, Lanes, Lanes, Lanes]:
    """Returns where the filtered flow takes a block of pixels in the second frame, and the nearest places inside it."""
    height, width = size
    here = row + block * BLOCK
    x1 = np.float32(block) + np.float32(blocks) * lane_numbers() + pixels * load(fields, here + NORMAL_X)
    y1 = np.float32(y) + pixels * load(fields, here + NORMAL_Y)
    x_seen = maximum(minimum(x1, splat(np.float32(width - 1))), splat(ZERO))
    y_seen = maximum(minimum(y1, splat(np.float32(height - 1))), splat(ZERO))
    return x1, y1, x_seen, y_seen


@inner
def copy_block(image: np.ndarray, pixel: int, stride: int, pixels: np.ndarray, target: int) -> None:
    """Copies LANES pixels that are `stride` apart to adjacent places."""
    for lane in range(LANES):
        copy_pixel(image, (pixel + lane * stride) * CHANNELS, pixels, target + lane * CHANNELS)
