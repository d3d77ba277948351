"""Finds videos that are copies of each other: recoded, resized, trimmed, mirrored, cropped or put between bars.

Small pictures of a few frames find pairs that look alike. Each such pair is then compared frame by frame: still parts
must be the same, and moving parts must move in the same way. Other clips of the same scene fail the second test.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from data.audit.findings import ERROR, Finding
from data.catalog import DataSet, Video
from data.extraction.on_demand.single import read_frame

FRAMES, SIDE, COARSE = 16, 24, 8  # The number of frames of a video to look at, and the sides of their small pictures.
SHARES = (1.0, 0.9, 0.8)  # The share of a frame's sides that cropping leaves.
FLATTEST = 8.0  # A picture with less contrast, in levels, can't be compared.
UNIFORM = 16  # The levels of a bar differ by no more than this.
MOST_ALIKE = 5  # The number of videos with which each one is compared closely.
COARSELY, CLOSELY = 0.7, 0.6  # The lowest correlations of small pictures that look alike.
BLOCK = 64  # The number of videos that are compared with all others at once, which limits memory.
LARGE, MARGIN = 48, 6  # The side of pictures in the comparison frame by frame, and the largest shift between them.
NEARBY = 8  # The number of frames before and after a moment to try.
MOST_STRETCHED = 0.25  # The largest amount by which a picture may be stretched or rotated.
LEAST = 0.85  # If the first frames are less alike than this, the comparison stops.
UNLIKELY = 0.7  # If the motion in half of the frames agrees less than this, the comparison stops.
REMEDY = "Remove them from one of the lists, or give both videos the same group, so that no split separates them."


@dataclass(frozen=True)
class Look:
    """Small pictures of frames that are spread over a video, without bars around them."""

    video: Video
    indices: np.ndarray  # int[FRAMES]
    box: tuple[slice, slice]
    pictures: np.ndarray  # uint8[FRAMES, SIDE, SIDE]


class Alike(NamedTuple):
    """The match between two videos: the frames of one, which may be a part of the other, are found in the other."""

    part: Look
    whole: Look
    correlation: float
    places: np.ndarray  # For each frame of `part`, the most similar frame of `whole`.
    mirrored: bool
    shares: tuple[float, float]  # The share of the frames of `part` and of `whole` that is the same.


class Evidence(NamedTuple):
    """The agreement of two videos after their frames are aligned, as correlations."""

    still: float  # Between the pictures.
    moving: float  # Between the differences of each picture from the mean of its video.
    motion: float  # The size of these differences, in levels.


def audit_copies(dataset: DataSet, sides: Mapping[str, tuple[Sequence[Video], Sequence[Video]]]) -> Iterator[Finding]:
    """Yields a finding for each part, by its name, in which videos are copies of training videos."""
    looks = [look for video in dataset.videos.values() if (look := look_at(dataset, video))]
    pairs = [(one.name, other.name) for one, other in copies(dataset, looks)]
    pairs += [(other, one) for one, other in pairs]
    for called, (training, held_out) in sides.items():
        trained, held = {video.name for video in training}, {video.name for video in held_out}
        found = {other: one for one, other in pairs if one in trained and other in held}
        if found:
            copy, original = next(iter(found.items()))
            what = f"{called}: {len(found)} videos are copies of training videos, for example {copy} of {original}."
            yield Finding(ERROR, what, REMEDY, tuple(found))


def look_at(dataset: DataSet, video: Video) -> Look | None:
    """Returns small pictures of a video; None if it has no readable frames, or if all are flat."""
    if not video.num_frames:
        return None
    indices = np.arange(1, 2 * FRAMES, 2) * video.num_frames // (2 * FRAMES)
    read = {int(index): _frame(dataset, video, int(index)) for index in np.unique(indices)}
    frames = [read[int(index)] for index in indices]
    known = [frame for frame in frames if frame is not None]
    if len(known) < FRAMES or len({frame.shape for frame in known}) > 1:
        return None
    box = _without_bars(np.stack(known))
    pictures = np.stack([_small(frame[box], SIDE) for frame in known])
    return Look(video, indices, box, pictures) if pictures.std(axis=(1, 2)).mean() >= FLATTEST else None


def copies(dataset: DataSet, looks: Sequence[Look]) -> Iterator[tuple[Video, Video]]:
    """Yields the pairs of videos of different groups that certainly are copies."""
    for first, second in pairs_to_compare(looks):
        found = closely(looks[first], looks[second])
        if found.correlation >= CLOSELY and is_copy(evidence(dataset, found)):
            yield looks[first].video, looks[second].video


def is_copy(found: Evidence) -> bool:
    """Tells whether two videos agree as only copies do."""
    # One speaker who says the same word twice before the same camera reaches .92 at most. Altered copies pass .93.
    return found.still > 0.9 and found.moving > 0.93


def pairs_to_compare(looks: Sequence[Look]) -> list[tuple[int, int]]:
    """Returns the pairs where the middle frame of one looks like a frame of the other, perhaps cropped or mirrored."""
    if len(looks) < 2:
        return []
    groups = np.unique([look.video.group for look in looks], return_inverse=True)[1]
    of_share = [np.stack([_coarse(look.pictures, share) for look in looks]) for share in SHARES]
    every = np.concatenate([each.reshape(len(looks), -1, COARSE * COARSE) for each in of_share], axis=1)
    middles = of_share[0][:, FRAMES // 2]
    found: set[tuple[int, int]] = set()
    for start in range(0, len(looks), BLOCK):
        block = middles[start : start + BLOCK]
        alike = np.full((len(block), len(looks)), -1.0, np.float32)
        for turned in (block, block.reshape(-1, COARSE, COARSE)[:, :, ::-1].reshape(block.shape)):
            products = turned @ every.reshape(-1, every.shape[-1]).T
            alike = np.maximum(alike, products.reshape(len(block), len(looks), -1).max(axis=-1))
        alike[groups[start : start + len(block), None] == groups] = -1.0
        best = np.argsort(-alike, axis=1)[:, :MOST_ALIKE]
        for row, columns in enumerate(best):
            found.update(
                (min(start + row, int(column)), max(start + row, int(column)))
                for column in columns
                if alike[row, column] >= COARSELY
            )
    return sorted(found)


def closely(one: Look, other: Look) -> Alike:
    """Returns the best match between two videos, over mirroring and cropping, and over which is a part of which."""
    best = None
    for shares in ((1.0, 1.0), *((1.0, share) for share in SHARES[1:]), *((share, 1.0) for share in SHARES[1:])):
        first, second = (_units(_cut(look.pictures, share)) for look, share in zip((one, other), shares, strict=True))
        for mirrored in (False, True):
            turned = first[:, :, ::-1] if mirrored else first
            alike = turned.reshape(FRAMES, -1) @ second.reshape(FRAMES, -1).T
            for part, whole, table, both in ((one, other, alike, shares), (other, one, alike.T, shares[::-1])):
                correlation = float(np.median(table.max(axis=1)))
                if best is None or correlation > best.correlation:
                    best = Alike(part, whole, correlation, table.argmax(axis=1), mirrored, both)
    assert best is not None
    return best


def evidence(dataset: DataSet, found: Alike) -> Evidence:
    """Compares aligned frames of one video with those around the same moments of the other."""
    part, whole, warp = found.part, found.whole, None
    at = Moments(dataset, whole, found.shares[1])
    pictures, others, correlations = list[np.ndarray](), list[np.ndarray](), list[float]()
    # From the middle outwards, because a part may lack the beginning or the end of the whole.
    outwards = sorted(range(FRAMES), key=lambda place: abs(place - FRAMES // 2))
    for number, place in enumerate((*outwards[::2], *outwards[1::2])):
        if number == FRAMES // 2 and len(pictures) > 2 and _agreement(pictures, others)[0] < UNLIKELY:
            break
        picture = _large(dataset, part, int(part.indices[place]), found.shares[0])
        if picture is None:
            continue
        picture = np.ascontiguousarray(picture[:, ::-1]) if found.mirrored else picture
        index = at.most_like(picture, int(whole.indices[found.places[place]]), warp)
        other = at.picture(index)
        if other is None:
            continue
        warp = _laid_on(picture, other, warp)
        pictures.append(picture)
        others.append(_warped(other, warp))
        correlations.append(_correlation(pictures[-1], others[-1]))
        if len(correlations) > 2 and max(correlations) < LEAST:
            break
    if len(pictures) < 3:
        return Evidence(0.0, 0.0, 0.0)
    return Evidence(float(np.median(correlations)), *_agreement(pictures, others))


def _agreement(pictures: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> tuple[float, float]:
    """Returns the agreement of the motion in two rows of pictures, and its strength in levels."""
    changes, changes_of_other = (_inner(np.stack(each) - np.mean(each, axis=0)) for each in (pictures, others))
    lengths = np.sqrt((changes**2).sum() * (changes_of_other**2).sum())
    return float((changes * changes_of_other).sum() / (lengths + 1e-6)), float(np.sqrt((changes**2).mean()))


class Moments:
    """The frames of a video, small and cached, and the search for the one that is most similar to a picture."""

    def __init__(self, dataset: DataSet, look: Look, share: float) -> None:
        self._read = partial(_large, dataset, look, share=share)
        self._known: dict[int, np.ndarray | None] = {}
        self._count = look.video.num_frames

    def picture(self, index: int) -> np.ndarray | None:
        """Returns a frame, or None if there is none or it can't be read."""
        if index not in self._known:
            self._known[index] = self._read(index) if 0 <= index < self._count else None
        return self._known[index]

    def most_like(self, picture: np.ndarray, middle: int, warp: np.ndarray | None) -> int:
        """Returns the frame around a moment that is most similar to a picture, found in ever smaller steps."""
        step = max(1, -(-self._count // (FRAMES * NEARBY)))
        best = middle
        reach = NEARBY
        while True:
            indices = [best + step * offset for offset in range(-reach, reach + 1)]
            best = max(indices, key=lambda index: self._likeness(picture, index, warp))
            if step == 1:
                return best
            step, reach = max(1, step // 3), 3

    def _likeness(self, picture: np.ndarray, index: int, warp: np.ndarray | None) -> float:
        other = self.picture(index)
        if other is None:
            return -2.0
        if warp is not None:
            return _correlation(picture, _warped(other, warp))
        return float(cv2.matchTemplate(other, _inner(picture), cv2.TM_CCOEFF_NORMED).max())


def _laid_on(picture: np.ndarray, other: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    """Returns the shift, rotation and stretch that align the other picture with the first: float32[2, 3]."""
    response = cv2.matchTemplate(other, _inner(picture), cv2.TM_CCOEFF_NORMED)
    top, left = np.unravel_index(int(response.argmax()), response.shape)
    shift = np.array([[1, 0, left - MARGIN], [0, 1, top - MARGIN]], np.float32)
    candidates = [shift] if before is None else [before, shift]
    start = max(candidates, key=lambda warp: _correlation(picture, _warped(other, warp)))
    with contextlib.suppress(cv2.error):  # It found no way to align them.
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-4)
        _, refined = cv2.findTransformECC(picture, other, start.copy(), cv2.MOTION_AFFINE, criteria, None, 3)
        is_small = np.abs(refined[:, :2] - np.eye(2)).max() < MOST_STRETCHED
        if is_small and _correlation(picture, _warped(other, refined)) > _correlation(picture, _warped(other, start)):
            return refined
    return start


def _warped(picture: np.ndarray, warp: np.ndarray) -> np.ndarray:
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved: np.ndarray = cv2.warpAffine(picture, warp, picture.shape[::-1], flags=how, borderMode=cv2.BORDER_REPLICATE)
    return moved


def _inner(pictures: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pictures[..., MARGIN:-MARGIN, MARGIN:-MARGIN])


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the correlation between the middles of two pictures, from -1 to 1."""
    return float(cv2.matchTemplate(_inner(first), _inner(second), cv2.TM_CCOEFF_NORMED)[0, 0])


def _frame(dataset: DataSet, video: Video, index: int) -> np.ndarray | None:
    return read_frame(dataset, video, index)


def _large(dataset: DataSet, look: Look, index: int, share: float) -> np.ndarray | None:
    frame = _frame(dataset, look.video, index)
    if frame is None:
        return None
    inside = frame[look.box]
    height, width = (round(side * share) for side in inside.shape)
    top, left = (inside.shape[0] - height) // 2, (inside.shape[1] - width) // 2
    return _small(inside[top : top + height, left : left + width], LARGE).astype(np.float32)


def _without_bars(frames: np.ndarray) -> tuple[slice, slice]:
    """Returns the rows and the columns inside bars of one colour, which players add above, below or beside."""
    slices = []
    for across in (2, 1):
        spread = frames.max(axis=(0, across)).astype(np.int16) - frames.min(axis=(0, across))
        inside = np.flatnonzero(spread > UNIFORM)
        enough = len(inside) and inside[-1] - inside[0] >= len(spread) // 3
        slices.append(slice(int(inside[0]), int(inside[-1]) + 1) if enough else slice(0, len(spread)))
    return slices[0], slices[1]


def _small(picture: np.ndarray, side: int) -> np.ndarray:
    small: np.ndarray = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return small


def _cut(pictures: np.ndarray, share: float, side: int = SIDE) -> np.ndarray:
    """Returns the middle of pictures, resized."""
    left = round(SIDE * share)
    first = (SIDE - left) // 2
    inside = pictures[:, first : first + left, first : first + left]
    how = cv2.INTER_AREA if side < left else cv2.INTER_LINEAR
    return np.stack([cv2.resize(picture, (side, side), interpolation=how) for picture in inside])


def _coarse(pictures: np.ndarray, share: float) -> np.ndarray:
    return _units(_cut(pictures, share, COARSE)).reshape(len(pictures), -1)


def _units(pictures: np.ndarray) -> np.ndarray:
    """Returns pictures without their mean and with length one, so that their products are correlations."""
    centred = pictures.astype(np.float32) - pictures.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    return centred / np.maximum(np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True)), FLATTEST)
