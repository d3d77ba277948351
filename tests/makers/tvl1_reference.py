"""TV-L1 once more in plain NumPy: slow, short, and what the tests hold the fast solvers against.

Every function here has its counterpart in the tvl1_* files that compile; this file shares no code with them.
Flow is [2, H, W] inside, in pixels; p is [2, 2, H, W]: p[0] belongs to u, p[:, 0] to the x direction.
"""

from __future__ import annotations

import numpy as np

from data.optical_flow.tvl1.parameters import TVL1Parameters


def tvl1_reference(first: np.ndarray, second: np.ndarray, parameters: TVL1Parameters) -> np.ndarray:
    """Returns the flow between two grey float images, as the fast solvers do: [H, W, 2] in pixels."""
    pairs = [(smoothed(first), smoothed(second)) if parameters.smooth else (first, second)]
    while len(pairs) < parameters.levels and min(pairs[-1][0].shape) >= 31:
        pairs.append((halved(pairs[-1][0]), halved(pairs[-1][1])))
    flow, p = np.zeros((2, *pairs[-1][0].shape)), np.zeros((2, 2, *pairs[-1][0].shape))
    brightness = 1.0, 0.0
    for level in range(len(pairs) - 1, -1, -1):
        one, two = pairs[level]
        if level < len(pairs) - 1:
            flow, p = 2 * doubled(flow, one.shape), doubled(p, one.shape)
            p[:, 0, :, -1] = p[:, 1, -1, :] = 0
        if parameters.match_brightness and level > 0:
            brightness = matched_brightness(*corresponding_pixels(one, two, flow, every=2))
        compared = corresponding_pixels(one, two, flow, every=4)
        noise = typical_difference(*compared, brightness) if level < len(pairs) - 1 else 0.0
        attachment = parameters.attachment * min(1, parameters.tolerance / max(noise, 1e-6))
        for _ in range(parameters.warps):
            flow = np.stack([median(component) for component in flow])
            residual, gradient = linearised(one, two, flow, brightness, cubic=level == 0)
            flow, p = iterated(flow, p, (residual, gradient), attachment, parameters)
    for spread in (1, 3, 2):
        flow = np.stack([median(component, spread) for component in flow])
    return np.moveaxis(flow, 0, -1).astype(np.float32)


def iterated(
    flow: np.ndarray,
    p: np.ndarray,
    data_term: tuple[np.ndarray, np.ndarray],
    attachment: float,
    parameters: TVL1Parameters,
) -> tuple[np.ndarray, np.ndarray]:
    """Runs the iteration of the paper, Sec. 3, but for its dual step, which projects, and Huber's norm."""
    residual, gradient = data_term
    start, square = flow, np.maximum((gradient**2).sum(axis=0), 1e-12)
    limit = attachment * parameters.tightness
    slope = parameters.step / parameters.tightness
    for _ in range(parameters.iterations):
        rho = residual + (gradient * (flow - start)).sum(axis=0)
        flow = flow - np.clip(rho / square, -limit, limit) * gradient
        flow = flow + parameters.tightness * np.stack([divergence(component) for component in p])
        for component, dual in zip(flow, p, strict=True):
            ahead = forward_differences(component)
            dual += slope * ahead
            dual /= 1 + slope * parameters.huber_slope
            dual /= np.maximum(1, np.hypot(*dual))
    return flow, p


def forward_differences(image: np.ndarray) -> np.ndarray:
    """Returns derivatives in x and y, zero across the border."""
    return np.stack([np.diff(image, axis=1, append=image[:, -1:]), np.diff(image, axis=0, append=image[-1:])])


def divergence(field: np.ndarray) -> np.ndarray:
    """Returns backward differences of a field that is zero outside."""
    return np.diff(field[0], axis=1, prepend=0) + np.diff(field[1], axis=0, prepend=0)


def linearised(
    first: np.ndarray, second: np.ndarray, flow: np.ndarray, brightness: tuple[float, float], cubic: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Returns residual and gradient around a flow; a pixel that leaves the image has neither."""
    gain, offset = brightness
    places = np.indices(first.shape)[::-1] + flow
    last = np.array(first.shape[::-1])[:, None, None] - 1
    seen = ((places >= 0) & (places <= last)).all(axis=0)
    x, y = np.clip(places, 0, last)
    warped, *slopes = (looked_up(image, x, y, cubic) for image in (padded(second), *derivatives(second)))
    before = np.stack([image[2:-2, 2:-2] for image in derivatives(first)])
    return (gain * warped + offset - first) * seen, (gain * np.stack(slopes) + before) / 2 * seen


def derivatives(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns five-tap derivatives in x and y of an image and of two pixels around it."""
    wide = padded(image, 4)
    across, down = wide[2:-2], wide[:, 2:-2].T
    x, y = ((8 * (a[:, 3:-1] - a[:, 1:-3]) - (a[:, 4:] - a[:, :-4])) / 12 for a in (across, down))
    return x, y.T


def looked_up(image: np.ndarray, x: np.ndarray, y: np.ndarray, cubic: bool) -> np.ndarray:
    """Returns an image, given with two pixels around it, between its pixels."""
    column, row = x.astype(int), y.astype(int)
    taps = (-1, 0, 1, 2) if cubic else (0, 1)
    weigh = cubic_weight if cubic else linear_weight
    return sum(
        weigh(y - row - i) * weigh(x - column - j) * image[row + i + 2, column + j + 2] for i in taps for j in taps
    )


def linear_weight(distance: np.ndarray) -> np.ndarray:
    """Returns the weight of a tap by its distance."""
    return 1 - np.abs(distance)


def cubic_weight(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    """Returns the weight of a tap by its distance (Keys, 1981)."""
    t = np.abs(distance)
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    return np.where(t <= 1, near, a * (t**3 - 5 * t**2 + 8 * t - 4))


def corresponding_pixels(
    first: np.ndarray, second: np.ndarray, flow: np.ndarray, every: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the brightness of some pixels, and of where they are in the second image."""
    places = (np.indices(first.shape)[::-1] + flow)[:, ::every, ::every]
    last = np.array(first.shape[::-1])[:, None, None] - 1
    seen = ((places >= 0) & (places <= last)).all(axis=0)
    x, y = places[:, seen]
    return first[::every, ::every][seen], looked_up(padded(second), x, y, cubic=False)


def typical_difference(value_0: np.ndarray, value_1: np.ndarray, brightness: tuple[float, float]) -> float:
    """Returns the median difference of pixels that correspond."""
    gain, offset = brightness
    return float(np.median(np.abs(gain * value_1 + offset - value_0))) if value_0.size else 0.0


def matched_brightness(value_0: np.ndarray, value_1: np.ndarray) -> tuple[float, float]:
    """Returns gain and offset of the second image, one and zero where they don't explain much."""
    if not value_0.size:
        return 1.0, 0.0
    gain, offset = 1.0, 0.0
    for _ in range(3):
        weight = 1 / (1 + np.abs(gain * value_1 + offset - value_0))
        mean_0, mean_1 = np.average(value_0, weights=weight), np.average(value_1, weights=weight)
        covariance = np.average((value_0 - mean_0) * (value_1 - mean_1), weights=weight)
        variance = np.average((value_1 - mean_1) ** 2, weights=weight)
        gain = float(np.clip((covariance + 100) / (variance + 100), 0.5, 2))
        offset = mean_0 - gain * mean_1
    if np.abs(gain * value_1 + offset - value_0).sum() > 0.9 * np.abs(value_1 - value_0).sum():
        return 1.0, 0.0
    return gain, offset


def smoothed(image: np.ndarray) -> np.ndarray:
    """Returns an image after [1, 8, 1] / 10 in both directions."""
    wide = padded(image, 1)
    rows = (wide[:-2] + 8 * wide[1:-1] + wide[2:]) / 10
    return (rows[:, :-2] + 8 * rows[:, 1:-1] + rows[:, 2:]) / 10


def halved(image: np.ndarray) -> np.ndarray:
    """Returns an image of half the size after [1, 3, 3, 1] / 8 in both directions."""
    for _ in range(2):
        rows = np.pad(image, [(1, 1 + len(image) % 2), (0, 0)], mode="edge")
        image = ((rows[0:-3:2] + rows[3::2] + 3 * (rows[1:-2:2] + rows[2:-1:2])) / 8).T
    return image


def doubled(fields: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns fields, the last two axes an image, at twice the size by linear interpolation."""
    for axis, size in zip((-2, -1), shape, strict=True):
        place = np.clip((np.arange(size) + 0.5) / 2 - 0.5, 0, fields.shape[axis] - 1)
        low = place.astype(int)
        high = np.minimum(low + 1, fields.shape[axis] - 1)
        part = (place - low)[:, None] if axis == -2 else place - low
        fields = (1 - part) * fields.take(low, axis) + part * fields.take(high, axis)
    return fields


def median(image: np.ndarray, spread: int = 1) -> np.ndarray:
    """Returns the median of each pixel and the eight around it that lie `spread` apart, edges repeated."""
    size = 2 * spread + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded(image, spread), (size, size))
    return np.median(windows[..., ::spread, ::spread], axis=(-2, -1))


def padded(image: np.ndarray, by: int = 2) -> np.ndarray:
    """Returns an image inside a border that repeats its edge."""
    return np.pad(image, by, mode="edge")
