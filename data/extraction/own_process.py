"""Runs a function in a process of its own that may crash or hang without anything else being lost.

Dask restarts workers that die, yet not when several die in quick succession, and what a dead worker had finished is
lost with it. So a worker keeps one such process beside it and replaces that alone.
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

ATTEMPTS = 2
BEAT = b""  # Sent by a process that is slow but alive.
SECONDS_A_BEAT = 1.0


class LostError(RuntimeError):
    """Says why a job has no result: what ran it crashed again and again, or hung."""


def run_apart(work: bytes, time_limit: float = 0.0) -> object:
    """Returns what the pickled `(function, job)` returns, called as `function(job, show_life)`, or a `LostError`.

    After a crash it is tried once more; it is taken for hung when `show_life` was not called for `time_limit`
    seconds (0: wait for ever). An exception of the function's is raised here.
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
    """Works off what comes, in the process beside, until the one that sends it is gone."""
    connection = Connection(socket_number)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends this process.
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            function, job = pickle.loads(connection.recv_bytes())
            connection.send_bytes(pickle.dumps(_answer(function, job, _beats(connection))))


class _Companion:
    """The process beside this one; started when it is first needed."""

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
    """Ends this process, even one that hangs, once its parent was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
