"""Pairs of frames with known flow: synthetic warps of textures, and Middlebury's pairs if they exist.

A synthetic pair is a background and a few patches, each with its own texture and affine motion, which gives motion
edges and occlusions as in films. Or it is one texture under a smooth motion without edges, as of water, cloth and
faces. Each kind of pair is difficult in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from data.store.flow_files import read_flow


class FlowPair(NamedTuple):
    """Two grey frames and the flow between them, NaN where it is unknown."""

    group: str
    name: str
    first: np.ndarray
    second: np.ndarray
    truth: np.ndarray


class Kind(NamedTuple):
    """The difficulties of a kind of synthetic pair."""

    patches: int
    pixels: float
    bend: float = 0.0
    """How many pixels apart a smooth motion changes; zero is layers of affine motion."""
    noise: float = 1.0
    gain: float = 0.0
    offset: float = 0.0
    jpeg_quality: int = 0


KINDS = {
    "small motion": Kind(patches=3, pixels=1.5),
    "medium motion": Kind(patches=3, pixels=5.0),
    "large motion": Kind(patches=3, pixels=12.0),
    "occlusion": Kind(patches=8, pixels=6.0),
    "noise": Kind(patches=3, pixels=4.0, noise=8.0, jpeg_quality=75),
    "brightness": Kind(patches=3, pixels=4.0, gain=0.06, offset=6.0),
    "smooth small": Kind(patches=0, pixels=2.0, bend=20.0),
    "smooth noise": Kind(patches=0, pixels=3.5, bend=20.0, noise=3.0),
    "smooth large": Kind(patches=0, pixels=20.0, bend=40.0),
}


def made_up_pair(
    kind: str, seed: int, textures: Sequence[np.ndarray] = (), size: tuple[int, int] = (256, 340)
) -> FlowPair:
    """Returns a pair of one kind; the same seed and textures give the same pair. No textures: procedural ones."""
    hard = KINDS[kind]
    random = np.random.default_rng([seed, *kind.encode()])
    first, second, truth = (_smooth_scene if hard.bend else _scene)(random, hard, textures, size)
    second = second * (1 + random.uniform(-hard.gain, hard.gain)) + random.uniform(-hard.offset, hard.offset)
    return FlowPair(kind, f"{kind} {seed}", _camera(random, hard, first), _camera(random, hard, second), truth)


class FlowVideo(NamedTuple):
    """Grey frames in which everything moves on as it does from the first to the second, and the flow between them."""

    group: str
    frames: list[np.ndarray]
    truth: list[np.ndarray]


def made_up_video(
    kind: str, seed: int, count: int, textures: Sequence[np.ndarray] = (), size: tuple[int, int] = (256, 340)
) -> FlowVideo:
    """Returns a scene of layers, whose first two frames are the pair of the same kind and seed but for noise."""
    hard = KINDS[kind]
    random = np.random.default_rng([seed, *kind.encode()])
    scene = _Layers(random, hard, textures, size)
    frames, truth = zip(*(scene.at(number) for number in range(count)), strict=True)
    return FlowVideo(kind, [_camera(random, hard, frame) for frame in frames], list(truth[:-1]))


def middlebury_pairs(folder: Path, size: tuple[int, int] = (256, 340)) -> list[FlowPair]:
    """Returns the middle of each pair below `folder`: frame10.png, frame11.png, flow10.flo."""
    pairs = []
    for scene in sorted(path.parent for path in folder.glob("*/flow10.flo")):
        frames = [read_grey(scene / name) for name in ("frame10.png", "frame11.png")]
        first, second, truth = (_middle(image, size) for image in (*frames, read_flow(scene / "flow10.flo")))
        pairs.append(FlowPair("Middlebury", scene.name, first, second, truth))
    return pairs


def read_grey(path: Path) -> np.ndarray:
    """Returns an image file's grey levels."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise FileNotFoundError(f"There is no image {path}, or it is damaged.")
    return image


def end_point_error(flow: np.ndarray, truth: np.ndarray) -> float:
    """Returns the mean end-point error in pixels, over the pixels with known flow."""
    return float(np.nanmean(np.linalg.norm(flow - truth, axis=-1)))


def procedural_texture(random: np.random.Generator, side: int = 512) -> np.ndarray:
    """Returns "dead leaves" with soft shading: opaque discs of all sizes have statistics like natural images."""
    image = np.zeros((side, side), np.float32)
    for radius in np.sort(np.minimum(4 / random.random(900), side / 4))[::-1]:
        centre = random.integers(0, side, 2)
        cv2.circle(image, centre.tolist(), int(radius), float(random.uniform(20, 235)), -1, cv2.LINE_AA)
    grain = random.standard_normal((side, side)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 0.7) + 12 * cv2.GaussianBlur(grain, (0, 0), 1.5), 0, 255)


def _scene(
    random: np.random.Generator, hard: Kind, textures: Sequence[np.ndarray], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scene = _Layers(random, hard, textures, size)
    (first, truth), (second, _) = scene.at(0), scene.at(1)
    return first, second, truth


class _Layers:
    """A background and patches before it, each with its own texture, shape and affine motion."""

    def __init__(
        self, random: np.random.Generator, hard: Kind, textures: Sequence[np.ndarray], size: tuple[int, int]
    ) -> None:
        self._here, self._layers = _places(size), []
        for layer in range(hard.patches + 1):
            texture = _texture(random, textures)
            motion = _affine(random, size, hard.pixels if layer else hard.pixels / 2)
            cover = _blob(random, size) if layer else _everywhere
            self._layers.append((motion, cover, _painter(random, texture, size)))

    def at(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns a frame, and the flow from it to the next."""
        frame: np.ndarray = np.zeros(self._here.shape[:2], np.float32)
        truth: np.ndarray = np.zeros(self._here.shape, np.float32)
        for motion, cover, paint in self._layers:
            came_from = _apply(np.linalg.inv(np.linalg.matrix_power(motion, number)), self._here)
            frame = frame + cover(came_from) * (paint(came_from) - frame)
            truth = np.where(cover(came_from)[..., None] > 0.5, _apply(motion, self._here) - self._here, truth)
        return frame, truth.astype(np.float32)


def _smooth_scene(
    random: np.random.Generator, hard: Kind, textures: Sequence[np.ndarray], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns a texture, seen from other places in the first frame than in the second: those are the truth."""
    here = _places(size)
    bend = hard.bend * random.uniform(0.6, 1.6)
    motion = np.stack([cv2.GaussianBlur(random.standard_normal(size), (0, 0), bend) for _ in "xy"], axis=-1)
    motion *= hard.pixels * random.uniform(0.4, 0.8) / np.linalg.norm(motion, axis=-1).max()
    motion += hard.pixels * random.uniform(-0.14, 0.14, 2)
    paint = _painter(random, _texture(random, textures), size)
    truth = motion.astype(np.float32)
    return paint(here + truth), paint(here), truth


def _texture(random: np.random.Generator, textures: Sequence[np.ndarray]) -> np.ndarray:
    return textures[int(random.integers(len(textures)))] if len(textures) else procedural_texture(random)


def _places(size: tuple[int, int]) -> np.ndarray:
    height, width = size
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([columns, rows], axis=-1)


def _apply(matrix: np.ndarray, places: np.ndarray) -> np.ndarray:
    return (places @ matrix[:2, :2].T + matrix[:2, 2]).astype(np.float32)


def _about(centre: np.ndarray, linear: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Returns the 3×3 matrix of `linear` about `centre`, then `shift`."""
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, centre + shift - linear @ centre
    return matrix


def _turn(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _affine(random: np.random.Generator, size: tuple[int, int], pixels: float) -> np.ndarray:
    """Returns a shift of up to `pixels`, with a rotation and a zoom that add about a third of it."""
    centre = random.uniform(0.2, 0.8, 2) * np.array(size[::-1])
    direction, amount = random.uniform(0, 2 * np.pi), pixels * np.sqrt(random.uniform(0.05, 1))
    bend = pixels / 3 / (max(size) / 2)
    linear = _turn(random.uniform(-bend, bend)) @ (np.eye(2) * (1 + random.uniform(-bend, bend)))
    return _about(centre, linear, amount * np.array([np.cos(direction), np.sin(direction)]))


def _everywhere(places: np.ndarray) -> np.ndarray:
    return np.ones(places.shape[:2], np.float32)


def _blob(random: np.random.Generator, size: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the coverage, 0..1 with a soft edge of a pixel, of a round shape with dents."""
    centre = random.uniform(0.1, 0.9, 2) * np.array(size[::-1])
    radius = random.uniform(0.12, 0.3) * min(size)
    dents, phases = random.uniform(-0.15, 0.15, 3), random.uniform(0, 2 * np.pi, 3)

    def cover(places: np.ndarray) -> np.ndarray:
        away = places - centre
        angle = np.arctan2(away[..., 1], away[..., 0])
        edge = radius * (1 + sum(dents[k] * np.cos((k + 2) * angle + phases[k]) for k in range(3)))
        return np.clip(edge - np.linalg.norm(away, axis=-1) + 0.5, 0, 1).astype(np.float32)

    return cover


def _painter(
    random: np.random.Generator, texture: np.ndarray, size: tuple[int, int]
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the brightness of a texture laid under the frame at a random place and angle.

    Its pixels are a little smaller than the frame's, so that both frames are resampled alike.
    """
    middle = np.array(texture.shape[1::-1]) / 2
    linear = 1.5 * _turn(random.uniform(0, 2 * np.pi))
    laid = _about(np.array(size[::-1]) / 2, linear, random.uniform(0.5, 1.5, 2) * middle - np.array(size[::-1]) / 2)
    soft = cv2.GaussianBlur(texture.astype(np.float32), (0, 0), 0.6)

    def paint(places: np.ndarray) -> np.ndarray:
        return cv2.remap(soft, _apply(laid, places), None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)

    return paint


def _camera(random: np.random.Generator, hard: Kind, image: np.ndarray) -> np.ndarray:
    noisy = image + hard.noise * random.standard_normal(image.shape)
    pixels = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    if hard.jpeg_quality:
        _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, hard.jpeg_quality])
        return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
    return pixels


def _middle(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    top, left = ((whole - part) // 2 for whole, part in zip(image.shape[:2], size, strict=True))
    return np.ascontiguousarray(image[top : top + size[0], left : left + size[1]])
