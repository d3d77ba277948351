"""Finds the places of the frames of a video in its file, and checks that decoding from there gives the exact pixels.

One pass over the whole video gives the right pixels. A key frame is used only if decoding from it gives the same
pixels. If this fails for a video, it is decoded from its beginning whenever one of its frames is wanted.
"""

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.extraction.decoder import Bounds, Decoder, resized, sample_frames
from data.extraction.on_demand.frames import decoded, pixels, turned
from data.store.description import Recipe
from data.store.one_video import Counts
from data.store.seeking import Seeking

# A packet may begin up to this many bytes after the place that its container names.
_HEADER = 64
# To test whether frames can be left out, one in this many is decoded, and the others are left out.
_SOME = 3
Life = Callable[[], None]


class _Pass(NamedTuple):
    """The findings of one pass over all frames of a video."""

    marks: list[int]  # A checksum of the pixels of each frame.
    kept: list[int]  # The frames that preparation keeps.
    size: tuple[int, int]  # Height and width of the kept frames after resizing.
    remark: str


def index_video(path: Path, recipe: Recipe, bounds: Bounds, show_life: Life = lambda: None) -> tuple[Counts, Seeking]:
    """Returns the counts of a video, as if its frames and flow were stored, and the places of its frames."""
    marks, kept, (height, width), remark = _whole_pass(path, recipe, bounds, show_life)
    flows = len(kept) - recipe.step
    if flows < 1:
        frames = f"Only {len(kept)} frame{'s' if len(kept) > 1 else ''}" if kept else "No frame"
        raise ValueError(f"{frames} can be decoded and kept; flow needs {1 + recipe.step}.")
    seeking = _by_packets(path, marks, show_life)
    if seeking is None:
        numbers = np.arange(len(marks))
        seeking = Seeking(np.zeros((0, 2), np.int64), numbers, 0 * numbers, _bytes(path))
    seeking = replace(seeking, packet_of=seeking.packet_of[kept], start_of=seeking.start_of[kept])
    counts: Counts = {"frames": len(kept), "flows": flows, "width": width, "height": height, "bytes": 0}
    return {**counts, "remark": remark, **seeking.entries()}, seeking


def _whole_pass(path: Path, recipe: Recipe, bounds: Bounds, show_life: Life) -> _Pass:
    decoder, marks, sizes = Decoder(path, bounds), list[int](), dict[tuple[int, ...], tuple[int, ...]]()

    def marked() -> Iterator[tuple[float, tuple[int, np.ndarray]]]:
        for seconds, frame in decoder.frames():
            show_life()
            marks.append(_mark(frame))
            yield seconds, (len(marks) - 1, frame)

    kept = []
    for index, frame in sample_frames(marked(), every=recipe.every, fps=recipe.fps, frame_rate=decoder.frame_rate):
        kept.append(index)
        if frame.shape not in sizes:
            sizes[frame.shape] = resized(frame, recipe.short_side, recipe.size, enlarge=recipe.enlarge).shape[:2]
    if len(set(sizes.values())) > 1:
        (height, width), (other_height, other_width) = list(sizes.values())[:2]
        raise ValueError(f"Its frames change size, from {width}x{height} to {other_width}x{other_height}.")
    height, width = next(iter(sizes.values()), (0, 0))
    return _Pass(marks, kept, (height, width), decoder.shortfall())


def _by_packets(path: Path, marks: Sequence[int], show_life: Life) -> Seeking | None:
    """Returns the places of all frames, or None if their packets don't give the pixels of a whole pass."""
    import av  # Imported here, so that commands that index no video start sooner.

    if not path.is_file():
        return None
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        seeking, keys = _packets(path, file)
        order, turn = _order(file, seeking, marks, show_life)
        mark_of = dict(zip(order, marks, strict=True))
        seeking = replace(seeking, turn=turn, packet_of=np.array(order, np.int64))
        for skips in (True, False):
            found = _with_starts(file, replace(seeking, skips=skips), keys, mark_of, show_life)
            if found:
                return found
        return None
    # The decoder or the container does not support this: the video is decoded from its beginning instead.
    except (av.FFmpegError, ValueError, IndexError, OverflowError):
        return None
    finally:
        os.close(file)


def _packets(path: Path, file: int) -> tuple[Seeking, list[int]]:
    """Returns the places of all packets, and the numbers of those that the container calls key frames."""
    import av

    places, keys, before = list[tuple[int, int]](), list[int](), 0
    with path.open("rb") as opened, av.open(opened, "r", metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            if not packet.size:
                continue
            content, named = bytes(packet), packet.pos if packet.pos is not None and packet.pos >= 0 else before
            inside = os.pread(file, len(content) + _HEADER, named).find(content)
            if inside < 0:
                raise ValueError("The bytes of a packet are not in the file in one piece.")
            before = named + inside
            keys += [len(places)] if packet.is_keyframe else []
            places.append((before, len(content)))
        context = stream.codec_context
        extradata = context.extradata or b""
        told = context.name, context.codec_tag.encode("ascii"), extradata
    if not keys or keys[0] != 0:
        raise ValueError("Its first packet is no key frame.")
    nothing = np.zeros(0, np.int64)
    return Seeking(np.array(places, np.int64), nothing, nothing, _bytes(path), *told), keys


def _order(file: int, seeking: Seeking, marks: Sequence[int], show_life: Life) -> tuple[list[int], int]:
    """Returns the packets of the frames, in the order in which they are shown, and the number of quarter turns.

    It raises ValueError if the pixels differ from those of the whole pass.
    """
    every, order, turn = range(len(seeking.packets)), list[int](), 0
    for packet, frame in decoded(file, seeking, every, every):
        show_life()
        image = pixels(frame)
        if not order:
            turn = next((turn for turn in range(4) if _mark(turned(image, turn)) == marks[0]), 0)
        if len(order) == len(marks) or _mark(turned(image, turn)) != marks[len(order)]:
            raise ValueError("Packets give other pixels than a whole pass.")
        order.append(packet)
    # Each packet must hold exactly one frame.
    if not len(order) == len(set(order)) == len(marks) == len(seeking.packets):
        raise ValueError("Packets and frames don't correspond.")
    return order, turn


def _with_starts(
    file: int, seeking: Seeking, keys: Sequence[int], mark_of: dict[int, int], show_life: Life
) -> Seeking | None:
    """Adds, for each frame, the packet from which decoding gives its exact pixels.

    It returns None if leaving frames out changes others. Only frames to which others refer, and some of the others, are
    decoded here. If all of them are right from a key frame on, the decoder is in the right state, so all later frames
    are right too. There is one exception: frames that follow a key frame in the file, but are shown before it, may
    refer to frames before it. They are decoded from the key frame before.
    """
    shown = {packet: number for number, packet in enumerate(seeking.packet_of.tolist())}
    start_of, before = dict.fromkeys(shown, 0), 0
    for key, following in pairwise([*keys, len(seeking.packets)]):
        group = range(key, following)
        leading = {packet for packet in group if shown[packet] < shown[key]}
        wanted = {packet for packet in group if packet % _SOME == 0} - leading
        found = {}
        for packet, frame in decoded(file, seeking, group, wanted):
            show_life()
            found[packet] = _mark(turned(pixels(frame), seeking.turn))
        wrong = {packet for packet in wanted | found.keys() - leading if found.get(packet) != mark_of[packet]}
        if wrong and (seeking.skips or key == 0):
            return None
        start = before if wrong else key
        start_of.update((packet, before if packet in leading else start) for packet in group)
        before = start
    return replace(seeking, start_of=np.array([start_of[packet] for packet in seeking.packet_of.tolist()], np.int64))


def _mark(frame: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(frame).data)


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
