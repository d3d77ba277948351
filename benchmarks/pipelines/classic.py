"""The loaders of older code in this field: one sample at a time by Pillow or OpenCV, without TensorFlow."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from data.catalog import DataSet, Video

# The same recipe as ours: sides of a crop as shares of the short side, and corners and centre.
SCALES = (1.0, 0.875, 0.75, 0.66)
PLACES = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5))


def classic_flow(dataset: DataSet, videos: Sequence[Video], length: int, size: int) -> Iterator[np.ndarray]:
    """Opens every file with Pillow, resizes it, makes it a float tensor and stacks: the widely copied loader."""
    for paths in _stacks(dataset, videos, length):
        planes = [np.asarray(Image.open(path).resize((size, size)), np.float32) / 255 for path in paths]
        yield np.stack(planes)


def opencv_flow(dataset: DataSet, videos: Sequence[Video], length: int, size: int) -> Iterator[np.ndarray]:
    """Reads every file with OpenCV, cuts, resizes and mirrors it, and scales the stack."""
    generator = np.random.default_rng(0)
    for paths in _stacks(dataset, videos, length):
        top, left, height, width = _box(generator)
        planes = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) for path in paths]
        resized = [cv2.resize(plane[top : top + height, left : left + width], (size, size)) for plane in planes]
        if generator.random() < 0.5:
            resized = [plane[:, ::-1] if odd % 2 else 255 - plane[:, ::-1] for odd, plane in enumerate(resized)]
        yield (np.stack(resized).astype(np.float32) - 128) / 128


def classic_rgb(dataset: DataSet, videos: Sequence[Video], size: int) -> Iterator[np.ndarray]:
    """Opens a frame with Pillow, cuts and resizes it, and makes it a float tensor."""
    generator = np.random.default_rng(0)
    for path in _frames(dataset, videos):
        top, left, height, width = _box(generator)
        image = Image.open(path).convert("RGB").crop((left, top, left + width, top + height)).resize((size, size))
        yield np.asarray(image, np.float32).transpose(2, 0, 1) / 255


def opencv_rgb(dataset: DataSet, videos: Sequence[Video], size: int) -> Iterator[np.ndarray]:
    """Reads a frame with OpenCV, makes it RGB, cuts, resizes, mirrors and scales it."""
    generator = np.random.default_rng(0)
    for path in _frames(dataset, videos):
        top, left, height, width = _box(generator)
        frame = cv2.cvtColor(np.asarray(cv2.imread(str(path))), cv2.COLOR_BGR2RGB)
        frame = cv2.resize(frame[top : top + height, left : left + width], (size, size))
        frame = frame[:, ::-1] if generator.random() < 0.5 else frame
        yield ((frame.astype(np.float32) - 110) / 58).transpose(2, 0, 1).copy()


def _stacks(dataset: DataSet, videos: Sequence[Video], length: int) -> Iterator[list[Path]]:
    generator = np.random.default_rng(0)
    while True:
        video = videos[int(generator.integers(len(videos)))]
        start = int(generator.integers(video.num_flows - length + 1))
        fields = (dataset.layout.flow_paths(dataset.root, video, start + index) for index in range(length))
        yield [path for pair in fields for path in pair]


def _frames(dataset: DataSet, videos: Sequence[Video]) -> Iterator[Path]:
    generator = np.random.default_rng(0)
    while True:
        video = videos[int(generator.integers(len(videos)))]
        yield dataset.layout.frame_path(dataset.root, video, int(generator.integers(video.num_frames)))


def _box(generator: np.random.Generator) -> tuple[int, int, int, int]:
    height, width = (int(256 * SCALES[index]) for index in generator.integers(len(SCALES), size=2))
    down, right = PLACES[generator.integers(5)]
    return int((256 - height) * down), int((340 - width) * right), height, width
