"""Looking up an image between its pixels.

The image is one array with four floats a pixel: brightness, its derivatives in x and in y, and nothing;
so one load fetches all that a row of neighbouring pixels knows. Places (x, y) are counted from pixel (0, 0), which lies
MARGIN pixels inside the array from the left and from above, so that every tap of a place inside the image exists.

Places are split by whole vectors into the pixel they lie in and how its rows weigh. Then each is looked up by itself:
its taps lie together in memory, and those of the next place may lie anywhere.
"""

from __future__ import annotations

import numpy as np

from data.optical_flow.tvl1.kernel_cache import inner
from data.optical_flow.tvl1.memory_layout import ONE
from data.optical_flow.tvl1.vectors import LANES, Lanes, load_one, store, whole
from data.optical_flow.tvl1.vectors_of_pixels import CHANNELS, MARGIN, load_pixel_number, store_pixel_numbers, weighted

# What is known of a vector of places: the pixel each lies in, how far right of it, and the weights of the taps' rows.
PIXEL, X_PART, WEIGHTS = (part * LANES for part in range(3))
PLACES = WEIGHTS + 4 * LANES
PIXELS = LANES * CHANNELS

# The weight of each tap as a polynomial in the fraction of a pixel, lowest power first: of two neighbours, ...
_LINEAR = ((1.0, -1.0), (0.0, 1.0))
# ... and Keys' cubic kernel with a = -3/4, OpenCV's choice, for the taps at -1, 0, 1 and 2.
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
    """Writes what look-ups need to know of a vector of places, none negative."""
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
    """Writes the pixels of an image at the LANES places that were split to places[at], from pixels[target] on."""
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
    """Returns how many floats an image takes, with some more that reading a last row may overrun."""
    return (height + 2 * MARGIN) * image_pitch(width) * CHANNELS + PIXELS


def image_pitch(width: int) -> int:
    """Returns the distance of two rows of a sampled image in pixels, a whole number of vectors."""
    return (width + 2 * MARGIN + LANES - 1) // LANES * LANES


row_pitch = inner(image_pitch)
