"""The built-in data set: synthetic videos that need both streams.

Every class combines an appearance and a motion. The appearance is the texture of a disc: one frame shows it, flow does
not. The motion is the path of the disc: flow shows it, one frame does not. So a perfect spatial network is right in one
video of three, a perfect temporal network too, and both together are right in every video.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from commands.files import write_text
from data.catalog import DataSet, Split, Video
from data.extraction.decoder import write_video

APPEARANCES = ("Checks", "Rings", "Stripes")
MOTIONS = ("Slide", "Lift", "Circle")
CLASSES = tuple(f"{appearance}{motion}" for appearance in APPEARANCES for motion in MOTIONS)

GROUPS, CLIPS = 25, 3
FRAMES, WIDTH, HEIGHT, FRAME_RATE = 16, 80, 72, 12.0
TEST_GROUPS = {1: range(1, 8), 2: range(8, 15), 3: range(15, 22)}  # As in UCF-101.


@dataclass(frozen=True)
class Scene:
    """The class of one video, and the source of everything random in it."""

    appearance: str
    motion: str
    generator: np.random.Generator


def open_dataset(root: Path) -> DataSet:
    """Returns the data set; its lists follow from the names of the videos, so no list file is needed."""
    videos = {video.name: video for video in _videos()}
    splits = {number: _split(videos, test_groups) for number, test_groups in TEST_GROUPS.items()}
    return DataSet("shapes", root, CLASSES, videos, splits, short_side=None, make_videos=make_videos)


def make_videos(root: Path, workers: int = 2, seed: int = 0) -> None:
    """Draws all videos into `root`/videos, complete or not at all; does nothing if the folder exists."""
    folder = root / "videos"
    if folder.exists():
        return
    unfinished = root / ".incomplete.videos"
    shutil.rmtree(unfinished, ignore_errors=True)
    for name in CLASSES:
        (unfinished / name).mkdir(parents=True)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        list(pool.map(partial(_write, unfinished, seed), _videos(), chunksize=25))
    write_text(unfinished / "README.txt", f"Made by data/sets/shapes.py with seed {seed}.\n")
    unfinished.rename(folder)


def draw(video: Video, seed: int = 0) -> Iterator[np.ndarray]:
    """Yields the frames of one video, which depend only on the video and the seed."""
    appearance, motion = divmod(video.label, len(MOTIONS))
    # The seed leaves out the class on purpose. Clip c of group g is one scene, drawn once for each of the nine classes
    # with the same start, speed and background, so that a network can't tell a class by any of these.
    key = [seed, *(int(part[1:]) for part in video.name.split("_")[2:])]
    scene = Scene(APPEARANCES[appearance], MOTIONS[motion], np.random.default_rng(key))
    yield from _render(scene)


def _videos() -> Iterator[Video]:
    for label, name in enumerate(CLASSES):
        for group in range(1, GROUPS + 1):
            for clip in range(1, CLIPS + 1):
                yield Video(f"v_{name}_g{group:02d}_c{clip:02d}", name, ".avi", (label,), group=f"g{group:02d}")


def _split(videos: dict[str, Video], test_groups: range) -> Split:
    def is_test(name: str) -> bool:
        return int(name.split("_g")[1][:2]) in test_groups

    return Split(
        train=tuple(name for name in videos if not is_test(name)), test=tuple(name for name in videos if is_test(name))
    )


def _write(folder: Path, seed: int, video: Video) -> None:
    path = folder / video.relative_path
    write_video(path, draw(video, seed), FRAME_RATE)


def _render(scene: Scene) -> Iterator[np.ndarray]:
    random = scene.generator
    radius = random.uniform(18, 22)
    disc = _disc(scene.appearance, random)
    background = random.uniform(60, 190, 3) + _texture(random, HEIGHT + 16, WIDTH + 16, scales=(3, 8, 24), strength=12)
    start = np.array([random.uniform(0, WIDTH), random.uniform(0, HEIGHT)])
    path = start + disc_path(scene.motion, random)
    for position in path:
        shake = random.uniform(-0.8, 0.8, 2) + 8
        frame = _shifted(background, -shake, WIDTH, HEIGHT)
        # The disc leaves on one side and comes back on the opposite one, so its position in a frame says nothing about
        # its direction.
        for wrap_x in (-WIDTH, 0, WIDTH):
            for wrap_y in (-HEIGHT, 0, HEIGHT):
                centre = np.mod(position, (WIDTH, HEIGHT)) + np.array([wrap_x, wrap_y])
                _paste(frame, disc, centre, radius)
        noise = random.normal(0, 4, frame.shape)
        yield np.clip(frame + noise, 0, 255).astype(np.uint8)


def disc_path(motion: str, random: np.random.Generator) -> np.ndarray:
    """Returns displacements from the start; all motions have the same range of speeds, forwards and backwards."""
    speed, turns = random.uniform(2.0, 3.5) * random.choice([-1, 1]), 1 / random.uniform(11, 14)
    beginning = random.uniform(0, 2 * np.pi)
    time = np.arange(FRAMES)
    if motion == "Slide":
        return np.stack([speed * time, 0 * time], axis=1)
    if motion == "Lift":
        return np.stack([0 * time, speed * time], axis=1)
    # Within the ten flow fields of a stack the disc completes nearly a full circle, so it has no mean direction.
    angle = 2 * np.pi * turns * time + beginning
    circle = np.stack([np.cos(angle), np.sign(speed) * np.sin(angle)], axis=1)
    return abs(speed) / (2 * np.pi * turns) * (circle - circle[0])


def _disc(appearance: str, random: np.random.Generator) -> np.ndarray:
    """Returns a square of texture, big enough for any disc: a two-coloured pattern on grey grain.

    The pattern has no contrast in grey. Flow is computed on grey pictures, in which all appearances of a scene are
    identical, so no flow method can tell them apart.
    """
    size = 48
    y, x = np.mgrid[0:size, 0:size] - size / 2
    angle = np.pi / 4 + random.uniform(-0.4, 0.4)
    x, y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    period, phase_x, phase_y = random.uniform(11, 14), *random.uniform(0, 2 * np.pi, 2)
    across, along = 2 * np.pi * x / period + phase_x, 2 * np.pi * y / period + phase_y
    # Each colour covers about half of the disc, so the mean colour is the same for all patterns.
    pattern = {
        "Checks": 2 * np.sin(across) * np.sin(along),
        "Rings": 1.5 * np.sin(2 * np.pi * np.hypot(x, y) / period + phase_x),
        "Stripes": 1.5 * np.sin(across),
    }[appearance]
    contrast = np.tanh(3 * pattern)[..., None] * _colour_without_grey(random)
    return random.uniform(118, 138) + _texture(random, size, size, scales=(2, 5), strength=12) + contrast


def _colour_without_grey(random: np.random.Generator) -> np.ndarray:
    """Returns a colour difference that disappears in grey (ITU-R BT.601)."""
    red_green, blue_yellow = np.array([0.587, -0.299, 0.0]), np.array([-0.067, -0.131, 0.85])
    hue = random.uniform(-0.5, 0.5)
    return random.choice([-1, 1]) * 120 * (np.cos(hue) * red_green + np.sin(hue) * blue_yellow)


def _texture(
    random: np.random.Generator, height: int, width: int, scales: tuple[int, ...], strength: float
) -> np.ndarray:
    """Returns a texture with mean zero and detail at several scales, mostly grey with a little colour."""
    texture = np.zeros((height, width, 3))
    for scale in scales:
        rows, columns = height // scale + 2, width // scale + 2
        coarse = random.normal(0, strength, (rows, columns, 1)) + random.normal(0, strength / 3, (rows, columns, 3))
        texture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return texture


def _shifted(texture: np.ndarray, offset: np.ndarray, width: int, height: int) -> np.ndarray:
    matrix = np.array([[1, 0, offset[0]], [0, 1, offset[1]]], np.float64)
    return cv2.warpAffine(texture, matrix, (width, height), flags=cv2.INTER_CUBIC)


def _paste(frame: np.ndarray, disc: np.ndarray, centre: np.ndarray, radius: float) -> None:
    """Draws the disc at a centre that may lie between pixels, with a soft edge."""
    height, width = frame.shape[:2]
    if not (-radius < centre[0] < width + radius and -radius < centre[1] < height + radius):
        return
    y, x = np.mgrid[0:height, 0:width]
    inside = np.clip(radius - np.hypot(x - centre[0], y - centre[1]) + 0.5, 0, 1)[..., None]
    moved = _shifted(disc, centre - np.array(disc.shape[1::-1]) / 2, width, height)
    frame += inside * (moved - frame)
