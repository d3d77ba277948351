"""Reads the frames of a live source (a camera, a stream, a pipe or a file) in a separate thread."""

import stat
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from data.extraction.decoder import resized, sample_frames
from data.store.description import Recipe

# The most frames that may wait. More of them would only delay decisions.
WAITING = 4


class LiveSource:
    """Reads frames in a separate thread and keeps the newest few. Older frames that nobody took are dropped."""

    def __init__(self, name: str, making: Recipe) -> None:
        self._capture = cv2.VideoCapture(int(name)) if name.isdigit() else cv2.VideoCapture(name)
        if not self._capture.isOpened():
            raise ValueError(
                f"The source {name} can't be opened. Expected the number of a camera, a URL, a pipe or a file."
            )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.frame_rate = rate if 0 < rate < 1000 else 25.0
        # The rate of the frames that models take.
        self.kept_rate = min(self.frame_rate, making.fps) if making.fps else self.frame_rate / making.every
        self.frames = self.dropped = 0
        self._making = making
        # A file is played at its own frame rate. A camera keeps its rate by itself.
        self._is_file = not name.isdigit() and Path(name).exists() and stat.S_ISREG(Path(name).stat().st_mode)
        self._waiting: deque[tuple[float, np.ndarray, np.ndarray]] = deque()
        self._arrived = threading.Condition()
        self._is_over = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def take(self) -> tuple[float, np.ndarray, np.ndarray] | None:
        """Returns the oldest waiting frame: its time, the frame for models, and the original. None at the end."""
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
            colours = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            sized = resized(colours, making.short_side, making.size, enlarge=making.enlarge)
            with self._arrived:
                self.frames += 1
                self._waiting.append((time.monotonic(), sized, colours))
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
