"""Makes frames and flow of 340x256 that compress like real ones: about 24 KB per frame and 4 KB per flow image."""

from pathlib import Path

import cv2
import numpy as np

from commands.files import write_json
from data.catalog import OURS, DataSet, Split, Video
from data.optical_flow.levels import quantise
from data.store.index import Row, description_path, index_path, write_index

WIDTH, HEIGHT, FRAMES = 340, 256, 24
MARGIN = 96


def make_dataset(root: Path, num_videos: int) -> DataSet:
    """Writes a prepared data set of made-up videos."""
    videos = {}
    for number in range(num_videos):
        video = Video(f"v{number:04d}", f"class{number % 4}", ".avi", (number % 4,), f"v{number}", FRAMES, FRAMES - 1)
        videos[video.name] = video
        _write_video(root, video, np.random.default_rng(number))
    rows = (Row(video.name, video.folder, FRAMES, FRAMES - 1, WIDTH, HEIGHT) for video in videos.values())
    write_index(index_path(root), rows)
    write_json(description_path(root), {"method": "made", "bound": 20.0, "rule": OURS.rule, "short_side": HEIGHT})
    classes = tuple(f"class{number}" for number in range(4))
    return DataSet("made", root, classes, videos, {1: Split(tuple(videos), ())})


def _write_video(root: Path, video: Video, generator: np.random.Generator) -> None:
    # Photographs have spectra that fall about as 1/f^1.5; a camera pans over one, some colour on top of its grey.
    scene = 120 + 50 * texture(generator, 1.5, 1) + 10 * texture(generator, 1.6, 3)
    # Flow is smooth but for the outlines of what moves.
    field = 1.5 * texture(generator, 3.2, 2)
    field = field + (texture(generator, 3.2, 1) > 0.8) * generator.uniform(-4, 4, 2)
    OURS.frame_path(root, video, 0).parent.mkdir(parents=True)
    for index in range(FRAMES):
        place = slice(3 * index, 3 * index + HEIGHT), slice(3 * index, 3 * index + WIDTH)
        grain = 0.8 * generator.standard_normal((HEIGHT, WIDTH, 3))
        frame = np.clip(scene[place] + grain, 0, 255).astype(np.uint8)
        cv2.imwrite(str(OURS.frame_path(root, video, index)), frame, [cv2.IMWRITE_JPEG_QUALITY, 90])
        if index < FRAMES - 1:
            levels = quantise(field[place])
            for axis, path in enumerate(OURS.flow_paths(root, video, index)):
                cv2.imwrite(str(path), np.ascontiguousarray(levels[..., axis]), [cv2.IMWRITE_JPEG_QUALITY, 95])


def texture(generator: np.random.Generator, power: float, channels: int) -> np.ndarray:
    """Returns noise of mean 0 and deviation 1 whose spectrum falls as 1/f^power: [H, W, channels] with a margin."""
    height, width = HEIGHT + MARGIN, WIDTH + MARGIN
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    planes = []
    for _ in range(channels):
        spectrum = np.fft.rfft2(generator.standard_normal((height, width))) / frequency**power
        plane = np.fft.irfft2(spectrum, (height, width))
        planes.append(plane / plane.std())
    return np.stack(planes, axis=-1)
