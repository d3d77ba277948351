"""Keeps the newest frames and flow fields of a live source, and makes clips of them."""

import dataclasses
import time
from collections import deque
from collections.abc import Iterable

import numpy as np

from data import flow
from data.extraction.on_demand.items import FLOW, READING, stored_field, stored_picture
from data.store.description import Recipe
from fusion.prediction.as_stored import joined, kinds_of_items
from pipelines.inputs import Input
from pipelines.sampling import clip_offsets

# The faster flow method to fall back to, and the number of pairs whose time is measured. The first pair is left out,
# because its time includes compiling.
QUICK = "dis"
JUDGED_AFTER = 4


class LiveMemory:
    """The newest frames and flow fields, as many as the longest clip needs."""

    def __init__(self, making: Recipe, clips: Iterable[Input]) -> None:
        self.making = making
        self._spans = {kind: clip.span for clip in clips for kind in kinds_of_items(clip, making)}
        self._items = {kind: deque[np.ndarray](maxlen=max(self._spans.values())) for kind in self._spans}
        self._frames = deque[np.ndarray](maxlen=making.step + 1)
        self._flow_seconds: list[float] = []

    @property
    def is_full(self) -> bool:
        """Tells whether there are enough frames for a clip of each kind."""
        return all(len(self._items[kind]) >= span for kind, span in self._spans.items())

    def add(self, frame: np.ndarray) -> None:
        """Adds a frame, and the flow that leads to it."""
        self._frames.append(frame)
        for kind in self._items.keys() & READING:
            self._items[kind].append(stored_picture(frame, kind, self.making))
        wanted = self._items.keys() & set(FLOW)
        if len(self._frames) <= self.making.step or not wanted:
            return
        start, making = time.perf_counter(), self.making
        pair = {"forward": (self._frames[0], frame), "backward": (frame, self._frames[0])}
        for kind in wanted:
            motion = flow.flow_between(*pair[kind], making.method, making.preset, **making.parameters)
            self._items[kind].append(stored_field(motion, making))
        self._flow_seconds.append(time.perf_counter() - start)

    def newest(self, clip: Input) -> np.ndarray:
        """Returns the clip that ends with the newest frame."""
        kinds = kinds_of_items(clip, self.making)
        items = [
            self._items[kind][len(self._items[kind]) - clip.span + int(offset)]
            for kind, offset in zip(kinds, clip_offsets(clip), strict=True)
        ]
        return joined(items, clip, self.making)

    def newest_field(self) -> np.ndarray | None:
        """Returns the newest forward flow in pixels, or None if no model uses it or there is none yet."""
        fields = self._items.get("forward")
        return flow.dequantise(fields[-1], self.making.bound, self.making.rule) if fields else None

    def keep_up(self, frame_rate: float) -> str:
        """Switches to a faster flow method if flow takes longer than a frame lasts. Returns a note about it, or ""."""
        if not self._is_too_slow(frame_rate):
            return ""
        note = f"{self.making.method} can't keep up with {frame_rate:.3g} frames per second; now {QUICK} is used"
        self.making = dataclasses.replace(self.making, method=QUICK, preset="balanced", parameters={})
        self._flow_seconds.clear()
        return note

    def _is_too_slow(self, frame_rate: float) -> bool:
        """Judges by the median time of several pairs, or at once if one pair takes ten times too long."""
        judged = self._flow_seconds[1:]
        if self.making.method == QUICK:
            return False
        if len(judged) < JUDGED_AFTER:
            return any(seconds > 10 / frame_rate for seconds in judged)
        return float(np.median(judged[-2 * JUDGED_AFTER :])) > 1 / frame_rate
