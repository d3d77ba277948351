"""Samples an image between its pixels.

An image is one array with four floats per pixel: brightness, its derivatives in x and y, and one that is unused. So one
load fetches everything about several neighbouring pixels. A place (x, y) is relative to pixel (0, 0), which is MARGIN
pixels from the left and upper edge of the array, so that all taps of a place inside the image exist.

First, whole vectors of places are split into the pixel that each is in and the weights of its rows. Then each place is
looked up separately, because its own taps are close together in memory, while those of the next place may be anywhere.
"""

from __future__ import annotations

import numpy as np

from data.optical_flow.tvl1.kernel_cache import inner
from data.optical_flow.tvl1.memory_layout import ONE
from data.optical_flow.tvl1.vectors import LANES, Lanes, load_one, store, whole
from data.optical_flow.tvl1.vectors_of_pixels import CHANNELS, MARGIN, load_pixel_number, store_pixel_numbers, weighted

# The parts of a vector of split places: the pixel of each, the distance to its right, and the weights of the rows.
PIXEL, X_PART, WEIGHTS = (part * LANES for part in range(3))
PLACES = WEIGHTS + 4 * LANES
PIXELS = LANES * CHANNELS

# The weight of each tap as a polynomial in the fraction of a pixel, lowest power first: for two taps (linear), ...
_LINEAR = ((1.0, -1.0), (0.0, 1.0))
# ... and for four taps at -1, 0, 1 and 2, Keys' cubic kernel with a = -3/4, as in OpenCV.
_A = -0.75
_CUBIC = (
    (0.0, _A, -2 * _A, _A),
    (1.0, 0.0, -(_A + 3), _A + 2),
    (0.0, -_A, 2 * _A + 3, -(_A + 2)),
    (0.0, 0.0, _A, -_A),
)
_CUBIC_COEFFICIENTS = tuple(tuple(np.float32(each) for each in tap) for tap in _CUBIC)
weigh_linear = weighted(_LINEAR)
weigh_cubic = weighted(_CUBIC)


@inner
def split_places(x: Lanes, y: Lanes, pitch: int, cubic: bool, places: np.ndarray, at: int) -> None:
    """Splits a vector of places, none negative, into the parts that `look_up` needs."""
    column = whole(x)
    row = whole(y)
    part = y - row
    store_pixel_numbers(places, at + PIXEL, column, row, pitch)
    store(places, at + X_PART, x - column)
    if cubic:
        for tap in range(4):
            c0, c1, c2, c3 = _CUBIC_COEFFICIENTS[tap]
            store(places, at + WEIGHTS + tap * LANES, c0 + part * (c1 + part * (c2 + part * c3)))
    else:
        store(places, at + WEIGHTS, ONE - part)
        store(places, at + WEIGHTS + LANES, part)


@inner
def look_up(
    image: np.ndarray, pitch: int, places: np.ndarray, at: int, cubic: bool, pixels: np.ndarray, target: int
) -> None:
    """Samples an image at the LANES places that were split into places[at]; writes to pixels[target] and after."""
    for lane in range(LANES):
        here = at + lane
        pixel = load_pixel_number(places, here + PIXEL)
        x_part = load_one(places, here + X_PART)
        weights, to = (places, here + WEIGHTS), (pixels, target + lane * CHANNELS)
        if cubic:
            weigh_cubic(image, (pixel - pitch - 1) * CHANNELS, pitch, x_part, weights, to)
        else:
            weigh_linear(image, pixel * CHANNELS, pitch, x_part, weights, to)


def image_length(height: int, width: int) -> int:
    """Returns the number of floats in an image, plus some that reading the last row may overrun."""
    return (height + 2 * MARGIN) * image_pitch(width) * CHANNELS + PIXELS


def image_pitch(width: int) -> int:
    """Returns the distance between rows of a sampled image in pixels, a whole number of vectors."""
    return (width + 2 * MARGIN + LANES - 1) // LANES * LANES


row_pitch = inner(image_pitch)
