"""Stopping gently: the first Ctrl-C ends the training after its step, the second one at once."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from streams.config import TrainConfig
from streams.training.machines import this_part


class Stop:
    """Whether somebody asked the training to stop."""

    requested = False


class StoppedError(KeyboardInterrupt):
    """A training was asked to stop, has saved what it had done, and says how to go on."""


def same_command(config: TrainConfig, *, begun: bool = True) -> str:
    """Returns what is to be typed to go on with a training, or to start it yet, as the subject of a sentence."""
    where = " on every machine" if this_part()[1] > 1 else ""
    return f"The same command{where}{' without --again' if config.again and begun else ''}"


@contextlib.contextmanager
def listening_for_stop() -> Iterator[Stop]:
    """Gives a `Stop` that the first Ctrl-C, or a scheduler's SIGTERM, sets; a second one interrupts at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # Only the main thread may listen to signals.
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True
        print("\nStopping after this step. Once more stops at once, and loses what is not saved.", flush=True)

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
