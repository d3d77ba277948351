"""Prints what a command is doing if it has printed nothing for some seconds."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

_PATIENCE = 2.0  # Seconds without output after which a line is printed; with the delays of a busy machine, 3.
# Logs are read later, so there each line comes after twice as long as the one before.
_OFTEN_FOR, _SELDOM = 120.0, 60.0


class Now:
    """The present activity of the command. Steps that may take seconds set `doing`; empty means that nobody waits."""

    doing = "Starting"


@contextlib.contextmanager
def breaking_silence() -> Iterator[None]:
    """Starts a thread that prints the present activity after a silence, unless TWO_STREAM_SILENT is set."""
    if os.environ.get("TWO_STREAM_SILENT"):
        yield
        return
    try:
        # A copy, because standard error is redirected while native libraries would print to it.
        copy = os.dup(sys.stderr.fileno())
    except (OSError, AttributeError):  # Standard error is neither a terminal nor a file.
        yield
        return
    with os.fdopen(copy, "w", encoding="utf-8", errors="replace") as said:
        voice = _Voice(said)
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = voice.noting(sys.stdout), voice.noting(sys.stderr)
        voice.thread.start()
        try:
            yield
        finally:
            voice.done.set()
            voice.thread.join()
            sys.stdout, sys.stderr = before


class _Voice:
    """Knows when something was last printed, and prints a line after a silence."""

    def __init__(self, said: TextIO) -> None:
        self.said, self.done = said, threading.Event()
        self.last = time.monotonic()  # The time of the last output.
        self.on_line = False  # Whether the terminal's cursor is after a line of ours.
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def noting(self, stream: TextIO) -> TextIO:
        """Returns the stream with a note-taker around it: what is written to it ends a silence."""
        return _Noted(stream, self)  # type: ignore[return-value]

    def heard(self) -> None:
        """Notes that something is printed, and removes our line before it."""
        with self.lock:
            self.last = time.monotonic()
            if self.on_line:
                self.on_line = False
                self.said.write("\r\x1b[K")
                self.said.flush()

    def _watch(self) -> None:
        spoke = 0.0  # The silence before our last line, in seconds.
        what, since = "", self.last
        while not self.done.wait(0.25):
            if Now.doing.partition(":")[0] != what:  # The part after a colon tells the progress.
                what, since = Now.doing.partition(":")[0], time.monotonic()
            with self.lock:
                silent = time.monotonic() - self.last
                spoke = 0.0 if silent < spoke else spoke
                if Now.doing and silent > _next(spoke, on_terminal=self.said.isatty()):
                    spoke = silent
                    self._say(f"{Now.doing} ... {time.monotonic() - since:.0f} s")
        self.heard()

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # Nobody may read the output any more.
            if self.said.isatty():
                self.said.write(f"\r\x1b[K{line}")
                self.on_line = True
            else:
                self.said.write(f"{line}\n")
            self.said.flush()


class _Noted:
    """A stream that reports when it is written to."""

    def __init__(self, stream: TextIO, voice: _Voice) -> None:
        self._stream, self._voice = stream, voice

    def write(self, text: str) -> int:
        """Writes to the stream."""
        if text:
            self._voice.heard()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _next(spoke: float, *, on_terminal: bool) -> float:
    """Returns the silence before the next line, if the last line came after `spoke` seconds."""
    if on_terminal and spoke:
        return spoke + 1
    return spoke + _PATIENCE if spoke < _OFTEN_FOR else spoke + min(spoke, _SELDOM)
