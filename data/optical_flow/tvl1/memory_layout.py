"""The memory layout of flow. Only this file knows where the fields of a pixel are; all kernels ask it.

One level of the pyramid is one array of float32. A pixel has ten FIELDS: the flow (u, v), the dual variables
p = (p11, p12) of u and (p21, p22) of v, and the data term (see data/optical_flow/tvl1/warp.py). A BLOCK holds LANES
pixels as ten vectors, one per field. A row has `blocks` blocks, plus one more as a margin:

    column x of a row is in block x % blocks, lane x // blocks

So each lane walks through its own part of the row, and the left and right neighbours of a whole vector are the vectors
of the neighbouring blocks. Lanes have to be shifted only at the ends of a row. A row is read as a single stream of
memory, and all offsets within a block are constants, so one compiled kernel serves every width.

Row 0 of the array is above the image and stays zero; image row y is row y + 1. If the width doesn't fill the last lanes
of a row, the pixels right of the image are computed too, but never read, except for the first one. It repeats the last
pixel of the image, so that flow does not change across the border.

The frames have another layout, because they are read at arbitrary places: see data/optical_flow/tvl1/sampling.py.
"""

from __future__ import annotations

import numpy as np

from data.optical_flow.tvl1.kernel_cache import inner, kernel
from data.optical_flow.tvl1.vectors import LANES, following, load, splat, store

FIELDS = 10
BLOCK = FIELDS * LANES
U, V, P11, P12, P21, P22, NORMAL_X, NORMAL_Y, DISTANCE, REACH = (field * LANES for field in range(FIELDS))

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)


def level_length(height: int, width: int) -> int:
    """Returns the number of floats in the fields of one level."""
    return (height + 1) * (-(-width // LANES) + 1) * BLOCK


@inner
def row_layout(width: int) -> tuple[int, int, int]:
    """Returns the blocks of a row, the distance between rows, and the position of the cell right of the last pixel."""
    blocks = (width + LANES - 1) // LANES
    last = width - 1
    return blocks, (blocks + 1) * BLOCK, (last % blocks + 1) * BLOCK + last // blocks


@inner
def cell(column: int, blocks: int) -> int:
    """Returns the position of the first field of a pixel, from the start of its row."""
    return column % blocks * BLOCK + column // blocks


@inner
def close_row(fields: np.ndarray, row: int, blocks: int, beyond: int) -> None:
    """Fills the margin of a finished row of flow, and repeats its last pixel to the right."""
    for field in (U, V):
        store(fields, row + blocks * BLOCK + field, following(load(fields, row + field), splat(ZERO)))
        fields[row + beyond + field] = fields[row + beyond - BLOCK + field]


@kernel
def clear(fields: np.ndarray, size: tuple[int, int]) -> None:
    """Sets the flow and p of a level to zero."""
    height, width = size
    _, pitch, _ = row_layout(width)
    for block in range(0, (height + 1) * pitch, BLOCK):
        for field in (U, V, P11, P12, P21, P22):
            store(fields, block + field, splat(ZERO))
