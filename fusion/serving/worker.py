"""Analyses videos in a separate process, so that a video that crashes or hangs the decoder fails only one request."""

import tempfile
import time
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from commands.running import quiet_tensorflow
from data.extraction.own_process import KILLED, SECONDS_TO_DIE
from fusion.prediction.prediction import Json
from fusion.serving.limits import Limits

# The seconds for loading the models, after which the worker counts as broken.
LOADING_SECONDS = 300.0
ATTEMPTS = 2


class JobError(Exception):
    """A video could not be analysed; `status` is the HTTP status to answer with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Worker:
    """Starts the process, gives it one video at a time, and replaces it if it dies or takes too long."""

    def __init__(
        self, models: Mapping[str, Path], method: str | None, limits: Limits, folder: Path, fusion: str = ""
    ) -> None:
        self._arguments = (dict(models), method, limits, folder, fusion)
        self.described: Json = {}  # The description of the models, once they are loaded.
        self._limits = limits
        self._process: SpawnProcess | None = None
        self._connection: Connection
        self.restarts = -1  # The first start is not a restart.

    def start(self) -> None:
        """Starts the process and waits until its models are loaded; raises ValueError with the reason if they fail."""
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, *self._arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.restarts += 1
        kind, value = self._answer(time.monotonic() + LOADING_SECONDS)
        if kind != "ready":
            raise ValueError(value["error"])
        self.described = value

    def stop(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None

    @property
    def is_alive(self) -> bool:
        """Tells whether the process is running."""
        return self._process is not None and self._process.is_alive()

    @property
    def process_id(self) -> int:
        """The process id, for monitoring; 0 if there is no process."""
        return 0 if self._process is None else int(self._process.pid or 0)

    def look_at(self, video: Path, name: str, progress: Callable[[Json], None]) -> Json:
        """Returns the analysis of a video file. If it fails, raises JobError; the worker can be used again afterwards.

        If the process is killed, which is not the file's fault, the video is analysed once more.
        """
        for _ in range(ATTEMPTS):
            try:
                if not self.is_alive:
                    self.stop()
                    self.start()
                return self._look_at(video, name, progress)
            except (EOFError, OSError):
                killed = self._was_killed()
                self.stop()
                if not killed:
                    raise JobError(422, "This video crashed the decoder, so the file is probably damaged.") from None
        raise JobError(503, "The analysis was killed, perhaps because memory ran out. Try again later.")

    def _look_at(self, video: Path, name: str, progress: Callable[[Json], None]) -> Json:
        deadline = time.monotonic() + self._limits.seconds
        try:
            self._connection.send((str(video), name))
            while True:
                kind, value = self._answer(deadline)
                if kind == "progress":
                    progress(value)
                elif kind == "done":
                    return value
                else:
                    raise JobError(422, value["error"])
        except TimeoutError:
            self.stop()
            message = f"Analysing this video took longer than {self._limits.seconds:g} seconds. Send a shorter one."
            raise JobError(504, message) from None

    def _was_killed(self) -> bool:
        """Tells whether the process, whose connection has ended, was killed instead of having crashed."""
        if self._process is None:
            return False
        self._process.join(SECONDS_TO_DIE)
        return -(self._process.exitcode or 0) in KILLED

    def _answer(self, deadline: float) -> tuple[str, Json]:
        if not self._connection.poll(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        kind, value = self._connection.recv()
        return kind, value


def _work(
    connection: Connection,
    models: Mapping[str, Path],
    method: str | None,
    limits: Limits,
    folder: Path,
    fusion: str,
) -> None:
    # If this process is killed, its libraries leave temporary files in this folder. The service removes it at its end.
    tempfile.tempdir = str(folder)
    quiet_tensorflow()
    from fusion.serving.looking import answer_requests  # Imports TensorFlow, which the service itself does not need.

    answer_requests(connection, models, method, limits, fusion)
