"""Runs a function in a separate process, so that a crash or a hang loses only one job.

Dask restarts a worker that dies, but gives up when several die quickly, and results that the dead worker still held are
lost. So each worker runs its jobs in a companion process, and replaces only that.
"""

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from commands.files import project_on_path

ATTEMPTS = 2  # A crash may have had another cause than the video, so each gets a second chance.
BEAT = b""  # Sent by a process that is slow but alive.
SECONDS_A_BEAT = 1.0


class LostError(RuntimeError):
    """The reason why a job has no result: its process crashed every time, or hung."""


def run_apart(work: bytes, time_limit: float = 0.0) -> object:
    """Calls the pickled `(function, job)` as `function(job, show_life)`; returns the result, or a `LostError`.

    A job that crashes is tried once more. A job counts as hung if it does not call `show_life` for `time_limit`
    seconds (0 waits for ever). Exceptions of the function are raised here.
    """
    for _ in range(ATTEMPTS):
        connection = _companion.connection()
        try:
            connection.send_bytes(work)
            while connection.poll(time_limit or None):
                answer = connection.recv_bytes()
                if answer != BEAT:
                    result, error = pickle.loads(answer)
                    if error:
                        raise error
                    return result
        except (EOFError, ConnectionError, BrokenPipeError):
            _companion.end()
            continue
        _companion.end()
        return LostError(f"The decoder hung: no new frame within {time_limit:g} seconds.")
    return LostError(f"The decoder crashed {ATTEMPTS} times.")


def serve(socket_number: int) -> None:
    """Runs the jobs that arrive, in the companion process, until its parent is gone."""
    connection = Connection(socket_number)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the command, which then ends this process.
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            function, job = pickle.loads(connection.recv_bytes())
            connection.send_bytes(pickle.dumps(_answer(function, job, _beats(connection))))


class _Companion:
    """The companion of this process, started when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def connection(self) -> Connection:
        if self._connection is None:
            ours, theirs = socket.socketpair()
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from data.extraction.own_process import serve; serve({theirs.fileno()})"],
                pass_fds=[theirs.fileno()],
                env=project_on_path(),
            )
            theirs.close()
            self._connection = Connection(ours.detach())
        return self._connection

    def end(self) -> None:
        if self._process is not None and self._connection is not None:
            self._connection.close()
            self._process.kill()
            self._process.wait()
        self._process = self._connection = None


_companion = _Companion()


def _answer(
    function: Callable[[object, Callable[[], None]], object], job: object, show_life: Callable[[], None]
) -> tuple[object, Exception | None]:
    try:
        return function(job, show_life), None
    except Exception as error:
        return None, error


def _beats(connection: Connection) -> Callable[[], None]:
    last = [0.0]

    def show_life() -> None:
        if time.monotonic() - last[0] > SECONDS_A_BEAT:
            last[0] = time.monotonic()
            connection.send_bytes(BEAT)

    return show_life


def _end_with(parent: int) -> None:
    """Ends this process once its parent is gone, even while a job hangs."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
