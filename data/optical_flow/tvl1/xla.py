"""TV-L1 for GPUs: the algorithm of solver.py for a whole batch of pairs, in TensorFlow, compiled by XLA.

Only this file and xla_pyramid.py import TensorFlow here, and the engine imports them only when a GPU is used. Images
are [B, H, W]; flow and both parts of p are [2, B, H, W], u first. Each size of frames is compiled once, so use few
sizes.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from data.optical_flow.frames import LUMA
from data.optical_flow.tvl1.brightness import EVERY_TO_COMPARE, EVERY_TO_MATCH
from data.optical_flow.tvl1.median import SPREADS
from data.optical_flow.tvl1.parameters import TVL1Parameters
from data.optical_flow.tvl1.pyramid import level_sizes
from data.optical_flow.tvl1.xla_pyramid import MARGIN, cut, doubled, image_pyramid, padded

CUBIC = -0.75


class XlaTVL1:
    """Computes the flow of batches of pairs on the device that TensorFlow prefers: the GPU where there is one."""

    def __init__(self, parameters: TVL1Parameters) -> None:
        self.parameters = parameters
        self._compiled = tf.function(self._flow, jit_compile=True, autograph=False)

    def solve_batch(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Returns the flow [B, H, W, 2] between images of 0..255: grey [B, H, W], or uint8 RGB [B, H, W, 3]."""
        return self._compiled(tf.constant(first), tf.constant(second)).numpy()

    def _flow(self, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        first, second, choice = _grey(first), _grey(second), self.parameters
        batch, height, width = first.shape
        sizes = level_sizes(height, width, choice.levels)
        firsts, seconds = (image_pyramid(image, sizes, choice.smooth) for image in (first, second))
        flow = p_x = p_y = tf.zeros((2, batch, *sizes[-1]))
        brightness = tf.ones(batch), tf.zeros(batch)
        for level in reversed(range(len(sizes))):
            if level < len(sizes) - 1:
                flow, p_x, p_y = (doubled(field, sizes[level]) for field in (2 * flow, p_x, p_y))
                p_x, p_y = _without_last(p_x, axis=3), _without_last(p_y, axis=2)
            images = firsts[level], seconds[level]
            if choice.match_brightness and level > 0:
                brightness = _matched_brightness(*_corresponding_pixels(*images, flow, EVERY_TO_MATCH))
            share = tf.ones(batch)
            if level < len(sizes) - 1:
                noise = _typical_difference(*_corresponding_pixels(*images, flow, EVERY_TO_COMPARE), brightness)
                share = choice.tolerance / tf.maximum(noise, choice.tolerance)

            def warp(flow: tf.Tensor, p_x: tf.Tensor, p_y: tf.Tensor) -> tuple[tf.Tensor, ...]:
                # It is traced at once, before the next level changes the variables that it takes from the loop.
                flow = _median(flow)
                data_term = _linearised(*images, flow, brightness, cubic=level == 0)  # noqa: B023
                return _iterated((flow, p_x, p_y), data_term, share, choice)  # noqa: B023

            flow, p_x, p_y = _repeated(warp, choice.warps, (flow, p_x, p_y))
        for spread in SPREADS:
            flow = _median(flow, spread)
        return tf.transpose(flow, (1, 2, 3, 0))


def _grey(images: tf.Tensor) -> tf.Tensor:
    levels = tf.cast(images, tf.float32)
    return levels if levels.shape.rank == 3 else tf.reduce_sum(levels * LUMA, axis=-1)


def _repeated(body, times: int, state: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:  # type: ignore[no-untyped-def]
    """Applies `body` a number of times in a loop of the compiled program; a Python loop would be unrolled."""
    return tf.while_loop(lambda *_: True, body, state, maximum_iterations=times)


def _iterated(
    state: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
    data_term: tuple[tf.Tensor, tf.Tensor],
    share: tf.Tensor,
    choice: TVL1Parameters,
) -> tuple[tf.Tensor, ...]:
    """Runs the iteration: a thresholding step, divergence, and the dual step; see iterate.py."""
    rest, gradient = data_term
    square = tf.maximum(tf.reduce_sum(gradient**2, axis=0), 1e-12)
    limit = (choice.attachment * choice.tightness * share)[:, None, None]
    slope = choice.step / choice.tightness
    keep = 1 / (1 + slope * choice.huber_slope)

    def step(flow: tf.Tensor, p_x: tf.Tensor, p_y: tf.Tensor) -> tuple[tf.Tensor, ...]:
        rho = rest + tf.reduce_sum(gradient * flow, axis=0)
        divergence = p_x - _shifted(p_x, 0, 1) + p_y - _shifted(p_y, 1, 0)
        flow = flow - tf.clip_by_value(rho / square, -limit, limit) * gradient + choice.tightness * divergence
        p_x, p_y = keep * (p_x + slope * _ahead(flow, axis=3)), keep * (p_y + slope * _ahead(flow, axis=2))
        shrink = tf.math.rsqrt(tf.maximum(p_x * p_x + p_y * p_y, 1.0))
        return flow, p_x * shrink, p_y * shrink

    return _repeated(step, choice.iterations, state)


def _shifted(field: tf.Tensor, down: int, right: int) -> tf.Tensor:
    """Returns a field shifted down and to the right, filled with zeros."""
    padded = tf.pad(field, ((0, 0), (0, 0), (down, 0), (right, 0)))
    return padded[:, :, : field.shape[2], : field.shape[3]]


def _ahead(field: tf.Tensor, axis: int) -> tf.Tensor:
    """Returns forward differences, zero across the border."""
    size = field.shape[axis]
    before, after = [slice(None)] * 4, [slice(None)] * 4
    before[axis], after[axis] = slice(0, size - 1), slice(1, size)
    padding = [(0, 1) if each == axis else (0, 0) for each in range(4)]
    return tf.pad(field[tuple(after)] - field[tuple(before)], padding)


def _without_last(field: tf.Tensor, axis: int) -> tf.Tensor:
    keep = np.ones([field.shape[axis] if each == axis else 1 for each in range(4)], np.float32)
    keep[(..., -1) if axis == 3 else (..., -1, slice(None))] = 0
    return field * keep


def _linearised(
    first: tf.Tensor, second: tf.Tensor, flow: tf.Tensor, brightness: tuple[tf.Tensor, tf.Tensor], cubic: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the data term around a flow: its value at zero flow, and its gradient [2, B, H, W]."""
    gain, offset = (value[:, None, None] for value in brightness)
    x, y, seen = _places(flow)
    warped = _looked_up(second, x, y, cubic)
    value = first[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    gradient = tf.stack([(gain * warped[..., part] + value[..., part]) / 2 * seen for part in (1, 2)])
    residual = (gain * warped[..., 0] + offset - value[..., 0]) * seen
    return residual - tf.reduce_sum(gradient * flow, axis=0), gradient


def _places(flow: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns where pixels are in the second image, clipped to it, and 1 where no clipping was needed, else 0."""
    _, _, height, width = flow.shape
    x = flow[0] + tf.range(width, dtype=tf.float32)
    y = flow[1] + tf.range(height, dtype=tf.float32)[:, None]
    x_inside, y_inside = tf.clip_by_value(x, 0.0, width - 1.0), tf.clip_by_value(y, 0.0, height - 1.0)
    return x_inside, y_inside, tf.cast((x == x_inside) & (y == y_inside), tf.float32)


def _looked_up(image: tf.Tensor, x: tf.Tensor, y: tf.Tensor, cubic: bool) -> tf.Tensor:
    """Returns brightness and derivatives [B, H, W, 3] at places between the pixels of an image that has a margin."""
    batch, height, width, channels = image.shape
    pixels = tf.reshape(image, (batch, height * width, channels))
    column, row = tf.floor(x), tf.floor(y)
    across, down = (_weights(place - whole, cubic) for place, whole in ((x, column), (y, row)))
    nearest = (tf.cast(row, tf.int32) + MARGIN) * width + tf.cast(column, tf.int32) + MARGIN
    total = tf.zeros((*x.shape, channels))
    for i, weight_y in down.items():
        for j, weight_x in across.items():
            tap = tf.gather(pixels, nearest + (i * width + j), batch_dims=1)
            total += (weight_y * weight_x)[..., None] * tap
    return total


def _weights(t: tf.Tensor, cubic: bool) -> dict[int, tf.Tensor]:
    """Returns the weight of each tap by its distance in pixels."""
    if not cubic:
        return {0: 1 - t, 1: t}
    a = CUBIC
    return {
        -1: ((a * t - 2 * a) * t + a) * t,
        0: ((a + 2) * t - (a + 3)) * t * t + 1,
        1: ((-(a + 2) * t + (2 * a + 3)) * t - a) * t,
        2: (-a * t + a) * t * t,
    }


def _corresponding_pixels(
    first: tf.Tensor, second: tf.Tensor, flow: tf.Tensor, every: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the brightness of pixels in both images, and 1 where the place in the second is inside it."""
    x, y, seen = (part[:, ::every, ::every] for part in _places(flow))
    value_0 = first[:, MARGIN:-MARGIN, MARGIN:-MARGIN, 0][:, ::every, ::every]
    return value_0, _looked_up(second[..., :1], x, y, cubic=False)[..., 0], seen


def _typical_difference(
    value_0: tf.Tensor, value_1: tf.Tensor, seen: tf.Tensor, brightness: tuple[tf.Tensor, tf.Tensor]
) -> tf.Tensor:
    """Returns the median difference [B]; see brightness.py."""
    gain, offset = (value[:, None, None] for value in brightness)
    differences = tf.where(seen > 0, tf.abs(gain * value_1 + offset - value_0), np.inf)
    in_order = tf.sort(tf.reshape(differences, (seen.shape[0], -1)), axis=1)
    count = tf.cast(tf.reduce_sum(seen, axis=(1, 2)), tf.int32)
    low, high = (
        tf.gather(in_order, tf.maximum(place, 0), axis=1, batch_dims=1) for place in ((count - 1) // 2, count // 2)
    )
    return tf.where(count > 0, (low + high) / 2, 0.0)


def _matched_brightness(value_0: tf.Tensor, value_1: tf.Tensor, seen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns gain and offset [B] of the second images; see match_brightness in brightness.py."""

    def total(values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(seen * values, axis=(1, 2), keepdims=True)

    gain, offset = tf.ones_like(total(value_0)), tf.zeros_like(total(value_0))
    for _ in range(3):
        weight = 1 / (1 + tf.abs(gain * value_1 + offset - value_0))
        weights = tf.maximum(total(weight), 1e-6)
        mean_0, mean_1 = total(weight * value_0) / weights, total(weight * value_1) / weights
        covariance = total(weight * (value_0 - mean_0) * (value_1 - mean_1)) / weights
        variance = total(weight * (value_1 - mean_1) ** 2) / weights
        gain = tf.clip_by_value((covariance + 100) / (variance + 100), 0.5, 2.0)
        offset = mean_0 - gain * mean_1
    matched = total(tf.abs(gain * value_1 + offset - value_0))
    worth = matched <= 0.9 * total(tf.abs(value_1 - value_0))
    chosen = tf.where(worth, gain, 1.0), tf.where(worth, offset, 0.0)
    return chosen[0][:, 0, 0], chosen[1][:, 0, 0]


def _median(fields: tf.Tensor, spread: int = 1) -> tf.Tensor:
    """Returns the median of each pixel and its eight neighbours; see `median_of_columns` in median.py."""
    wide = padded(padded(fields, spread, axis=2), spread, axis=3)
    height, width = fields.shape[2:]
    starts = (0, spread, 2 * spread)
    low, middle, high = _sorted(*(cut(wide, 2, start, start + height) for start in starts))
    columns = [[cut(part, 3, start, start + width) for start in starts] for part in (low, middle, high)]
    largest_low = tf.maximum(tf.maximum(*columns[0][:2]), columns[0][2])
    smallest_high = tf.minimum(tf.minimum(*columns[2][:2]), columns[2][2])
    return _sorted(largest_low, _sorted(*columns[1])[1], smallest_high)[1]


def _sorted(a: tf.Tensor, b: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    low, high = tf.minimum(a, b), tf.maximum(a, b)
    return tf.minimum(low, c), tf.maximum(low, tf.minimum(high, c)), tf.maximum(high, c)
