"""The iteration of TV-L1, the heart of the solver (Zach, Pock and Bischof, 2007: "A duality based approach ...").

It minimises  sum |grad u| + |grad v| + lambda |rho(u, v)|  by two alternating steps for every pixel:

    primal   (u, v) <- (u, v) - clamp(distance, reach) * normal + tau * (div p1, div p2)
    dual     p <- q / max(1, |q| / 2),  q = keep * p + grad u        and the same for v

This is the paper's scheme in other units. The data term is linear in the flow: rho = 0 is a line in the (u, v) plane,
at a signed distance along its normal, which is the direction of the image gradient. The paper's thresholding step moves
towards that line by at most reach = lambda * theta * |gradient|. The dual step projects p, as in Wedel et al. (2009),
which needs two thirds of the iterations of the paper's step.

Total variation turns smoothly changing flow into steps. So where flow changes by less than a given slope per pixel, the
norm is quadratic (Huber's norm, as in Werlberger et al., 2009). This only takes the factor
keep = 1 / (1 + slope * tau / theta), which lets p follow the gradient wherever p is too short to be shrunk.

The unit of flow is theta / (2 tau keep) pixels, and p is twice the paper's. With these units the paper's factors
tau / theta before each gradient and theta before each divergence disappear (`tau` here is the paper's times keep).
Shrinking p to a length of at most two means multiplying by 2 / sqrt(|p|^2), one operation fewer than 1 / sqrt(|p|^2).

Derivatives are forward in grad and backward in div. They are zero across the border of the image.
"""

from __future__ import annotations

import numpy as np

from data.optical_flow.tvl1.kernel_cache import inner
from data.optical_flow.tvl1.memory_layout import (
    BLOCK,
    DISTANCE,
    NORMAL_X,
    NORMAL_Y,
    P11,
    P12,
    P21,
    P22,
    REACH,
    ZERO,
    U,
    V,
    close_row,
    row_layout,
)
from data.optical_flow.tvl1.vectors import load, maximum, minimum, previous, splat, store, twice_inverse_root

# So many floats fit into the second-level cache of a core. A sweep of fewer than FEWEST_ROWS rows is not worthwhile.
CACHED_FLOATS = 50_000
FEWEST_ROWS = 8
# The square of the greatest length of p.
LONGEST = np.float32(4)


@inner
def iterate(fields: np.ndarray, size: tuple[int, int], iterations: int, tau: np.float32, keep: np.float32) -> None:
    """Runs iterations over one level, in sweeps; a sweep has as many iterations as the cache holds rows."""
    _, pitch, _ = row_layout(size[1])
    sweeps = -(-iterations // max(CACHED_FLOATS // pitch, FEWEST_ROWS))
    for sweep in range(sweeps):
        first = sweep * iterations // sweeps
        sweep_rows(fields, size, (sweep + 1) * iterations // sweeps - first, tau, keep)


@inner
def sweep_rows(fields: np.ndarray, size: tuple[int, int], iterations: int, tau: np.float32, keep: np.float32) -> None:
    """Runs several iterations down the rows, each one row behind the other.

    At time t, iteration k works on row t - k, so a row stays in the cache from its first iteration to its last. The
    result is exactly the same as if each iteration went over the whole level before the next began.
    """
    height, width = size
    blocks, pitch, beyond = row_layout(width)
    for time in range(height + iterations):
        for iteration in range(max(0, time - height), min(iterations, time + 1)):
            y = time - iteration
            row = (y + 1) * pitch
            if y < height:
                primal_step(fields, row - pitch, row, blocks, tau)
                close_row(fields, row, blocks, beyond)
            if y > 0:
                dual_step(fields, row - pitch, row if y < height else row - pitch, blocks, keep)


@inner
def primal_step(fields: np.ndarray, above: int, row: int, blocks: int, tau: np.float32) -> None:
    """Moves the flow of a row towards constant brightness, and along the divergence of p."""
    last = row + (blocks - 1) * BLOCK
    p11_left = previous(splat(ZERO), load(fields, last + P11))
    p21_left = previous(splat(ZERO), load(fields, last + P21))
    for block in range(blocks):
        here = row + block * BLOCK
        up = above + block * BLOCK
        u = load(fields, here + U)
        v = load(fields, here + V)
        normal_x = load(fields, here + NORMAL_X)
        normal_y = load(fields, here + NORMAL_Y)
        reach = load(fields, here + REACH)
        distance = load(fields, here + DISTANCE) + normal_x * u + normal_y * v
        move = maximum(minimum(distance, reach), splat(ZERO) - reach)
        p11 = load(fields, here + P11)
        p21 = load(fields, here + P21)
        div_p1 = (p11 - p11_left) + (load(fields, here + P12) - load(fields, up + P12))
        div_p2 = (p21 - p21_left) + (load(fields, here + P22) - load(fields, up + P22))
        store(fields, here + U, u - move * normal_x + tau * div_p1)
        store(fields, here + V, v - move * normal_y + tau * div_p2)
        p11_left = p11
        p21_left = p21


@inner
def dual_step(fields: np.ndarray, row: int, below: int, blocks: int, keep: np.float32) -> None:
    """Moves p of a row along the gradient of the flow, then shrinks it to a length of at most two."""
    u = load(fields, row + U)
    v = load(fields, row + V)
    for block in range(blocks):
        here = row + block * BLOCK
        down = below + block * BLOCK
        u_right = load(fields, here + BLOCK + U)
        v_right = load(fields, here + BLOCK + V)
        p11 = keep * load(fields, here + P11) + (u_right - u)
        p12 = keep * load(fields, here + P12) + (load(fields, down + U) - u)
        p21 = keep * load(fields, here + P21) + (v_right - v)
        p22 = keep * load(fields, here + P22) + (load(fields, down + V) - v)
        shrink_u = twice_inverse_root(maximum(p11 * p11 + p12 * p12, splat(LONGEST)))
        shrink_v = twice_inverse_root(maximum(p21 * p21 + p22 * p22, splat(LONGEST)))
        store(fields, here + P11, p11 * shrink_u)
        store(fields, here + P12, p12 * shrink_u)
        store(fields, here + P21, p21 * shrink_v)
        store(fields, here + P22, p22 * shrink_v)
        u = u_right
        v = v_right
