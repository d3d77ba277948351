import cv2
import numpy as np
import pytest

from tests.makers.frames import HEIGHT, WIDTH, made_dataset


@pytest.fixture(scope="module")
def smooth(tmp_path_factory):
    """Frames and flow without hard edges, as real ones have few."""
    generator = np.random.default_rng(0)

    def draw(index):
        small = generator.integers(60, 196, (HEIGHT // 8, WIDTH // 8), np.uint8)
        return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)

    return made_dataset(tmp_path_factory.mktemp("smooth"), {"a": 6, "b": 7}, frame=draw, x=draw, y=draw)
