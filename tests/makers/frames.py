"""Makes prepared data sets for the tests of pipelines: frames and flow that say which they are."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from data.catalog import OURS, DataSet, Layout, Split, Video

HEIGHT, WIDTH = 40, 48
# Makes the frame, or the level of the x or y part of the field, of an index counted from 0.
Draw = Callable[[int], np.ndarray]


def flat(level: int) -> np.ndarray:
    """A grey image of one level, which JPEG keeps exactly."""
    return np.full((HEIGHT, WIDTH), level, np.uint8)


def frame_level(index: int) -> int:
    return 20 + 8 * index


def x_level(index: int) -> int:
    return 130 + 4 * index


def y_level(index: int) -> int:
    return 132 + 4 * index


def made_dataset(
    root: Path,
    counts: dict[str, int],
    *,
    frame: Draw = lambda index: flat(frame_level(index)),
    x: Draw = lambda index: flat(x_level(index)),
    y: Draw = lambda index: flat(y_level(index)),
    layout: Layout = OURS,
    labels: Callable[[int], tuple[int, ...]] = lambda number: (number % 3,),
    multi_label: bool = False,
) -> DataSet:
    """A prepared data set of videos of so many frames each."""
    videos = {}
    for number, (name, count) in enumerate(counts.items()):
        folder = f"class{number % 3}"
        video = Video(name, folder, ".avi", labels(number), name, num_frames=count, num_flows=count - 1)
        videos[name] = video
        for index in range(count):
            write(layout.frame_path(root, video, index), frame(index))
        for index in range(count - 1):
            for path, draw in zip(layout.flow_paths(root, video, index), (x, y), strict=True):
                write(path, draw(index))
    classes = ("A", "B", "C")
    return DataSet("made", root, classes, videos, {1: Split(tuple(videos), ())}, multi_label, layout)


def numbered_dataset(root: Path) -> DataSet:
    """Nine videos of 12 frames, of which the n-th frame and the n-th field are levels that say n."""
    return made_dataset(root, {f"v{number}": 12 for number in range(9)})


def textured_dataset(root: Path) -> DataSet:
    """Frames and flow of noise, so that every place looks different."""
    generator = np.random.default_rng(0)

    def noise(index: int) -> np.ndarray:
        small = generator.integers(40, 216, (HEIGHT // 4, WIDTH // 4), np.uint8)
        return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)

    return made_dataset(root, {"a": 6, "b": 6, "c": 6}, frame=noise, x=noise, y=noise)


def write(path: Path, image: np.ndarray) -> None:
    """Writes an image as prepare.py does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
