"""Defines frames that carry the motion found by the encoder of their file, and computes flow between them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

# The side of a cell in pixels.
CELL = 4
# Motion is followed over at most this many frames.
REACH = 64


class CodedFrame(np.ndarray):
    """A frame, uint8[H, W, 3], with the motion in the frames before it, in cells of the size of the coded video."""

    video: object | None  # The same one for all frames of a video.
    number: int
    fields: Sequence[np.ndarray]  # Motion from frame to frame up to this one, the newest last: float32[h, w, 2].
    coded: tuple[int, int]  # Height and width of the coded frames, which the cells cover.

    def __array_finalize__(self, other: np.ndarray | None) -> None:
        """Copies the motion to views and copies of the frame."""
        for name in ("video", "number", "fields", "coded"):
            setattr(self, name, getattr(other, name, None))

    @classmethod
    def of(
        cls, pixels: np.ndarray, video: object, number: int, fields: Sequence[np.ndarray], coded: tuple[int, int]
    ) -> CodedFrame:
        """Returns pixels as a coded frame."""
        frame = pixels.view(cls)
        frame.video, frame.number, frame.fields, frame.coded = video, number, fields, coded
        return frame


def with_motion_of(frame: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Returns new pixels, for instance of another size, with the motion of a frame."""
    if not isinstance(frame, CodedFrame) or frame.video is None:
        return pixels
    return CodedFrame.of(pixels, frame.video, frame.number, frame.fields, frame.coded)


def known_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
    """Returns the flow between two frames of one coded video, in pixels; None if they are no such frames."""
    if not (isinstance(first, CodedFrame) and isinstance(second, CodedFrame)) or first.video is not second.video:
        return None
    if first.video is None:
        return None
    early, late = sorted((first, second), key=lambda frame: frame.number)
    apart = late.number - early.number
    if apart > len(late.fields):
        raise ValueError(
            f"Motion vectors are followed over at most {REACH} frames of a video. Received frames {apart} apart: keep "
            "more frames, or use another --method."
        )
    cells = _followed(late.fields[len(late.fields) - apart :])
    if cells is None:
        return np.zeros((*first.shape[:2], 2), np.float32)
    return in_pixels(cells if early is first else _turned(cells), first.coded, first.shape[:2])


def in_pixels(cells: np.ndarray, coded: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Converts motion in cells of the coded size to flow of another size."""
    (height, width), (rows, columns) = size, cells.shape[:2]
    scale = np.array([width / coded[1], height / coded[0]], np.float32)
    whole = max(round(columns * CELL * float(scale[0])), width), max(round(rows * CELL * float(scale[1])), height)
    flow: np.ndarray = cv2.resize(cells * scale, whole, interpolation=cv2.INTER_LINEAR)[:height, :width]
    return np.ascontiguousarray(flow)


def _followed(fields: Sequence[np.ndarray]) -> np.ndarray | None:
    """Adds up motion over several steps: each step continues where the one before it ended."""
    total = None
    for field in fields:
        total = field if total is None else total + _at(field, total)
    return total


def _turned(cells: np.ndarray) -> np.ndarray:
    """Inverts motion, to go from the second frame to the first: a thing goes back from the place where it arrived."""
    back = -cells
    for _ in range(2):
        back = -_at(cells, back)
    return back


def _at(field: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Returns the values of a field at the places to which things have moved."""
    rows, columns = np.indices(field.shape[:2], np.float32)
    x, y = columns + moved[..., 0] / CELL, rows + moved[..., 1] / CELL
    found: np.ndarray = cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found
