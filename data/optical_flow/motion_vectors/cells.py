"""Spreads the motion vectors of blocks over a grid of cells, four pixels wide, in units of pixels a frame.

A decoder predicts each block from a block of another frame, its reference. A row of `blocks` is one such prediction:
centre x and y, width and height, and the way from the block to its source, in pixels.
"""

from __future__ import annotations

import numpy as np

from data.optical_flow.motion_vectors.coded_frames import CELL
from data.optical_flow.tvl1.kernel_cache import inner, kernel

# A block gets another reference than most blocks only if it fits this much better: without texture, all of them fit.
_BETTER = 0.8
# Shorter vectors tell little about the distance of their reference.
_LEAST_SQUARE = 1.0
# Every third block that moves is compared with all references, to find the usual one. Where that one fits to so many
# grey levels, no other is tried.
_ASKED, _GOOD = 3, 4.0


@kernel
def find_distances(blocks: np.ndarray, is_past: np.ndarray, lumas: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Returns the distance of each block's reference in frames: int64[N], negative in the past, 0 if there is none.

    `places` are rows (slot in `lumas`, distance) of frames that may be references, nearest first, after the frame's
    own row. The stream does not name the reference, so the best fit of pixels decides: all blocks take the candidate
    that fits the whole frame best, except for blocks that another candidate fits clearly better.
    """
    count, totals = len(places), np.zeros((2, len(places)))
    image, moves = lumas[places[0, 0]], np.zeros(len(blocks), np.bool_)
    for number in range(len(blocks)):
        moves[number] = count > 2 and blocks[number, 4] ** 2 + blocks[number, 5] ** 2 >= _LEAST_SQUARE
        if moves[number] and number % _ASKED == 0:
            for place in range(1, count):
                if (places[place, 1] < 0) == is_past[number]:
                    found = _difference(blocks[number], image, lumas[places[place, 0]])
                    totals[int(is_past[number]), place] += found
    usual = np.zeros(2, np.int64)
    for place in range(1, count):
        side = int(places[place, 1] < 0)
        if usual[side] == 0 or totals[side, place] < totals[side, usual[side]]:
            usual[side] = place
    distances = np.zeros(len(blocks), np.int64)
    for number in range(len(blocks)):
        chosen = usual[int(is_past[number])]
        if moves[number] and chosen:
            least = _difference(blocks[number], image, lumas[places[chosen, 0]]) * _BETTER
            for place in range(1, count if least > _GOOD else 0):
                if (places[place, 1] < 0) == is_past[number]:
                    found = _difference(blocks[number], image, lumas[places[place, 0]])
                    if found < least:
                        chosen, least = place, found
        distances[number] = places[chosen, 1] if chosen else 0
    return distances


@inner
def _difference(block: np.ndarray, image: np.ndarray, reference: np.ndarray) -> float:
    """Returns the difference between a block and its source in a frame: the mean over sixteen of its pixels."""
    height, width = image.shape
    left, top = int(block[0] - block[2] / 2), int(block[1] - block[3] / 2)
    right, down = int(np.rint(block[4])), int(np.rint(block[5]))
    step_x, step_y = max(int(block[2]) // 4, 1), max(int(block[3]) // 4, 1)
    total, count = 0.0, 0
    for y in range(max(top + step_y // 2, 0), min(top + int(block[3]), height), step_y):
        source_y = min(max(y + down, 0), height - 1)
        for x in range(max(left + step_x // 2, 0), min(left + int(block[2]), width), step_x):
            source_x = min(max(x + right, 0), width - 1)
            total += abs(float(image[y, x]) - float(reference[source_y, source_x]))
            count += 1
    return total / max(count, 1)


@kernel
def spread(
    blocks: np.ndarray, distances: np.ndarray, behind: float, past: float, future: float, sums: np.ndarray
) -> None:
    """Adds the motion of blocks, in pixels a frame, and its weight to the cells that they cover: `sums`[h, w, 3].

    Blocks lie where they were `behind` frames ago. `past` and `future` are the weights of predictions from either side;
    those of near references weigh more, since they say more about a single frame.
    """
    height, width = sums.shape[:2]
    for number in range(len(blocks)):
        distance = distances[number]
        weight = (past if distance < 0 else future) / max(distance * distance, 1)
        if distance == 0 or weight == 0.0:
            continue
        x, y = blocks[number, 4] / distance, blocks[number, 5] / distance
        left, right = _covered(blocks[number, 0] - behind * x, blocks[number, 2], width)
        top, bottom = _covered(blocks[number, 1] - behind * y, blocks[number, 3], height)
        for row in range(top, bottom):
            for column in range(left, right):
                sums[row, column, 0] += weight * x
                sums[row, column, 1] += weight * y
                sums[row, column, 2] += weight


@inner
def _covered(centre: float, size: float, most: int) -> tuple[int, int]:
    """Returns the first cell whose middle lies in a range of pixels, and the first cell after them."""
    first = int(np.ceil((centre - size / 2) / CELL - 0.5))
    end = int(np.ceil((centre + size / 2) / CELL - 0.5))
    return min(max(first, 0), most), min(max(end, 0), most)


@kernel
def divide(sums: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Returns the mean motion in each cell. Cells without any take their neighbours', or `before` if none has any."""
    height, width = sums.shape[:2]
    cells = np.empty((height, width, 2), np.float32)
    known, missing = np.zeros((height, width), np.bool_), 0
    for y in range(height):
        for x in range(width):
            known[y, x] = sums[y, x, 2] > 0
            if known[y, x]:
                cells[y, x, 0], cells[y, x, 1] = sums[y, x, 0] / sums[y, x, 2], sums[y, x, 1] / sums[y, x, 2]
            else:
                cells[y, x], missing = before[y, x], missing + 1
    while 0 < missing < height * width:
        missing = _fill(cells, known)
    return cells


@inner
def _fill(cells: np.ndarray, known: np.ndarray) -> int:
    """Fills cells beside known ones with the mean of these, and returns the number of cells still missing."""
    height, width = known.shape
    fresh, missing = known.copy(), 0
    for y in range(height):
        for x in range(width):
            if known[y, x]:
                continue
            count, right, down = 0, np.float32(0), np.float32(0)
            for row in range(max(y - 1, 0), min(y + 2, height)):
                for column in range(max(x - 1, 0), min(x + 2, width)):
                    if known[row, column]:
                        right, down, count = right + cells[row, column, 0], down + cells[row, column, 1], count + 1
            if count:
                cells[y, x, 0], cells[y, x, 1], fresh[y, x] = right / count, down / count, True
            else:
                missing += 1
    known[:] = fresh
    return missing
