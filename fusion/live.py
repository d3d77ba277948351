"""A camera or a stream, looked at as it comes: a short memory of frames and flow, a decision a few times a second."""

import dataclasses
import stat
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from data import flow
from data.video import resized, sample_frames
from fusion.making import Making
from fusion.prediction import fused
from fusion.two_stream import TwoStream
from fusion.video_views import clip_of, kinds_of_items, stored_field, stored_picture
from pipelines.inputs import Input

# What flow falls back to, and the pairs after which it is judged; the first one also pays for compiling.
QUICK = "dis"
JUDGED_AFTER = 4
# Frames that may wait: more would only be looked at later, and it is now that matters.
WAITING = 4


@dataclass(frozen=True)
class Glance:
    """What the streams say at one moment of a live source."""

    seconds: float  # Since the first frame.
    top: tuple[tuple[str, float], ...]
    latency: float  # Seconds from the arrival of the newest frame to this decision.
    frames: int  # That came so far.
    dropped: int  # Of them, those that there was no time for.
    method: str
    note: str = ""


class Source:
    """Reads frames in a thread of its own and keeps the newest few; older ones that nobody took are dropped."""

    def __init__(self, name: str, making: Making) -> None:
        self._capture = cv2.VideoCapture(int(name)) if name.isdigit() else cv2.VideoCapture(name)
        if not self._capture.isOpened():
            raise ValueError(f"The source {name} can't be opened. Name a camera's number, a URL, a pipe or a file.")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.frame_rate = rate if 0 < rate < 1000 else 25.0
        self.frames = self.dropped = 0
        self._making = making
        # A file is played at its own frame rate; a camera has one anyway.
        self._is_file = not name.isdigit() and Path(name).exists() and stat.S_ISREG(Path(name).stat().st_mode)
        self._waiting: deque[tuple[float, np.ndarray]] = deque()
        self._arrived = threading.Condition()
        self._is_over = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def take(self) -> tuple[float, np.ndarray] | None:
        """Returns when the oldest frame that waits arrived, and the frame; None once the source is over."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._waiting or self._is_over)
            return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """Stops reading."""
        self._is_over = True
        self._thread.join(timeout=5)
        self._capture.release()

    def _read(self) -> None:
        making = self._making
        kept = sample_frames(self._timed(), every=making.every, fps=making.fps, frame_rate=self.frame_rate)
        for frame in kept:
            sized = resized(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), making.short_side, making.size)
            with self._arrived:
                self.frames += 1
                self._waiting.append((time.monotonic(), sized))
                if len(self._waiting) > WAITING:
                    self._waiting.popleft()
                    self.dropped += 1
                self._arrived.notify()
        with self._arrived:
            self._is_over = True
            self._arrived.notify()

    def _timed(self) -> Iterator[tuple[float, np.ndarray]]:
        start, count = time.monotonic(), 0
        while not self._is_over:
            decoded, frame = self._capture.read()
            if not decoded:
                return
            if self._is_file:
                time.sleep(max(0.0, start + count / self.frame_rate - time.monotonic()))
            count += 1
            yield time.monotonic() - start, frame


@dataclass
class _Memory:
    """The newest frames and fields that clips are made of."""

    making: Making
    kinds: set[str]
    length: int
    items: dict[str, deque[np.ndarray]] = field(default_factory=dict)
    frames: deque[np.ndarray] = field(default_factory=deque)
    flow_seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.items = {kind: deque(maxlen=self.length) for kind in self.kinds}
        self.frames = deque(maxlen=self.making.step + 1)

    def add(self, frame: np.ndarray) -> None:
        """Takes in a frame, and the flow that leads to it."""
        self.frames.append(frame)
        for kind in self.kinds & {"colour", "grey"}:
            self.items[kind].append(stored_picture(frame, kind))
        if len(self.frames) <= self.making.step or not self.kinds & {"forward", "backward"}:
            return
        start = time.perf_counter()
        pair = {"forward": (self.frames[0], frame), "backward": (frame, self.frames[0])}
        for kind in self.kinds & set(pair):
            making = self.making
            motion = flow.flow_between(*pair[kind], making.method, making.preset, **making.parameters)
            self.items[kind].append(stored_field(motion, making))
        self.flow_seconds.append(time.perf_counter() - start)

    def use(self, method: str) -> None:
        """Computes flow by another method from now on."""
        self.making = dataclasses.replace(self.making, method=method, preset="balanced", parameters={})
        self.flow_seconds.clear()


def watch(
    two_stream: TwoStream, name: str, *, rate: float = 4.0, window: float = 2.0, top: int = 3
) -> Iterator[Glance]:
    """Yields what the streams say of a live source, up to `rate` times a second, over the last `window` seconds.

    Where flow can't keep up with the source it is computed by DIS from then on, and the next glance says so.
    """
    cv2.setNumThreads(1)
    making = two_stream.making
    clips = {stream: two_stream.clip(stream) for stream in two_stream.cards}
    # All is compiled before the first frame, which would wait for it.
    if two_stream.uses_flow:
        still = np.zeros((64, 64), np.uint8)
        flow.flow_between(still, still, making.method, making.preset, **making.parameters)
    for network in two_stream.scorers:
        shapes = [two_stream.inputs[stream].shape[1:] for stream in two_stream.looks_at(network)]
        two_stream.score(network, *(np.zeros((1, *shape), np.uint8) for shape in shapes))
    kinds = {kind for clip in clips.values() for kind in kinds_of_items(clip, making)}
    memory = _Memory(making, kinds, max(clip.span for clip in clips.values()))
    recent: deque[tuple[float, dict[str, np.ndarray]]] = deque()
    source, note = Source(name, making), ""
    started = arrived = last = -np.inf

    def look() -> Glance:
        logits = {network: _score(two_stream, network, clips, memory) for network in two_stream.scorers}
        recent.append((arrived, logits))
        while recent[0][0] < arrived - window:
            recent.popleft()
        means = {stream: np.mean([past[stream] for _, past in recent], axis=0) for stream in logits}
        return Glance(
            seconds=arrived - started,
            top=_best(two_stream, means, top),
            latency=time.monotonic() - arrived,
            frames=source.frames,
            dropped=source.dropped,
            method=memory.making.method,
            note=note,
        )

    try:
        while taken := source.take():
            arrived, frame = taken
            started = started if np.isfinite(started) else arrived
            memory.add(frame)
            if _is_too_slow(memory, source.frame_rate):
                note = f"{memory.making.method} can't keep up with {source.frame_rate:.3g} frames a second: now {QUICK}"
                memory.use(QUICK)
            if arrived - last >= 1 / rate and _is_full(memory, clips):
                last = arrived
                yield look()
                note = ""
        if arrived > last and _is_full(memory, clips):  # What came since the last look, at the end of the source.
            yield look()
    finally:
        source.close()


def _is_too_slow(memory: _Memory, frame_rate: float) -> bool:
    """Tells whether flow takes longer than a frame lasts, judged by the quickest half of some pairs."""
    judged = memory.flow_seconds[1:]
    if len(judged) < JUDGED_AFTER or memory.making.method == QUICK:
        # Without waiting for all of them where even one takes ten times too long.
        return memory.making.method != QUICK and any(seconds > 10 / frame_rate for seconds in judged)
    return float(np.median(judged[-2 * JUDGED_AFTER :])) > 1 / frame_rate


def _is_full(memory: _Memory, clips: Mapping[str, Input]) -> bool:
    needed = {kind: clip.span for clip in clips.values() for kind in kinds_of_items(clip, memory.making)}
    return all(len(memory.items[kind]) >= span for kind, span in needed.items())


def _score(two_stream: TwoStream, name: str, clips: Mapping[str, Input], memory: _Memory) -> np.ndarray:
    newest = [_newest(clips[stream], memory)[None] for stream in two_stream.looks_at(name)]
    logits: np.ndarray = two_stream.score(name, *newest)[0]
    return logits


def _newest(clip: Input, memory: _Memory) -> np.ndarray:
    """Returns the clip that ends with the newest frame."""
    from pipelines.sampling import clip_offsets

    kinds = kinds_of_items(clip, memory.making)
    items = [
        memory.items[kind][len(memory.items[kind]) - clip.span + int(offset)]
        for kind, offset in zip(kinds, clip_offsets(clip), strict=True)
    ]
    return clip_of(items, clip, memory.making)


def _best(two_stream: TwoStream, logits: dict[str, np.ndarray], count: int) -> tuple[tuple[str, float], ...]:
    shares = list(fused(logits, any(card.multi_label for card in two_stream.cards.values())).values())[-1]
    order = np.argsort(-shares, kind="stable")[:count]
    return tuple((two_stream.classes[index], float(shares[index])) for index in order)
