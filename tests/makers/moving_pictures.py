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
