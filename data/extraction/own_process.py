"""Runs a function in a separate process, so that a crash or a hang loses only one job.

Each worker has a companion process, to which it alone is connected, runs its jobs there, and replaces it when it dies.
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
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import cast

from commands.files import project_on_path

ATTEMPTS = 2  # A crash may have had another cause than the video, so each gets a second chance.
# Signals by which a process is killed that is not at fault: by the system if memory runs out, or by hand.
KILLS = 4
KILLED = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM))
SECONDS_TO_DIE = 5.0
BEAT = b""  # Sent by a process that is slow but alive.
SECONDS_A_BEAT = 1.0


class LostError(RuntimeError):
    """The reason why a job has no result: its process crashed every time, or hung."""


class KilledError(LostError):
    """The reason why a job has no result: its process was killed again and again, which is no fault of the job."""


def run_apart(work: bytes, time_limit: float = 0.0, companion: "Companion | None" = None) -> object:
    """Calls the pickled `(function, job)` as `function(job, show_life)`; returns the result, or a `LostError`.

    A job that crashes is tried once more, and one whose process is killed a few times more. A job counts as hung if it
    does not call `show_life` for `time_limit` seconds (0 waits for ever). Exceptions of the function are raised here.
    """
    companion = companion or _of_this_thread()
    crashes = kills = 0
    while crashes < ATTEMPTS and kills < KILLS:
        try:
            connection = companion.connection()
            connection.send_bytes(work)
            while connection.poll(time_limit or None):
                answer = connection.recv_bytes()
                if answer != BEAT:
                    result, error = pickle.loads(answer)
                    if error:
                        raise error
                    return result
        except (EOFError, ConnectionError, BrokenPipeError):
            if companion.end() in KILLED:
                kills += 1
            else:
                crashes += 1
            continue
        companion.kill()
        companion.end()
        return LostError(f"The decoder hung: no new frame within {time_limit:g} seconds.")
    if crashes < ATTEMPTS:
        return KilledError(f"The process that worked on it was killed {kills} times.")
    return LostError(f"The decoder crashed {ATTEMPTS} times.")


def serve(socket_number: int) -> None:
    """Runs the jobs that arrive, in the companion process, until its parent is gone."""
    connection = Connection(socket_number)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            function, job = pickle.loads(connection.recv_bytes())
            connection.send_bytes(pickle.dumps(_answer(function, job, _beats(connection))))


class Companion:
    """The companion of one worker, started when it is first needed."""

    def __init__(self, environment: Mapping[str, str] | None = None, inherited: tuple[int, ...] = ()) -> None:
        """Remembers the environment of the process, and the open files that it inherits, with their numbers."""
        self._environment, self._inherited = environment or {}, inherited
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._is_closed = False

    def connection(self) -> Connection:
        """Returns the connection to the process."""
        if self._is_closed:
            raise RuntimeError("The work was stopped.")
        if self._connection is None:
            ours, theirs = socket.socketpair()
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import serve; serve({theirs.fileno()})"],
                pass_fds=[theirs.fileno(), *self._inherited],
                env={**project_on_path(), **self._environment},
                process_group=0,  # Ctrl-C reaches only the command, which then ends this process.
            )
            theirs.close()
            self._connection = Connection(ours.detach())
        return self._connection

    def end(self) -> int:
        """Ends the process. Returns the signal that had ended it before, or 0."""
        if self._process is None or self._connection is None:
            return 0
        self._connection.close()
        try:
            code = self._process.wait(SECONDS_TO_DIE)
        except subprocess.TimeoutExpired:
            code = 0
        self.kill()
        self._process.wait()
        self._process = self._connection = None
        return max(0, -code)

    def kill(self) -> None:
        """Kills the process, from any thread. A thread that waits for its answer then gets an error."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """Kills the process, and prevents that another one is started."""
        self._is_closed = True
        self.kill()


_own = threading.local()


def _of_this_thread() -> Companion:
    """Returns the companion of the present thread, for workers that others start."""
    if not hasattr(_own, "companion"):
        _own.companion = Companion()
    return cast(Companion, _own.companion)


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
