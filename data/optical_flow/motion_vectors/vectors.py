"""Reads the motion vectors of a stream while PyAV decodes it: H.264 and MPEG-4 Part 2."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import cv2
import numpy as np

from data.optical_flow.motion_vectors.cells import divide, find_distances, spread
from data.optical_flow.motion_vectors.coded_frames import CELL

if TYPE_CHECKING:
    from av import VideoCodecContext, VideoFrame

_BETWEEN = 3  # PyAV's number for B frames, which are predicted from frames before and after them.
# The most B frames in a row, and the number of frames that are kept as possible references.
_MOST_BETWEEN, _KEPT = 16, 24
# For H.264, the numbers of the newest frames, and of the newest frames but B frames, that are tried as references.
_TRIED, _ANCHORS = 6, 3
# The weight of motion that was measured in the pairs before and after: it only fills gaps.
_ELSEWHERE = 1e-3
# The columns of PyAV's vectors that are used.
_COLUMNS = ("dst_x", "dst_y", "w", "h")


class _Blocks(NamedTuple):
    """The predictions of a frame's blocks."""

    number: int
    frame: VideoFrame
    is_between: bool
    rows: np.ndarray  # Centre, size and the way to the source, in pixels: float32[N, 6].
    is_past: np.ndarray  # Whether the source is in an earlier frame: bool[N].


# A frame's blocks, and the distances of their references in frames.
_Measured: TypeAlias = tuple[_Blocks, np.ndarray]


class MotionReader:
    """Converts the vectors of decoded frames, in the order of display, to motion from each frame to the next."""

    def __init__(self, codec: str, size: tuple[int, int]) -> None:
        # In MPEG-4 the reference is the nearest frame that is no B frame; in H.264 it may be any frame.
        self._is_free, self._size = codec == "h264", size
        self._lumas = np.zeros((_KEPT, *size), np.uint8)
        self._newest, self._anchors = deque[int](maxlen=_TRIED), deque[int](maxlen=_ANCHORS if self._is_free else 1)
        self._motion = np.zeros((*(-(-side // CELL) for side in size), 2), np.float32)
        self._before: _Measured | None = None  # The frame before.
        self.vectors = 0  # The number of vectors so far.

    @staticmethod
    def prepare(context: VideoCodecContext) -> None:
        """Sets up a decoder to export the vectors of its frames."""
        context.thread_count = 1  # Several videos are decoded in parallel.
        context.options = {"flags2": "+export_mvs"}

    def fields(self, frames: Iterable[VideoFrame]) -> Iterator[tuple[VideoFrame, np.ndarray | None]]:
        """Yields frames with the motion from the frame before to each, in cells; None for the first."""
        group: list[_Blocks] = []
        for number, frame in enumerate(frames):
            group.append(self._read(frame, number))
            if not group[-1].is_between or len(group) > _MOST_BETWEEN:
                yield from self._solved(group)
                group = []
        yield from self._solved(group)

    def _read(self, frame: VideoFrame, number: int) -> _Blocks:
        if (frame.height, frame.width) != self._size:
            height, width = self._size
            raise ValueError(f"Its frames change size, from {width}x{height} to {frame.width}x{frame.height}.")
        if self._is_free:
            self._lumas[number % _KEPT] = luma(frame)
        is_between, data = frame.pict_type == _BETWEEN, frame.side_data.get("MOTION_VECTORS")
        # Key frames have no vectors. For MPEG-4's B frames FFmpeg always exports zeros.
        if data is None or (is_between and not self._is_free):
            return _Blocks(number, frame, is_between, np.zeros((0, 6), np.float32), np.zeros(0, np.bool_))
        found = data.to_ndarray()
        self.vectors += len(found)
        scale = found["motion_scale"].astype(np.float32)
        ways = [found["motion_x"] / scale, found["motion_y"] / scale]
        rows = np.stack([*(found[name] for name in _COLUMNS), *ways], axis=1, dtype=np.float32, casting="unsafe")
        return _Blocks(number, frame, is_between, rows, found["source"] < 0)

    def _solved(self, group: list[_Blocks]) -> Iterator[tuple[VideoFrame, np.ndarray | None]]:
        """Yields the B frames of a group, and the frame that ends it."""
        ends = [each for each in group if not each.is_between]
        others = {*self._newest, *(each.number for each in group)} if self._is_free else {each.number for each in ends}
        measured = [(each, self._distances(each, {*self._anchors, *others} - {each.number})) for each in group]
        for each in measured:
            yield each[0].frame, self._moved(each, measured[-1])
            self._before = each
        self._anchors.extend(each.number for each in ends)
        self._newest.extend(each.number for each in group)

    def _distances(self, blocks: _Blocks, others: set[int]) -> np.ndarray:
        nearest = sorted(others, key=lambda number: abs(number - blocks.number))
        places = [(number % _KEPT, number - blocks.number) for number in (blocks.number, *nearest)]
        return find_distances(blocks.rows, blocks.is_past, self._lumas, np.array(places, np.int64))

    def _moved(self, now: _Measured, end: _Measured) -> np.ndarray | None:
        """Returns the motion from the frame before; the vectors of the frame that ends its group help."""
        if self._before is None:
            return None
        sums = np.zeros((*self._motion.shape[:2], 3), np.float32)
        # Vectors of this frame into the past, and of the frame before into the future, belong to this pair.
        spread(now[0].rows, now[1], 1.0, 1.0, _ELSEWHERE, sums)
        spread(self._before[0].rows, self._before[1], 0.0, _ELSEWHERE, 1.0, sums)
        if now is not end and not self._is_free:
            spread(end[0].rows, end[1], float(end[0].number - now[0].number + 1), 1.0, 0.0, sums)
        self._motion = _without_outliers(divide(sums, self._motion))
        return self._motion


def _without_outliers(cells: np.ndarray) -> np.ndarray:
    """Returns motion without the random vectors of blocks with little texture."""
    return np.stack([cv2.medianBlur(np.ascontiguousarray(cells[..., axis]), 5) for axis in (0, 1)], axis=-1)


def luma(frame: VideoFrame) -> np.ndarray:
    """Returns the brightness of a frame, uint8[H, W]."""
    if frame.format.is_rgb or frame.format.components[0].bits != 8:
        return frame.to_ndarray(format="gray")
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[: frame.height, : frame.width]
