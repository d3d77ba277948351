"""Recognises actions in a live source: decides several times per second, from the newest frames and flow."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from data import flow
from fusion.live.memory import LiveMemory
from fusion.live.source import LiveSource
from fusion.prediction.over_time.timeline import Timeline
from fusion.prediction.prediction import FUSED, Json, best, fused
from fusion.two_stream import TwoStream

# Called for each frame that was looked at, with the frame in its own size, the flow that leads to it, and the source.
See = Callable[[np.ndarray, np.ndarray | None, LiveSource], None]


@dataclass(frozen=True)
class Pace:
    """The rhythm of live decisions: the time between them, the window they average, and their delay."""

    every: float = 0.25  # Seconds.
    window: float = 2.0
    delay: float = 0.0  # Seconds to wait, so that a decision also sees this much of what followed its moment.
    crops: int = 1


@dataclass(frozen=True)
class Glance:
    """The decision about one moment of a live source."""

    seconds: float  # The moment that it is about, counted from the first frame.
    top: tuple[tuple[str, float], ...]
    unsure: bool
    latency: float  # Seconds from the arrival of the newest frame to this decision.
    delay: float  # Seconds from the moment to the decision: the chosen delay and the latency.
    frames: int  # Frames that have arrived so far.
    dropped: int  # Frames among these that were skipped for lack of time.
    method: str
    line: Timeline  # The probabilities of each stream at this moment alone.
    logits: Mapping[str, np.ndarray]  # For the newest clips.
    arrived: float  # Seconds from the first frame to the newest one.
    note: str = ""

    def as_dictionary(self) -> Json:
        """Returns the values that JSON output contains."""
        return {
            "seconds": round(self.seconds, 3),
            "top": [[label, round(share, 6)] for label, share in self.top],
            "unsure": self.unsure,
            "latency": round(self.latency, 4),
            "delay_ms": round(1000 * self.delay),
            "frames": self.frames,
            "dropped": self.dropped,
            "method": self.method,
            "note": self.note,
        }


def watch(
    two_stream: TwoStream, source: LiveSource, pace: Pace, *, top: int = 3, see: See | None = None
) -> Iterator[Glance]:
    """Yields decisions about a live source; each uses only frames that had arrived when it was made.

    If flow is slower than the source, the faster DIS computes it from then on, and the next decision carries a note.
    """
    cv2.setNumThreads(1)
    memory = LiveMemory(two_stream.making, [two_stream.clip(stream) for stream in two_stream.cards])
    look = _Look(two_stream, source, memory, pace, top)
    arrived, last = -np.inf, -np.inf
    note = ""
    while taken := source.take():
        arrived, frame, original = taken
        look.begin(arrived)
        memory.add(frame)
        if see:
            see(original, memory.newest_field(), source)
        note = memory.keep_up(source.frame_rate) or note
        if arrived - last >= pace.every and memory.is_full:
            last = arrived
            yield look.at(arrived, note)
            note = ""
    if arrived > last and memory.is_full:  # At the end: frames that came after the last decision.
        yield look.at(arrived, note)


def compile_networks(two_stream: TwoStream, crops: int = 1) -> None:
    """Compiles the networks and the flow in advance, so that the first frame needn't wait for that."""
    making = two_stream.making
    if two_stream.uses_flow:
        blank = np.zeros((64, 64), np.uint8)
        flow.flow_between(blank, blank, making.method, making.preset, **making.parameters)
    for network in two_stream.scorers:
        shapes = [two_stream.inputs[stream].shape[1:] for stream in two_stream.looks_at(network)]
        two_stream.score(network, *(np.zeros((1, *shape), np.uint8) for shape in shapes), crops=crops)


class _Look:
    """Makes decisions from a memory of the newest frames."""

    def __init__(self, two_stream: TwoStream, source: LiveSource, memory: LiveMemory, pace: Pace, top: int) -> None:
        self._two_stream, self._source, self._memory, self._pace, self._top = two_stream, source, memory, pace, top
        self._recent = _Recent(pace.window)
        self._started: float | None = None

    def begin(self, arrived: float) -> None:
        """Starts the clock at the first frame."""
        self._started = arrived if self._started is None else self._started

    def at(self, arrived: float, note: str) -> Glance:
        """Returns the decision for this time of arrival."""
        two_stream, passed = self._two_stream, arrived - (self._started or arrived)
        logits = self._logits()
        means = self._recent.means_with(arrived, logits)
        shares = fused(means, two_stream.is_multi_label, two_stream.fusion)
        doubt = two_stream.fusion.doubt
        moment, verdict = max(0.0, passed - self._pace.delay), list(shares.values())[-1]
        line = Timeline(
            two_stream.classes,
            passed,
            np.array([moment]),
            {name: each[None] for name, each in shares.items()},
            doubt.below if doubt else None,
        )
        latency = time.monotonic() - arrived
        return Glance(
            seconds=moment,
            top=tuple(best(verdict, two_stream.classes, self._top)),
            unsure=FUSED in shares and line.below is not None and float(verdict.max()) < line.below,
            latency=latency,
            delay=latency + self._pace.delay,
            frames=self._source.frames,
            dropped=self._source.dropped,
            method=self._memory.making.method,
            line=line,
            logits=logits,
            arrived=passed,
            note=note,
        )

    def _logits(self) -> dict[str, np.ndarray]:
        """Returns the logits of each network for the newest clips."""
        two_stream = self._two_stream
        return {
            network: two_stream.score(
                network,
                *(self._memory.newest(two_stream.clip(stream))[None] for stream in two_stream.looks_at(network)),
                crops=self._pace.crops,
            )[0]
            for network in two_stream.scorers
        }


class _Recent:
    """The logits of each network for the past seconds."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._past: deque[tuple[float, Mapping[str, np.ndarray]]] = deque()

    def means_with(self, moment: float, logits: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Adds the logits of a moment, and returns the means over the window that ends at it."""
        self._past.append((moment, logits))
        while self._past[0][0] <= moment - self._window and len(self._past) > 1:
            self._past.popleft()
        return {network: np.mean([past[network] for _, past in self._past], axis=0) for network in logits}
