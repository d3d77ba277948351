"""Decodes a few frames of a video file. It starts at the key frame before each; the pixels are those of a whole pass.

It opens no container: it reads the packets from the places that the index names, and hands them to a decoder. On a
video of 320x240 pixels this starts within 0.02 ms. Opening the container would take milliseconds.
"""

import os
import threading
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from data.extraction.decoder import UNBOUNDED, Decoder
from data.store.seeking import Seeking

if TYPE_CHECKING:  # Commands that decode no video don't import it, so they start sooner.
    import av
    from av.video.reformatter import VideoReformatter

# FFmpeg reads up to this many bytes beyond the end of a packet.
_PADDING = bytes(64)


def frames_at(path: Path, seeking: Seeking, wanted: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the wanted frames of a video with their numbers, each once and in any order: uint8[H, W, 3] in RGB.

    Numbers count the frames that preparation keeps.
    """
    numbers = sorted(set(wanted))
    if path.is_file() and path.stat().st_size != seeking.file_bytes:
        raise ValueError(f"It has {path.stat().st_size:,} bytes, and had {seeking.file_bytes:,} when it was indexed.")
    if numbers and numbers[-1] >= len(seeking.packet_of):
        raise ValueError(f"It was indexed with {len(seeking.packet_of):,} frames, fewer than index.csv counts.")
    if not seeking.codec:
        yield from _from_the_beginning(path, seeking, numbers)
        return
    import av

    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        for start, group in groupby(numbers, key=lambda number: int(seeking.start_of[number])):
            number_of = {int(seeking.packet_of[number]): number for number in group}
            found = 0
            for packet, frame in decoded(file, seeking, range(start, max(number_of) + 1), number_of):
                if packet in number_of:
                    found += 1
                    yield number_of[packet], turned(pixels(frame), seeking.turn)
            if found < len(number_of):
                raise ValueError(f"Only {found} of {len(number_of)} frames can be decoded: the file has changed.")
    except av.FFmpegError as error:
        raise ValueError(f"It can't be decoded: {error.strerror}.") from error
    finally:
        os.close(file)


def decoded(
    file: int, seeking: Seeking, packets: Sequence[int], wanted: Container[int]
) -> "Iterator[tuple[int, av.VideoFrame]]":
    """Yields frames with the numbers of their packets, in the order in which they are shown.

    These are the wanted frames, and those to which other frames refer. The first packet must be a key frame.
    """
    context = _decoder(seeking)
    for number in packets:
        position, length = seeking.packets[number].tolist()
        packet = _packet(file, position, length)
        packet.pts = number  # The decoder copies it to the frame, which tells the packet of each frame.
        # A frame to which no other one refers need not be decoded.
        context.skip_frame = "NONREF" if seeking.skips and number not in wanted else "DEFAULT"
        yield from _numbered(context.decode(packet))
    yield from _numbered(context.decode(None))  # Frames that the decoder held back, as others are shown first.


def pixels(frame: "av.VideoFrame") -> np.ndarray:
    """Returns a decoded frame as uint8[H, W, 3] in RGB."""
    # This converts frames as OpenCV does. `data/extraction/on_demand/indexing.py` checks that the pixels are the same.
    kept = _converter()
    converted: np.ndarray = kept.reformat(frame, format="rgb24", interpolation="BICUBIC", threads=1).to_ndarray()
    return converted


def turned(frame: np.ndarray, turn: int) -> np.ndarray:
    """Returns a frame after so many quarter turns to the left."""
    return np.ascontiguousarray(np.rot90(frame, turn)) if turn else frame


def _decoder(seeking: Seeking) -> "av.VideoCodecContext":
    import av

    codec = av.Codec(seeking.codec, "r")
    if codec.type != "video":
        raise ValueError(f"{seeking.codec} is no codec of videos.")
    context = cast(av.VideoCodecContext, av.VideoCodecContext.create(codec, "r"))
    context.thread_count = 1  # Several clips are decoded in parallel.
    context.codec_tag = seeking.tag.decode("ascii")
    if seeking.extradata:
        context.extradata = seeking.extradata
    return context


_of_thread = threading.local()


def _converter() -> "VideoReformatter":
    """Returns the converter of this thread. It is kept, as making one takes ten times as long as converting a frame."""
    from av.video.reformatter import VideoReformatter

    if not hasattr(_of_thread, "converter"):
        _of_thread.converter = VideoReformatter()
    return cast(VideoReformatter, _of_thread.converter)


def _packet(file: int, position: int, length: int) -> "av.Packet":
    import av

    content = os.pread(file, length, position)
    if len(content) < length:
        raise ValueError("It ends before a frame that its index names.")
    # FFmpeg reads zeros beyond the end, and PyAV does not add them.
    return av.Packet(cast(bytes, memoryview(content + _PADDING)[:length]))


def _numbered(frames: "Iterable[av.VideoFrame]") -> "Iterator[tuple[int, av.VideoFrame]]":
    return ((frame.pts, frame) for frame in frames if frame.pts is not None)


def _from_the_beginning(path: Path, seeking: Seeking, numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    number_of = {int(seeking.packet_of[number]): number for number in numbers}
    for index, (_, frame) in enumerate(Decoder(path, UNBOUNDED).frames()):
        if index in number_of:
            yield number_of.pop(index), frame
        if not number_of:
            return
    raise ValueError(f"Frame {1 + min(number_of)} can't be decoded: the file has changed.")
