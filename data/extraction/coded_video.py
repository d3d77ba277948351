"""Decodes a video file with PyAV. Its frames carry the motion vectors that are stored in the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.extraction.decoder import Bounds, Decoder
from data.extraction.on_demand.frames import pixels
from data.extraction.video_files import is_of_pictures
from data.optical_flow.compute import UNKNOWN
from data.optical_flow.methods import find_kind
from data.optical_flow.motion_vectors.coded_frames import REACH, CodedFrame
from data.store.description import FRAMES, Recipe

if TYPE_CHECKING:
    from av import VideoFrame

    from data.optical_flow.motion_vectors.vectors import MotionReader

# The codecs whose motion vectors FFmpeg exports and this package can read.
CODECS = ("h264", "mpeg4")


class NoVectorsError(ValueError):
    """Raised if a video can be decoded but has no motion vectors; `said` is the reason."""

    def __init__(self, said: str) -> None:
        super().__init__(f"{said} Choose another --method, or encode frames again in memory: --set recode=True.")
        self.said = said


def decoder_for(path: Path, recipe: Recipe, bounds: Bounds) -> Decoder:
    """Returns a decoder of a video whose frames carry what the recipe's flow method needs."""
    if recipe.only == FRAMES or recipe.method == UNKNOWN:
        return Decoder(path, bounds)
    reader = find_kind(recipe.method, recipe.preset, recipe.parameters).reader
    return CodedVideo(path, bounds, reader) if reader else Decoder(path, bounds)


class CodedVideo(Decoder):
    """One pass over a video whose codec has motion vectors. Pixels, times and lengths are those of other decoders."""

    def __init__(self, path: Path, bounds: Bounds, reader: type[MotionReader]) -> None:
        """Opens a video; raises NoVectorsError, which names the codec, if it has no motion vectors."""
        if is_of_pictures(path):
            raise NoVectorsError("It is a folder of pictures, which have no motion vectors.")
        self._reader = reader
        super().__init__(path, bounds)

    def _open(self, name: str) -> None:
        import av

        super()._open(name)
        self._capture.release()
        try:
            # No other protocol is allowed, even if the file names one.
            self._container = av.open(name, options={"protocol_whitelist": "file"}, metadata_errors="ignore")
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, IndexError) as error:
            raise ValueError(f"It can't be opened as a video: {error}.") from error
        codec = self._stream.codec_context.name
        if codec not in CODECS:
            self._container.close()
            raise NoVectorsError(f"Its codec, {codec}, has no motion vectors; {' and '.join(CODECS)} have.")

    def _decoded_video(self) -> Iterator[tuple[float, np.ndarray]]:
        context, fields = self._stream.codec_context, list[np.ndarray]()
        reader = self._reader(context.name, (context.height, context.width))
        reader.prepare(context)
        with self._container:
            for frame, motion in reader.fields(self._decoded()):
                quarters = int(frame.rotation) // 90 % 4
                picture = np.ascontiguousarray(np.rot90(pixels(frame), quarters))
                fields = [] if motion is None else [*fields[1 - REACH :], turned(motion, quarters)]
                self._seconds = self._time(frame)
                self.decoded_frames += 1
                yield (
                    self._seconds,
                    CodedFrame.of(picture, reader, self.decoded_frames, tuple(fields), picture.shape[:2]),
                )
        if self.decoded_frames > 1 and not reader.vectors:
            raise NoVectorsError("It is coded picture by picture, without motion vectors.")

    def _decoded(self) -> Iterator[VideoFrame]:
        """Yields the frames that can be decoded. The frame of a damaged packet is lost, as with OpenCV."""
        import av

        for packet in self._container.demux(self._stream):
            with contextlib.suppress(av.FFmpegError):
                yield from packet.decode()

    def _time(self, frame: VideoFrame) -> float:
        if frame.pts is None or frame.time_base is None:
            return self.decoded_frames / self.frame_rate if self.frame_rate > 0 else 0.0
        return float((frame.pts - (self._stream.start_time or 0)) * frame.time_base)


def turned(motion: np.ndarray, quarters: int) -> np.ndarray:
    """Rotates motion in cells to the left by quarter turns: right becomes up, and down becomes right."""
    for _ in range(quarters):
        motion = np.rot90(motion)[..., ::-1] * np.array([1, -1], np.float32)
    return np.ascontiguousarray(motion)
