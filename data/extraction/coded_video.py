"""Decodes a video file by PyAV, into frames that carry the motion vectors of its code."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.extraction.decoder import Bounds, Decoder
from data.extraction.video_files import is_of_pictures
from data.optical_flow.compute import UNKNOWN
from data.optical_flow.methods import find_kind
from data.optical_flow.motion_vectors.coded_frames import REACH, CodedFrame
from data.store.description import FRAMES, Recipe

if TYPE_CHECKING:
    from av import VideoFrame

    from data.optical_flow.motion_vectors.vectors import MotionReader

# Whose vectors FFmpeg tells and we read.
CODECS = ("h264", "mpeg4")


class NoVectorsError(ValueError):
    """A video that can be decoded but has no motion vectors, which is `said`."""

    def __init__(self, said: str) -> None:
        super().__init__(f"{said} Take another --method, or have frames coded again in memory: --set recode=True.")
        self.said = said


def decoder_for(path: Path, recipe: Recipe, bounds: Bounds) -> Decoder:
    """Returns the decoder of a video that gives what the recipe's flow is made of."""
    if recipe.only == FRAMES or recipe.method == UNKNOWN:
        return Decoder(path, bounds)
    reader = find_kind(recipe.method, recipe.preset, recipe.parameters).reader
    return CodedVideo(path, bounds, reader) if reader else Decoder(path, bounds)


class CodedVideo(Decoder):
    """One pass over a video whose codec has motion vectors; pixels, times and lengths are those of any decoder."""

    def __init__(self, path: Path, bounds: Bounds, reader: type[MotionReader]) -> None:
        """Opens a video; raises NoVectorsError with its codec's name if that has no motion vectors."""
        if is_of_pictures(path):
            raise NoVectorsError("It is a folder of pictures, which have no motion vectors.")
        self._reader = reader
        super().__init__(path, bounds)

    def _open(self, name: str) -> None:
        import av

        super()._open(name)
        self._capture.release()
        try:
            # No protocol but this one, whatever the file may name.
            self._container = av.open(name, options={"protocol_whitelist": "file"}, metadata_errors="ignore")
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, IndexError) as error:
            raise ValueError(f"It can't be opened as a video: {error}.") from error
        codec = self._stream.codec_context.name
        if codec not in CODECS:
            self._container.close()
            raise NoVectorsError(f"Its codec, {codec}, has no motion vectors; {' and '.join(CODECS)} have.")

    def _decoded_video(self) -> Iterator[tuple[float, np.ndarray]]:
        from av.video.reformatter import VideoReformatter

        # One for all frames, since each sets up its tables anew; on one thread, as several videos are decoded at once.
        colours = partial(VideoReformatter().reformat, format="rgb24", threads=1)
        context, fields = self._stream.codec_context, list[np.ndarray]()
        reader = self._reader(context.name, (context.height, context.width))
        reader.prepare(context)
        with self._container:
            for frame, motion in reader.fields(self._decoded()):
                quarters = int(frame.rotation) // 90 % 4
                pixels = np.ascontiguousarray(np.rot90(colours(frame).to_ndarray(), quarters))
                fields = [] if motion is None else [*fields[1 - REACH :], turned(motion, quarters)]
                self._seconds = self._time(frame)
                self.decoded_frames += 1
                yield self._seconds, CodedFrame.of(pixels, reader, self.decoded_frames, tuple(fields), pixels.shape[:2])
        if self.decoded_frames > 1 and not reader.vectors:
            raise NoVectorsError("It is coded picture by picture, without motion vectors.")

    def _decoded(self) -> Iterator[VideoFrame]:
        """Yields what can be decoded; a damaged packet costs its frame, as with OpenCV."""
        import av

        for packet in self._container.demux(self._stream):
            with contextlib.suppress(av.FFmpegError):
                yield from packet.decode()

    def _time(self, frame: VideoFrame) -> float:
        if frame.pts is None or frame.time_base is None:
            return self.decoded_frames / self.frame_rate if self.frame_rate > 0 else 0.0
        return float((frame.pts - (self._stream.start_time or 0)) * frame.time_base)


def turned(motion: np.ndarray, quarters: int) -> np.ndarray:
    """Returns motion in cells, turned to the left by quarters: what went right goes up, what went down goes right."""
    for _ in range(quarters):
        motion = np.rot90(motion)[..., ::-1] * np.array([1, -1], np.float32)
    return np.ascontiguousarray(motion)
