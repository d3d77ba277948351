"""A video becomes the views of its streams in one pass, with the very pixels that prepared data would hold.

Frames are resized, flow is computed and quantised, and both go through JPEG as they do on disk, so that a network sees
in use what it saw in training. Only what some view needs is computed, and only a few frames are held at any time.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, repeat
from typing import NamedTuple

import cv2
import numpy as np

from commands.running import usable_processors
from data import flow
from data.recipe import JPEG_QUALITY
from fusion.making import Making
from pipelines.inputs import Input

# Frames that are decoded at a time: enough for every core to have a stretch of flow of its own.
CHUNK = 16


class View(NamedTuple):
    """One clip of a stream: whole frames, as the network's pipeline would give them."""

    stream: str
    number: int
    pixels: np.ndarray  # uint8[H, W, channels]


@dataclass(frozen=True)
class Wanted:
    """What a stream wants to see of a video: clips of one kind, by the item that each starts with."""

    clip: Input
    starts: np.ndarray  # Each once; a short video has fewer of them than views.
    of_view: np.ndarray | slice = field(default_factory=lambda: slice(None))  # Which of them each view is.


@dataclass
class Stopwatch:
    """Adds up how long the stages of a prediction take."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts the time that the block takes for a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def video_views(
    frames: Iterable[np.ndarray], num_frames: int, wanted: Mapping[str, Wanted], making: Making, watch: Stopwatch
) -> Iterator[View]:
    """Yields the views of all streams as soon as their last frame has come."""
    collectors = [_Collector(name, request, num_frames, making) for name, request in wanted.items()]
    needed = {kind: set().union(*(each.needed(kind) for each in collectors)) for kind in (*READING, *_FLOW)}
    cv2.setNumThreads(1)  # DIS gives other flow on other numbers of threads; the cores work side by side below.
    source, before, first = iter(frames), list[np.ndarray](), 0
    with ThreadPoolExecutor(usable_processors()) as pool:
        while True:
            with watch.stage("decode"):
                chunk = list(islice(source, CHUNK))
            if not chunk:
                return
            known, offset = [*before, *chunk], first - len(before)
            items: dict[str, dict[int, np.ndarray]] = {}
            with watch.stage("flow"):
                for kind in _FLOW:
                    items[kind] = _fields(known, offset, needed[kind], making, pool, is_backward=kind == "backward")
            with watch.stage("frames"):
                for kind in READING:
                    items[kind] = _pictures(chunk, first, needed[kind], kind, pool)
            for collector in collectors:
                yield from collector.complete(items)
            before, first = known[-making.step :], first + len(chunk)


# What a view is made of: frames as OpenCV reads their JPEG, and flow either way.
READING = {"colour": cv2.IMREAD_COLOR_RGB, "grey": cv2.IMREAD_GRAYSCALE}
_FLOW = ("forward", "backward")


def kinds_of_items(clip: Input, making: Making) -> list[str]:
    """Returns of which kind each item of a clip is, in the order of its channels."""
    if not clip.is_flow:
        return ["colour" if clip.is_colour else "grey"] * clip.num_items
    forward = (clip.num_items + 1) // 2 if _has_backward(clip, making) else clip.num_items
    return ["forward"] * forward + ["backward"] * (clip.num_items - forward)


def clip_of(items: Sequence[np.ndarray], clip: Input, making: Making) -> np.ndarray:
    """Returns a clip, uint8[H, W, channels], of its items as they are stored, in the order of its channels."""
    if clip.kind not in ("bidirectional", "trajectory"):  # Channels as they come, without a detour.
        return np.concatenate(items, axis=-1)
    import tensorflow as tf

    from pipelines.assemble import channel_planes, join

    planes = [tf.constant(item[..., axis : axis + 1]) for item in items for axis in (0, 1)]
    channels = channel_planes(planes, clip, making.rule, making.bound, _has_backward(clip, making))
    joined: np.ndarray = join(channels).numpy()
    return joined


def stored_picture(frame: np.ndarray, kind: str) -> np.ndarray:
    """Returns an RGB frame as it comes back from its JPEG file, in colour or as the luma."""
    picture = _through_jpeg(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), READING[kind])
    return picture.reshape(*picture.shape[:2], -1)


def stored_field(field: np.ndarray, making: Making) -> np.ndarray:
    """Returns the levels of a field in pixels as they come back from their JPEG files, uint8[H, W, 2]."""
    levels = flow.quantise(field, making.bound, making.rule)
    planes = [_through_jpeg(np.ascontiguousarray(levels[..., axis]), cv2.IMREAD_GRAYSCALE) for axis in (0, 1)]
    return np.stack(planes, axis=-1)


class _Collector:
    """Gathers the items of one stream's views and gives each view out when it is whole."""

    def __init__(self, stream: str, wanted: Wanted, num_frames: int, making: Making) -> None:
        from pipelines.sampling import clip_offsets  # Brings TensorFlow, which --help does without.

        self.stream, self.clip, self.making = stream, wanted.clip, making
        offsets = clip_offsets(wanted.clip)
        num_items = num_frames - making.step if wanted.clip.is_flow else num_frames
        # A video that is too short starts again from its beginning, as in training.
        self._of_view = (np.asarray(wanted.starts)[:, None] + offsets) % max(num_items, 1)
        self._kinds = kinds_of_items(wanted.clip, making)
        self._items: dict[tuple[str, int], np.ndarray] = {}
        self._next = 0

    def needed(self, kind: str) -> set[int]:
        """Returns the items of a kind that some view has."""
        places = [place for place, this in enumerate(self._kinds) if this == kind]
        return set(self._of_view[:, places].ravel().tolist())

    def complete(self, items: Mapping[str, Mapping[int, np.ndarray]]) -> Iterator[View]:
        """Takes in the items that have come and yields the views that are whole now, in order."""
        for kind in set(self._kinds):
            self._items.update(((kind, index), item) for index, item in items[kind].items())
        while self._next < len(self._of_view):
            keys = list(zip(self._kinds, self._of_view[self._next].tolist(), strict=True))
            if any(key not in self._items for key in keys):
                break
            yield View(self.stream, self._next, clip_of([self._items[key] for key in keys], self.clip, self.making))
            self._next += 1
        still_needed = self._of_view[self._next :]
        earliest = still_needed.min() if still_needed.size else np.inf
        self._items = {key: item for key, item in self._items.items() if key[1] >= earliest}


def _fields(
    frames: Sequence[np.ndarray],
    offset: int,
    needed: set[int],
    making: Making,
    pool: ThreadPoolExecutor,
    *,
    is_backward: bool = False,
) -> dict[int, np.ndarray]:
    """Returns the needed fields that start at these frames as uint8[H, W, 2] levels; `offset` is the first's index."""
    starts = [place for place in range(len(frames) - making.step) if place + offset in needed]
    if making.step > 1:
        parts = [[place] for place in starts]
    else:
        split = [part for run in _runs(starts) for part in np.array_split(run, usable_processors())]
        parts = [part.tolist() for part in split if len(part)]
    onward = -1 if is_backward else 1

    def solve(part: list[int]) -> list[np.ndarray]:
        stretch = [frames[place] for place in (*part, part[-1] + making.step)][::onward]
        fields = flow.flow_of_video(stretch, making.method, making.preset, **making.parameters)
        return [stored_field(field, making) for field in fields][::onward]

    solved = zip(parts, pool.map(solve, parts), strict=True)
    return {place + offset: levels for part, fields in solved for place, levels in zip(part, fields, strict=True)}


def _pictures(
    frames: Sequence[np.ndarray], first: int, needed: set[int], kind: str, pool: ThreadPoolExecutor
) -> dict[int, np.ndarray]:
    """Returns the needed ones of these frames as they come back from their JPEG files, in colour or as its luma."""

    chosen = [index for index in range(first, first + len(frames)) if index in needed]
    stored = pool.map(stored_picture, (frames[index - first] for index in chosen), repeat(kind))
    return dict(zip(chosen, stored, strict=True))


def _runs(places: Sequence[int]) -> list[np.ndarray]:
    """Parts sorted numbers wherever one is left out."""
    numbers = np.asarray(places, np.int64)
    return np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1) if len(numbers) else []


def _has_backward(clip: Input, making: Making) -> bool:
    # Where backward flow is not stored, the pipelines take the opposite of the forward flow for it.
    return clip.kind == "bidirectional" and making.backward


def _through_jpeg(image: np.ndarray, mode: int) -> np.ndarray:
    """Writes and reads a JPEG in memory; OpenCV's decoder gives the same bits as the pipelines' does."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    decoded = cv2.imdecode(data, mode)
    if decoded is None:
        raise ValueError(f"A frame of {image.shape[1]}x{image.shape[0]} pixels can't go through JPEG.")
    return decoded
