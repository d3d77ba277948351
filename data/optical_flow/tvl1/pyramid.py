"""Moves between the levels of the pyramid, each of half the size: shrinks images, enlarges flow and p."""

from __future__ import annotations

import numpy as np

from data.optical_flow.tvl1.kernel_cache import inner, kernel
from data.optical_flow.tvl1.memory_layout import BLOCK, ONE, P11, P12, P21, P22, ZERO, U, V, cell, close_row, row_layout
from data.optical_flow.tvl1.sampling import image_pitch
from data.optical_flow.tvl1.vectors import LANES, following, load, load_one, previous, splat, store, store_one
from data.optical_flow.tvl1.vectors_of_pixels import CHANNELS, MARGIN, store_pixels

# Derivatives need two more pixels of border than the image that is sampled.
PADDING = MARGIN + 2
SMALLEST_SIDE = 16
NEAR, FAR = np.float32(0.75), np.float32(0.25)
TWO, EIGHT, TWELFTH = np.float32(2), np.float32(8), np.float32(1 / 12)
# Weights of four neighbours in a row, then in a column, when an image is halved. With more weight in the middle,
# stripes of three pixels would survive; at half size they alias into wider stripes that move backwards.
INSIDE, OUTSIDE = np.float32(3 / 8), np.float32(1 / 8)
# Weight of each neighbour in a row, then in a column, when an image is smoothed.
SIDE = 1 / 10
CORNER, EDGE, CENTRE = np.float32(SIDE**2), np.float32(SIDE * (1 - 2 * SIDE)), np.float32((1 - 2 * SIDE) ** 2)


def level_sizes(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    """Returns the height and width of each level, finest first; no side gets shorter than 16 pixels."""
    sizes = [(height, width)]
    while len(sizes) < levels and min(sizes[-1]) >= 2 * SMALLEST_SIDE - 1:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


def image_pyramid(
    grey: np.ndarray, sizes: list[tuple[int, int]], smooth: bool, images: list[np.ndarray]
) -> list[np.ndarray]:
    """Fills `images` with the brightness and derivatives of each level, as sampling.py reads them; returns them."""
    plane = _padded(grey)
    if smooth:
        softened = np.zeros_like(plane)
        smooth_plane(plane.ravel(), softened.ravel(), plane.shape[1])
        plane = _repeat_border(softened, *grey.shape)
    for level, (height, width) in enumerate(sizes):
        if level > 0:
            plane = _half(plane, height, width)
        differentiate(plane.ravel(), images[level], height, image_pitch(width))
    return images


def _padded(image: np.ndarray) -> np.ndarray:
    """Returns an image with a border that repeats its edge, and with room for vectors that overrun a row."""
    height, width = image.shape
    plane = np.zeros((height + 2 * PADDING, image_pitch(width) + PADDING + LANES), np.float32)
    plane[PADDING : PADDING + height, PADDING : PADDING + width] = image
    return _repeat_border(plane, height, width)


def _repeat_border(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    bottom, right = PADDING + height, PADDING + width
    plane[PADDING:bottom, :PADDING] = plane[PADDING:bottom, PADDING : PADDING + 1]
    plane[PADDING:bottom, right : right + PADDING] = plane[PADDING:bottom, right - 1 : right]
    plane[:PADDING] = plane[PADDING]
    plane[bottom:] = plane[bottom - 1]
    return plane


def _half(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns an image of half the size, with its border."""
    half = np.zeros((height + 2 * PADDING, image_pitch(width) + PADDING + LANES), np.float32)
    halve(plane.ravel(), plane.shape[1], half.ravel(), half.shape[1], (height, width), np.empty_like(plane[0]))
    return _repeat_border(half, height, width)


@kernel
def halve(
    plane: np.ndarray, pitch: int, half: np.ndarray, half_pitch: int, size: tuple[int, int], row: np.ndarray
) -> None:
    """Halves an image: filters it by [1, 3, 3, 1] / 8 in both directions and keeps every other pixel."""
    height, width = size
    for y in range(height):
        top = (PADDING + 2 * y - 1) * pitch
        for x in range(0, pitch - LANES + 1, LANES):
            here = top + x
            inside = load(plane, here + pitch) + load(plane, here + 2 * pitch)
            outside = load(plane, here) + load(plane, here + 3 * pitch)
            store(row, x, INSIDE * inside + OUTSIDE * outside)
        target = (PADDING + y) * half_pitch + PADDING
        for x in range(width):
            left = PADDING + 2 * x - 1
            inside_sum = load_one(row, left + 1) + load_one(row, left + 2)
            store_one(half, target + x, INSIDE * inside_sum + OUTSIDE * (load_one(row, left) + load_one(row, left + 3)))


@kernel
def smooth_plane(plane: np.ndarray, softened: np.ndarray, pitch: int) -> None:
    """Smooths an image by [1, 8, 1] / 10 in both directions, a standard deviation below half a pixel."""
    for here in range(pitch + 1, plane.size - pitch - LANES, LANES):
        up = here - pitch
        down = here + pitch
        corners = (load(plane, up - 1) + load(plane, up + 1)) + (load(plane, down - 1) + load(plane, down + 1))
        edges = (load(plane, up) + load(plane, down)) + (load(plane, here - 1) + load(plane, here + 1))
        store(softened, here, CORNER * corners + EDGE * edges + CENTRE * load(plane, here))


@kernel
def differentiate(plane: np.ndarray, image: np.ndarray, height: int, pitch: int) -> None:
    """Writes brightness and its derivatives in x and y, by five-tap central differences."""
    plane_pitch = plane.size // (height + 2 * PADDING)
    for y in range(height + 2 * MARGIN):
        for x in range(0, pitch, LANES):
            here = (y + 2) * plane_pitch + x + 2
            down = plane_pitch
            across_1 = load(plane, here + 1) - load(plane, here - 1)
            across_2 = load(plane, here + 2) - load(plane, here - 2)
            down_1 = load(plane, here + down) - load(plane, here - down)
            down_2 = load(plane, here + 2 * down) - load(plane, here - 2 * down)
            store_pixels(
                image,
                (y * pitch + x) * CHANNELS,
                load(plane, here),
                TWELFTH * (EIGHT * across_1 - across_2),
                TWELFTH * (EIGHT * down_1 - down_2),
            )


@kernel
def upsample(
    coarse: np.ndarray,
    coarse_size: tuple[int, int],
    fields: np.ndarray,
    size: tuple[int, int],
    scratch: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Fills flow and p of a level from the next coarser one by linear interpolation; flow is doubled, p is not.

    The centre of a fine pixel is a quarter of a coarse pixel beside that of the nearest coarse one, so the weights are
    3/4 for the nearest and 1/4 for the next. `scratch` holds a row interpolated along y and the positions of each
    pixel's two sources in it.
    """
    (coarse_height, coarse_width), (height, width) = coarse_size, size
    row_of_coarse, near, far = scratch
    coarse_blocks, coarse_pitch, _ = row_layout(coarse_width)
    blocks, pitch, beyond = row_layout(width)
    for x in range(width):
        near[x] = cell(x // 2, coarse_blocks)
        far[x] = cell(min(max(x // 2 + x % 2 * 2 - 1, 0), coarse_width - 1), coarse_blocks)
    for y in range(height):
        near_row = (y // 2 + 1) * coarse_pitch
        far_row = (min(max(y // 2 + y % 2 * 2 - 1, 0), coarse_height - 1) + 1) * coarse_pitch
        mix_rows(coarse, near_row, far_row, coarse_pitch, row_of_coarse)
        row = (y + 1) * pitch
        for block in range(0, pitch, BLOCK):
            for field in (U, V, P11, P12, P21, P22):
                store(fields, row + block + field, splat(ZERO))
        if blocks == 2 * coarse_blocks:
            spread_blocks(row_of_coarse, fields, row, coarse_blocks)
            spread_pixels(scratch, fields, row, blocks, (width - 1) // blocks, width - 1, width)
        else:
            for lane in range(LANES):
                spread_pixels(scratch, fields, row, blocks, lane, lane * blocks, min((lane + 1) * blocks, width))
        end_p(fields, row, beyond, pitch, y == height - 1)
        close_row(fields, row, blocks, beyond)


@inner
def mix_rows(coarse: np.ndarray, near_row: int, far_row: int, pitch: int, mixed: np.ndarray) -> None:
    """Interpolates a row between two rows of a coarse level."""
    for block in range(0, pitch, BLOCK):
        for field in (U, V, P11, P12, P21, P22):
            here = block + field
            store(mixed, here, NEAR * load(coarse, near_row + here) + FAR * load(coarse, far_row + here))


@inner
def end_p(fields: np.ndarray, row: int, beyond: int, pitch: int, is_last: bool) -> None:
    """Sets p to zero at the border, because flow does not change across it."""
    end = row + beyond - BLOCK
    fields[end + P11] = ZERO
    fields[end + P21] = ZERO
    if is_last:
        for block in range(0, pitch, BLOCK):
            store(fields, row + block + P12, splat(ZERO))
            store(fields, row + block + P22, splat(ZERO))


@inner
def spread_blocks(coarse: np.ndarray, fields: np.ndarray, row: int, coarse_blocks: int) -> None:
    """Interpolates a row along x, turning each coarse block into two; the last pixel of the row is left out."""
    for field in (U, V, P11, P12, P21, P22):
        grown = TWO if field <= V else ONE
        here = load(coarse, field)
        left = previous(splat(load_one(coarse, field)), load(coarse, (coarse_blocks - 1) * BLOCK + field))
        for block in range(coarse_blocks):
            after = block + 1
            if after < coarse_blocks:
                right = load(coarse, after * BLOCK + field)
            else:
                right = following(load(coarse, field), here)
            store(fields, row + 2 * block * BLOCK + field, grown * (NEAR * here + FAR * left))
            store(fields, row + (2 * block + 1) * BLOCK + field, grown * (NEAR * here + FAR * right))
            left = here
            here = right


@inner
def spread_pixels(
    scratch: tuple[np.ndarray, np.ndarray, np.ndarray],
    fields: np.ndarray,
    row: int,
    blocks: int,
    lane: int,
    start: int,
    stop: int,
) -> None:
    """Interpolates some pixels of a row along x, all in one lane."""
    coarse, near, far = scratch
    for x in range(start, stop):
        here = row + (x - lane * blocks) * BLOCK + lane
        a = near[x]
        b = far[x]
        store_one(fields, here + U, TWO * (NEAR * load_one(coarse, a + U) + FAR * load_one(coarse, b + U)))
        store_one(fields, here + V, TWO * (NEAR * load_one(coarse, a + V) + FAR * load_one(coarse, b + V)))
        for field in (P11, P12, P21, P22):
            value = NEAR * load_one(coarse, a + field) + FAR * load_one(coarse, b + field)
            store_one(fields, here + field, value)
