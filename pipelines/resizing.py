"""Resizes the planes of a clip and stacks them as its channels, in one pass, four channels at a time.

Bilinear, with pixel centres aligned, in integers: the same bytes on every processor. They differ by less than two
levels from computing with real numbers, and by a third of a level on average. TensorFlow's own operations take three to
four times as long, half of it to transpose 20 planes. Here four channels of a pixel are one *word* from the beginning,
so picking the pixels of a row, in any order, costs a quarter.

First each row is resized, to `words[y, x, word]`, then each column, to `clip[y, x, channel]`.
"""

from typing import TypeAlias

import numpy as np

from data.optical_flow.levels import RULES
from data.optical_flow.tvl1.kernel_cache import inner, kernel

# Weights are 0 to 256. So a weighted sum of two bytes, plus half a level for rounding, is less than 2 ** 16.
_ONE, _HALF, _SHIFT = np.uint16(256), np.uint16(128), np.uint16(8)
_WORD, COLOURS = 4, 3
AS_IT_IS = np.uint8(0), np.uint8(0), np.uint8(0), np.uint8(0)
# How x is negated: the bits to invert, the number to add, the lowest level and the highest.
Turning: TypeAlias = tuple[np.uint8, np.uint8, np.uint8, np.uint8]


def resize(planes: np.ndarray, clip: np.ndarray, is_mirrored: bool, rule: str = "") -> None:
    """Fills a clip, uint8[size, size, channels], with planes, uint8[planes, H, W, 1 or 3].

    With a rule of levels, planes are flow, x and y in turn. Mirroring makes motion to the right motion to the left.
    """
    turning = AS_IT_IS
    if rule and is_mirrored:
        numbers = RULES[rule]
        added = np.uint8(int(2 * numbers.still) - 255 & 255)
        turning = np.uint8(255), added, np.uint8(numbers.lowest), np.uint8(numbers.highest)
    resize_planes(planes, clip, is_mirrored, turning)


@kernel
def resize_planes(planes: np.ndarray, clip: np.ndarray, is_mirrored: bool, turning: Turning) -> None:
    """Fills a clip, uint8[size, size, channels], with planes, uint8[planes, H, W, 1 or 3]."""
    count, height, width, each = planes.shape
    lines = planes.reshape(count, height, width * each)
    size, per_pixel = clip.shape[0], count if each == COLOURS else (count + _WORD - 1) // _WORD
    rows, row_weights = _places(height, size, False)
    columns, weights = _places(width, size, is_mirrored)
    line = np.zeros(width + 1, np.uint32)
    words = np.empty((height + 1, size * per_pixel), np.uint32)
    left, right, made = np.empty(size, np.uint32), np.empty(size, np.uint32), np.empty(size, np.uint32)
    for y in range(height):
        for word in range(per_pixel):
            if each == COLOURS:
                _pack_colours(lines[word, y], line)
            else:
                _pack(lines[:, y], _WORD * word, turning, line)
            line[width] = line[width - 1]
            _take(line, columns, left, right)
            _blend(left.view(np.uint8), right.view(np.uint8), weights, made.view(np.uint8))
            for x in range(size):
                words[y, x * per_pixel + word] = made[x]
    words[height] = words[height - 1]
    blended = np.empty(size * per_pixel * _WORD, np.uint8)
    for y in range(size):
        above, below = words[rows[y]].view(np.uint8), words[rows[y] + np.uint32(1)].view(np.uint8)
        target, weight = clip[y].reshape(clip[y].size), row_weights[_WORD * y]
        if target.size == blended.size:
            _blend_evenly(above, below, weight, target)
        else:
            _blend_evenly(above, below, weight, blended)
            if each == COLOURS:
                _leave_gaps_out(blended, COLOURS, _WORD, target)
            else:
                _leave_gaps_out(blended, count, per_pixel * _WORD, target)


@inner
def _places(length: int, size: int, is_mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """Returns for each of `size` new pixels the old pixel before it (of `length`), and the weight of the one after.

    Each weight is repeated four times, once for each byte of a word.
    """
    places, weights = np.empty(size, np.uint32), np.empty(_WORD * size, np.uint16)
    for number in range(size):
        at = min(max((number + 0.5) * length / size - 0.5, 0.0), length - 1.0)
        place = int(at)
        new = size - 1 - number if is_mirrored else number
        places[new] = np.uint32(place)
        weights[_WORD * new : _WORD * (new + 1)] = np.uint16((at - place) * 256 + 0.5)
    return places, weights


@inner
def _pack(rows: np.ndarray, first: int, turning: Turning, line: np.ndarray) -> None:
    """Makes words of four planes' rows from `first` on. Every other plane is x, which may be negated."""
    last = rows.shape[0] - 1
    a, b = rows[first], rows[min(first + 1, last)]
    c, d = rows[min(first + 2, last)], rows[min(first + 3, last)]
    mask, added, lowest, highest = turning
    if mask:
        for x in range(a.size):
            # See augment.opposite: all bits are inverted, then the level of no motion is moved back to its place.
            opposite_a = np.uint8((min(max(a[x], lowest), highest) ^ mask) + added)
            opposite_c = np.uint8((min(max(c[x], lowest), highest) ^ mask) + added)
            line[x] = _word(opposite_a, b[x], opposite_c, d[x])
    else:
        for x in range(a.size):
            line[x] = _word(a[x], b[x], c[x], d[x])


@inner
def _pack_colours(row: np.ndarray, line: np.ndarray) -> None:
    for x in range(row.size // COLOURS):
        line[x] = _word(row[COLOURS * x], row[COLOURS * x + 1], row[COLOURS * x + 2], np.uint8(0))


@inner
def _word(a: np.uint8, b: np.uint8, c: np.uint8, d: np.uint8) -> np.uint32:
    low = np.uint32(a) | np.uint32(b) << np.uint32(8)
    return np.uint32(low | np.uint32(c) << np.uint32(16) | np.uint32(d) << np.uint32(24))


@inner
def _take(line: np.ndarray, places: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    for x in range(places.size):
        left[x] = line[places[x]]
        right[x] = line[places[x] + np.uint32(1)]


@inner
def _blend(first: np.ndarray, second: np.ndarray, weights: np.ndarray, blended: np.ndarray) -> None:
    for place in range(blended.size):
        rest = np.uint16(_ONE - weights[place])
        both = np.uint16(first[place] * rest + second[place] * weights[place] + _HALF)
        blended[place] = np.uint8(both >> _SHIFT)


@inner
def _blend_evenly(first: np.ndarray, second: np.ndarray, weight: int, blended: np.ndarray) -> None:
    rest = np.uint16(_ONE - weight)
    for place in range(blended.size):
        blended[place] = np.uint8(np.uint16(first[place] * rest + second[place] * weight + _HALF) >> _SHIFT)


@inner
def _leave_gaps_out(padded: np.ndarray, channels: int, stride: int, target: np.ndarray) -> None:
    for number in range(target.size // channels):
        for channel in range(channels):
            target[number * channels + channel] = padded[number * stride + channel]
