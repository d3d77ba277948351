"""Where a pixel's flow lies in memory. The one place that knows; the kernels ask here.

One level of the pyramid is one array of float32. A pixel has ten FIELDS: the flow (u, v), the dual
variables p = (p11, p12) of u and (p21, p22) of v, and the data term, see data/optical_flow/tvl1/warp.py. A BLOCK
holds LANES pixels: ten vectors, a field each. A row is `blocks` blocks and one more, the margin:

    column x of a row lies in block x % blocks, lane x // blocks

so each lane walks its own stretch of the row, and the neighbours of a whole vector, left and right,
are the vectors of the neighbouring blocks: no lane is ever shifted but at a row's ends. All that a
pixel needs is one stream through memory, and all offsets inside a block are constants, so
one compiled kernel serves every width.

Row 0 of the array is above the image and stays zero; image row y is row y + 1. What lies right of
the image (the last lanes of a row, when the width doesn't fill them) is computed along and never read, except
for the cell right of each row's last pixel, which repeats that pixel: so no flow changes across the border.

What a solve reads of the two frames is looked up anywhere and lies otherwise: see data/optical_flow/tvl1/sampling.py.
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
    """Returns how many floats the fields of one level take."""
    return (height + 1) * (-(-width // LANES) + 1) * BLOCK


@inner
def row_layout(width: int) -> tuple[int, int, int]:
    """Returns the blocks of a row, the distance of two rows, and where the cell right of the last pixel lies."""
    blocks = (width + LANES - 1) // LANES
    last = width - 1
    return blocks, (blocks + 1) * BLOCK, (last % blocks + 1) * BLOCK + last // blocks


@inner
def cell(column: int, blocks: int) -> int:
    """Returns where the first field of a pixel lies, counted from the start of its row."""
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
