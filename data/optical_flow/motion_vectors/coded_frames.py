"""Frames that carry the motion that their file's encoder found, and the flow between them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

# Pixels of a cell's side.
CELL = 4
# Over so many frames motion is followed at most; what is one frame apart needs one.
REACH = 64


class CodedFrame(np.ndarray):
    """A frame as uint8[H, W, 3] that knows how things moved up to it, in cells of the coded size."""

    video: object | None  # The same one for all frames of a video.
    number: int
    fields: Sequence[np.ndarray]  # Motion from frame to frame up to this one, the newest last: float32[h, w, 2].
    coded: tuple[int, int]  # Height and width of the frames that the cells lie on.

    def __array_finalize__(self, other: np.ndarray | None) -> None:
        """Hands on what is known to views and copies."""
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
    """Returns other pixels of a frame, in another size for instance, with what the frame knows of motion."""
    if not isinstance(frame, CodedFrame) or frame.video is None:
        return pixels
    return CodedFrame.of(pixels, frame.video, frame.number, frame.fields, frame.coded)


def known_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
    """Returns the flow from one frame of a coded video to another of it, in pixels; None if they are no such frames."""
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
    """Returns motion in cells of the coded size as flow of another size."""
    (height, width), (rows, columns) = size, cells.shape[:2]
    scale = np.array([width / coded[1], height / coded[0]], np.float32)
    whole = max(round(columns * CELL * float(scale[0])), width), max(round(rows * CELL * float(scale[1])), height)
    flow: np.ndarray = cv2.resize(cells * scale, whole, interpolation=cv2.INTER_LINEAR)[:height, :width]
    return np.ascontiguousarray(flow)


def _followed(fields: Sequence[np.ndarray]) -> np.ndarray | None:
    """Returns the motion of all these steps together: each goes on where the one before it ended."""
    total = None
    for field in fields:
        total = field if total is None else total + _at(field, total)
    return total


def _turned(cells: np.ndarray) -> np.ndarray:
    """Returns the opposite motion, from the second frame to the first: what arrives at a place goes back from there."""
    back = -cells
    for _ in range(2):
        back = -_at(cells, back)
    return back


def _at(field: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Returns what a field says where things have moved to."""
    rows, columns = np.indices(field.shape[:2], np.float32)
    x, y = columns + moved[..., 0] / CELL, rows + moved[..., 1] / CELL
    found: np.ndarray = cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found
