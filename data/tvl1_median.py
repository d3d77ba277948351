"""The median of each pixel's 3×3 neighbours, for the flow between two warps: it removes what shot past an edge."""

from __future__ import annotations

from typing import Any

import numpy as np

from data.kernel_cache import inner, kernel
from data.tvl1_layout import BLOCK, NORMAL_X, NORMAL_Y, U, V, row_layout
from data.vectors import load, maximum, minimum, previous, splat, store


@kernel
def median_filter(fields: np.ndarray, size: tuple[int, int]) -> None:
    """Writes the filtered flow to where the data term's normal will be."""
    height, width = size
    blocks, pitch, _ = row_layout(width)
    for y in range(height):
        row = (y + 1) * pitch
        above = row - pitch if y > 0 else row
        below = row + pitch if y < height - 1 else row
        median_row(fields, above + U, row + U, below + U, row + NORMAL_X, blocks)
        median_row(fields, above + V, row + V, below + V, row + NORMAL_Y, blocks)


@inner
def median_row(fields: np.ndarray, above: int, row: int, below: int, target: int, blocks: int) -> None:
    """Filters a row, column by column.

    The median of nine is the median of three: the largest of the columns' minima, the median of
    their medians, the smallest of their maxima.
    """
    left = sort_columns(left_of(fields, above, blocks), left_of(fields, row, blocks), left_of(fields, below, blocks))
    here = sort_columns(load(fields, above), load(fields, row), load(fields, below))
    for block in range(0, blocks * BLOCK, BLOCK):
        after = block + BLOCK
        right = sort_columns(load(fields, above + after), load(fields, row + after), load(fields, below + after))
        low = maximum(maximum(left[0], here[0]), right[0])
        middle = middle_of(left[1], here[1], right[1])
        high = minimum(minimum(left[2], here[2]), right[2])
        store(fields, target + block, middle_of(low, middle, high))
        left = here
        here = right


@inner
def left_of(fields: np.ndarray, row: int, blocks: int) -> Any:
    """Returns what lies left of a row's first block; the first pixel's left neighbour repeats it."""
    return previous(splat(fields[row]), load(fields, row + (blocks - 1) * BLOCK))


@inner
def sort_columns(a: Any, b: Any, c: Any) -> tuple[Any, Any, Any]:
    """Returns minimum, median and maximum of each lane."""
    low = minimum(a, b)
    high = maximum(a, b)
    return minimum(low, c), maximum(low, minimum(high, c)), maximum(high, c)


@inner
def middle_of(a: Any, b: Any, c: Any) -> Any:
    """Returns the median of each lane."""
    return maximum(minimum(a, b), minimum(maximum(a, b), c))
