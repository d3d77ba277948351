"""Made-up pairs of frames whose flow is known, for the tests of flow."""

import cv2
import numpy as np

from data.flow import flow_between


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Soft blobs with contrast everywhere, so that motion can be seen everywhere."""
    noise = np.random.default_rng(seed).standard_normal((height, width))
    soft = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.clip(128 + 40 * soft / soft.std(), 0, 255).astype(np.uint8)


def shifted_pair(x: int, y: int, height: int = 80, width: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Two views of one texture: what is at a place in the first is (x, y) further in the second."""
    margin = 12
    image = texture(height + 2 * margin, width + 2 * margin)
    first = image[margin : margin + height, margin : margin + width]
    second = image[margin - y : margin - y + height, margin - x : margin - x + width]
    return first, second


def some_flow() -> np.ndarray:
    """A flow that all kernels have a part in."""
    first, second = shifted_pair(3, -2)
    return flow_between(first, (second * 0.9).astype(np.uint8), preset="fast")


def moving_scene(
    right: float, down: float, count: int = 12, size: tuple[int, int] = (96, 128), seed: int = 3
) -> list[np.ndarray]:
    """RGB frames of one texture that moves alike everywhere, also by fractions of a pixel."""
    height, width = size
    margin = int(count * max(abs(right), abs(down))) + 8
    image = texture(height + 2 * margin, width + 2 * margin, seed).astype(np.float32)
    frames = []
    for number in range(count):
        x, y = margin - number * right, margin - number * down
        moved = cv2.warpAffine(
            image,
            np.array([[1, 0, x], [0, 1, y]], np.float32),
            (width, height),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        )
        frames.append(cv2.cvtColor(np.clip(moved, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB))
    return frames
