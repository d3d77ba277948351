"""Turns a video into the views of its streams in one pass, with exactly the pixels that prepared data would have.

Frames are resized, flow is computed and quantised, and both pass through JPEG as they do on disk. So a network sees in
use what it saw in training. Only what some view needs is computed, and only a few frames are in memory at any time.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np

from commands.running import usable_processors
from data.extraction.on_demand.items import FLOW, READING
from data.store.description import Recipe
from fusion.prediction.as_stored import joined, kinds_of_items, stored_fields, stored_pictures
from pipelines.inputs import Input
from pipelines.sampling import clip_offsets, view_starts

# The number of frames that are decoded at once: enough for each core to compute flow for some of them.
CHUNK = 16


class View(NamedTuple):
    """One clip of a stream: whole frames, as the training pipeline would give them."""

    stream: str
    number: int
    pixels: np.ndarray  # uint8[H, W, channels]


@dataclass(frozen=True)
class Wanted:
    """The clips that a stream needs of a video: their kind, and the first item of each."""

    clip: Input
    starts: np.ndarray  # Without repetitions: a short video has fewer starts than views.
    of_view: np.ndarray | slice = field(default_factory=lambda: slice(None))  # For each view, the index of its start.


@dataclass(frozen=True)
class Spread:
    """The positions of views in a video: evenly spaced as in evaluation, or one every few seconds."""

    views: int = 25
    hop: float | None = None  # Seconds from view to view. None means `views` views, however long the video is.

    def __post_init__(self) -> None:
        """Raises ValueError for a spread without views."""
        if self.views < 1:
            raise ValueError(f"A video needs at least 1 view. Received views={self.views}.")
        if self.hop is not None and not self.hop > 0:
            raise ValueError(f"The time from view to view must be above 0. Received hop={self.hop:g} seconds.")

    def starts(self, num_items: int, span: int, frame_rate: float) -> np.ndarray:
        """Returns the first item of each view."""
        if self.hop is None:
            return view_starts(num_items, span, self.views)
        latest = max(num_items - span, 0)
        return np.round(np.arange(0, latest + 1, max(self.hop * frame_rate, 1))).astype(np.int64)


@dataclass
class Stopwatch:
    """Adds up the durations of the stages of a prediction."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the duration of the block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def video_views(
    frames: Iterable[np.ndarray],
    num_frames: int,
    wanted: Mapping[str, Wanted],
    making: Recipe,
    watch: Stopwatch,
    at_once: int = CHUNK,
) -> Iterator[View]:
    """Yields each view of all streams as soon as its last frame has come. Frames are decoded in small batches."""
    collectors = [_Collector(name, request, num_frames, making) for name, request in wanted.items()]
    needed = {kind: set().union(*(each.needed(kind) for each in collectors)) for kind in (*READING, *FLOW)}
    cv2.setNumThreads(1)  # The result of DIS depends on its number of threads. The pool below uses the cores instead.
    source, before, first = iter(frames), list[np.ndarray](), 0
    with ThreadPoolExecutor(usable_processors()) as pool:
        while True:
            with watch.stage("decode"):
                chunk = list(islice(source, at_once))
            if not chunk:
                return
            known, offset = [*before, *chunk], first - len(before)
            items: dict[str, dict[int, np.ndarray]] = {}
            with watch.stage("flow"):
                for kind in FLOW:
                    items[kind] = stored_fields(known, offset, needed[kind], kind, making, pool)
            with watch.stage("frames"):
                for kind in READING:
                    items[kind] = stored_pictures(chunk, first, needed[kind], kind, making, pool)
            for collector in collectors:
                yield from collector.complete(items)
            before, first = known[-making.step :], first + len(chunk)


class _Collector:
    """Collects the items of one stream's views, and yields each view when it is complete."""

    def __init__(self, stream: str, wanted: Wanted, num_frames: int, making: Recipe) -> None:
        self.stream, self.clip, self.making = stream, wanted.clip, making
        offsets = clip_offsets(wanted.clip)
        num_items = num_frames - making.step if wanted.clip.is_flow else num_frames
        # A video that is too short is repeated from its beginning, as in training.
        self._of_view = (np.asarray(wanted.starts)[:, None] + offsets) % max(num_items, 1)
        self._kinds = kinds_of_items(wanted.clip, making)
        self._items: dict[tuple[str, int], np.ndarray] = {}
        self._next = 0

    def needed(self, kind: str) -> set[int]:
        """Returns the items of a kind that some view needs."""
        places = [place for place, this in enumerate(self._kinds) if this == kind]
        return set(self._of_view[:, places].ravel().tolist())

    def complete(self, items: Mapping[str, Mapping[int, np.ndarray]]) -> Iterator[View]:
        """Adds items, and yields in order the views that they complete."""
        for kind in set(self._kinds):
            self._items.update(((kind, index), item) for index, item in items[kind].items())
        while self._next < len(self._of_view):
            keys = list(zip(self._kinds, self._of_view[self._next].tolist(), strict=True))
            if any(key not in self._items for key in keys):
                break
            yield View(self.stream, self._next, joined([self._items[key] for key in keys], self.clip, self.making))
            self._next += 1
        still_needed = self._of_view[self._next :]
        earliest = still_needed.min() if still_needed.size else np.inf
        self._items = {key: item for key, item in self._items.items() if key[1] >= earliest}
