"""A video becomes the views of its streams in one pass, with the very pixels that prepared data would hold.

Frames are resized, flow is computed and quantised, and both go through JPEG as they do on disk, so that a network sees
in use what it saw in training. Only what some view needs is computed, and only a few frames are held at any time.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np

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
    collectors = [_Collector(name, request, num_frames, making.step) for name, request in wanted.items()]
    frames_needed = {index for collector in collectors if not collector.is_flow for index in collector.needed}
    fields_needed = {index for collector in collectors if collector.is_flow for index in collector.needed}
    cv2.setNumThreads(1)  # DIS gives other flow on other numbers of threads; the cores work side by side below.
    source, before, first = iter(frames), list[np.ndarray](), 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while True:
            with watch.stage("decode"):
                chunk = list(islice(source, CHUNK))
            if not chunk:
                return
            with watch.stage("flow"):
                known, offset = [*before, *chunk], first - len(before)
                fields = _fields(known, offset, fields_needed, making, pool)
            with watch.stage("frames"):
                chosen = [index for index in range(first, first + len(chunk)) if index in frames_needed]
                pictures = dict(zip(chosen, pool.map(_as_stored, (chunk[i - first] for i in chosen)), strict=True))
            for collector in collectors:
                yield from collector.complete(fields if collector.is_flow else pictures)
            before, first = known[-making.step :], first + len(chunk)


class _Collector:
    """Gathers the items of one stream's views and gives each view out when it is whole."""

    def __init__(self, stream: str, wanted: Wanted, num_frames: int, step: int) -> None:
        self.stream, self.clip = stream, wanted.clip
        self.is_flow = wanted.clip.is_flow
        num_items = num_frames - step if self.is_flow else num_frames
        offsets = np.arange(wanted.clip.num_items) * wanted.clip.stride
        # A video that is too short starts again from its beginning, as in training.
        self.items_of_view = (np.asarray(wanted.starts)[:, None] + offsets) % max(num_items, 1)
        self.needed = set(self.items_of_view.ravel().tolist())
        self._items: dict[int, np.ndarray] = {}
        self._next = 0

    def complete(self, items: Mapping[int, np.ndarray]) -> Iterator[View]:
        """Takes in the items that have come and yields the views that are whole now, in order."""
        self._items.update((index, item) for index, item in items.items() if index in self.needed)
        while self._next < len(self.items_of_view):
            indices = self.items_of_view[self._next].tolist()
            if any(index not in self._items for index in indices):
                break
            yield View(self.stream, self._next, np.concatenate([self._items[index] for index in indices], axis=-1))
            self._next += 1
        still_needed = self.items_of_view[self._next :]
        earliest = still_needed.min() if still_needed.size else np.inf
        self._items = {index: item for index, item in self._items.items() if index >= earliest}


def _fields(
    frames: Sequence[np.ndarray], offset: int, needed: set[int], making: Making, pool: ThreadPoolExecutor
) -> dict[int, np.ndarray]:
    """Returns the needed fields that start at these frames as uint8[H, W, 2] levels; `offset` is the first's index."""
    starts = [place for place in range(len(frames) - making.step) if place + offset in needed]
    if making.step > 1:
        parts = [[place] for place in starts]
    else:
        split = [part for run in _runs(starts) for part in np.array_split(run, os.cpu_count() or 1)]
        parts = [part.tolist() for part in split if len(part)]

    def solve(part: list[int]) -> list[np.ndarray]:
        stretch = [frames[place] for place in (*part, part[-1] + making.step)]
        return [
            _levels_as_stored(flow.quantise(field, making.bound, making.rule))
            for field in flow.flow_of_video(stretch, making.method, making.preset, **making.parameters)
        ]

    solved = zip(parts, pool.map(solve, parts), strict=True)
    return {place + offset: levels for part, fields in solved for place, levels in zip(part, fields, strict=True)}


def _runs(places: Sequence[int]) -> list[np.ndarray]:
    """Parts sorted numbers wherever one is left out."""
    numbers = np.asarray(places, np.int64)
    return np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1) if len(numbers) else []


def _as_stored(frame: np.ndarray) -> np.ndarray:
    """Returns an RGB frame as it comes back from its JPEG file."""
    stored = _through_jpeg(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), cv2.IMREAD_COLOR)
    return cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)


def _levels_as_stored(levels: np.ndarray) -> np.ndarray:
    planes = [_through_jpeg(np.ascontiguousarray(levels[..., axis]), cv2.IMREAD_GRAYSCALE) for axis in (0, 1)]
    return np.stack(planes, axis=-1)


def _through_jpeg(image: np.ndarray, mode: int) -> np.ndarray:
    """Writes and reads a JPEG in memory; OpenCV's decoder gives the same bits as the pipelines' does."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    decoded = cv2.imdecode(data, mode)
    if decoded is None:
        raise ValueError(f"A frame of {image.shape[1]}x{image.shape[0]} pixels can't go through JPEG.")
    return decoded
