"""The process that looks at videos. What crashes or hangs a decoder takes this process with it, and one request."""

import base64
import tempfile
import time
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from commands.quiet import quiet_tensorflow
from fusion.serving.limits import Limits

# How long models may take to load before the worker counts as broken.
LOADING_SECONDS = 300.0


class JobError(Exception):
    """A video could not be looked at; `status` is what HTTP calls that."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Worker:
    """Starts the process, hands it one video at a time, and replaces it when it dies or takes too long."""

    def __init__(self, models: Mapping[str, Path], method: str | None, limits: Limits, folder: Path) -> None:
        self._arguments = (dict(models), method, limits, folder)
        self._limits = limits
        self._process: Any = None
        self._connection: Any = None
        self.restarts = -1

    def start(self) -> None:
        """Starts the process and waits until its models are loaded; raises what keeps them from loading."""
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, *self._arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.restarts += 1
        kind, value = self._answer(time.monotonic() + LOADING_SECONDS)
        if kind != "ready":
            raise ValueError(value)

    def stop(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None

    @property
    def is_alive(self) -> bool:
        """Tells whether there is a process that can be asked."""
        return self._process is not None and self._process.is_alive()

    @property
    def process_id(self) -> int:
        """The number of the process, for those who watch it."""
        return int(self._process.pid)

    def look_at(self, video: Path, name: str, progress: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Returns what the streams say of a video file; raises JobError where they can't, and is usable after that."""
        if not self.is_alive:
            self.stop()
            self.start()
        deadline = time.monotonic() + self._limits.seconds
        try:
            self._connection.send((str(video), name))
            while True:
                kind, value = self._answer(deadline)
                if kind == "progress":
                    progress(value)
                elif kind == "done":
                    return dict(value)
                else:
                    raise JobError(422, value)
        except TimeoutError:
            self.stop()
            message = f"It took longer than {self._limits.seconds:g} seconds to look at this video. Send a shorter one."
            raise JobError(504, message) from None
        except (EOFError, OSError):
            self.stop()
            raise JobError(422, "Decoding this video crashed the decoder: the file is damaged.") from None

    def _answer(self, deadline: float) -> tuple[str, Any]:
        if not self._connection.poll(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        kind, value = self._connection.recv()
        return kind, value


def _work(connection: Connection, models: Mapping[str, Path], method: str | None, limits: Limits, folder: Path) -> None:
    """Loads the models and looks at videos until the server is gone."""
    # What libraries leave in their temporary folder, when this process is killed, goes when the service ends.
    tempfile.tempdir = str(folder)
    quiet_tensorflow()
    from fusion.explain import looker_of
    from fusion.two_stream import TwoStream

    try:
        two_stream = TwoStream(models)
        if method:
            two_stream.use_flow(method)
        lookers = looker_of(two_stream)
        connection.send(("ready", two_stream.classes))
    except (ValueError, OSError) as error:
        connection.send(("failed", str(error)))
        return
    while True:
        try:
            video, name = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            connection.send(("done", _result(two_stream, lookers, video, name, limits, connection)))
        except Exception as error:  # Whatever it is, it is this video's, and the next one deserves an answer.
            connection.send(("failed", str(error).replace(video, name) or type(error).__name__))


def _result(
    two_stream: Any, lookers: Mapping[str, Any], video: str, name: str, limits: Limits, connection: Connection
) -> dict[str, Any]:
    from fusion.explain import explain
    from fusion.timeline import timeline

    def report(share: float, seconds: Mapping[str, float]) -> None:
        connection.send(("progress", {"share": share, "seconds": dict(seconds)}))

    prediction = two_stream.predict(
        video, partial=True, longest=limits.duration, most_pixels=int(limits.megapixels * 1e6), progress=report
    )
    start = time.perf_counter()
    line = timeline(prediction)
    moments = explain(two_stream, prediction, lookers)
    shown = [label for label, _ in prediction.top(5)]
    result: dict[str, Any] = prediction.as_dictionary()
    result["seconds"]["looking"] = round(time.perf_counter() - start, 4)
    return {
        **result,
        "video": name,
        "duration": round(prediction.duration, 3),
        "timeline": {
            "times": [round(float(moment), 3) for moment in line.times],
            "curves": {
                label: [round(float(share), 4) for share in line.probabilities[list(line.probabilities)[-1]][:, index]]
                for label, index in ((label, line.classes.index(label)) for label in shown)
            },
            "stretches": {
                stream: [vars(stretch) for stretch in line.stretches(stream)] for stream in line.probabilities
            },
        },
        "moments": [
            {
                "seconds": round(moment.seconds, 3),
                "frame": _picture(moment.frame),
                "flow": None if moment.flow is None else _picture(moment.flow),
                "looks": {stream: _picture(look) for stream, look in moment.looks.items()},
            }
            for moment in moments
        ],
    }


def _picture(image: Any, height: int = 180) -> str:
    """Returns an RGB picture as a data address, so that a page needs no second request."""
    import cv2

    width = max(1, round(image.shape[1] * height / image.shape[0]))
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
