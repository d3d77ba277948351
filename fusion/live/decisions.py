"""Recognises actions in a live source: makes a decision several times per second from the newest frames and flow."""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from data import flow
from fusion.live.memory import LiveMemory
from fusion.live.source import LiveSource
from fusion.prediction.prediction import best, fused
from fusion.two_stream import TwoStream


@dataclass(frozen=True)
class Glance:
    """The decision at one moment of a live source."""

    seconds: float  # Time since the first frame.
    top: tuple[tuple[str, float], ...]
    latency: float  # Latency: seconds from the arrival of the newest frame to this decision.
    frames: int  # Frames that have arrived so far.
    dropped: int  # Frames among them that were skipped for lack of time.
    method: str
    note: str = ""


def watch(
    two_stream: TwoStream, name: str, *, rate: float = 4.0, window: float = 2.0, top: int = 3
) -> Iterator[Glance]:
    """Yields decisions on a live source, up to `rate` per second, each over the last `window` seconds.

    If flow can't keep up with the source, it is computed by the faster DIS from then on, and the next glance says so.
    """
    cv2.setNumThreads(1)
    _compile(two_stream)  # Done before the first frame, which would otherwise wait for it.
    memory = LiveMemory(two_stream.making, [two_stream.clip(stream) for stream in two_stream.cards])
    recent = _Recent(window)
    source, note = LiveSource(name, two_stream.making), ""
    started, arrived, last = None, -np.inf, -np.inf

    def look() -> Glance:
        shares = _verdict(two_stream, recent.means_with(arrived, _logits(two_stream, memory)))
        return Glance(
            seconds=arrived - (started or arrived),
            top=tuple(best(shares, two_stream.classes, top)),
            latency=time.monotonic() - arrived,
            frames=source.frames,
            dropped=source.dropped,
            method=memory.making.method,
            note=note,
        )

    try:
        while taken := source.take():
            arrived, frame = taken
            started = started or arrived
            memory.add(frame)
            note = memory.keep_up(source.frame_rate) or note
            if arrived - last >= 1 / rate and memory.is_full:
                last = arrived
                yield look()
                note = ""
        if arrived > last and memory.is_full:  # At the end of the source, the frames since the last decision.
            yield look()
    finally:
        source.close()


class _Recent:
    """The logits of each network for the last seconds."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._past: deque[tuple[float, Mapping[str, np.ndarray]]] = deque()

    def means_with(self, moment: float, logits: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Adds the logits of a moment, and returns the means over the window that ends with it."""
        self._past.append((moment, logits))
        while self._past[0][0] < moment - self._window:
            self._past.popleft()
        return {network: np.mean([past[network] for _, past in self._past], axis=0) for network in logits}


def _compile(two_stream: TwoStream) -> None:
    making = two_stream.making
    if two_stream.uses_flow:
        blank = np.zeros((64, 64), np.uint8)
        flow.flow_between(blank, blank, making.method, making.preset, **making.parameters)
    for network in two_stream.scorers:
        shapes = [two_stream.inputs[stream].shape[1:] for stream in two_stream.looks_at(network)]
        two_stream.score(network, *(np.zeros((1, *shape), np.uint8) for shape in shapes))


def _verdict(two_stream: TwoStream, logits: Mapping[str, np.ndarray]) -> np.ndarray:
    return list(fused(logits, two_stream.is_multi_label, two_stream.fusion).values())[-1]


def _logits(two_stream: TwoStream, memory: LiveMemory) -> dict[str, np.ndarray]:
    """Returns the logits of each network for the newest clips."""
    return {
        network: two_stream.score(
            network, *(memory.newest(two_stream.clip(stream))[None] for stream in two_stream.looks_at(network))
        )[0]
        for network in two_stream.scorers
    }
