"""Runs in the worker's process: loads the models and analyses one video after the other."""

import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from data.extraction.decoder import Bounds
from fusion.explaining.gradcam import Looker
from fusion.explaining.moments import Moment, explain, looker_of
from fusion.explaining.pictures import data_uri
from fusion.prediction.over_time.timeline import Timeline, timeline
from fusion.prediction.prediction import Json
from fusion.serving.described import described
from fusion.serving.limits import Limits
from fusion.two_stream import TwoStream

# The longest side of a picture, in pixels.
_SIDE = 240


def answer_requests(
    connection: Connection, models: Mapping[str, Path], method: str | None, limits: Limits, fusion: str = ""
) -> None:
    """Loads the models, then answers requests to analyse videos until the server is gone."""
    try:
        two_stream = TwoStream(models, fusion)
        if method:
            two_stream.use_flow(method)
        lookers = looker_of(two_stream)
        connection.send(("ready", described(two_stream)))
    except (ValueError, OSError) as error:
        connection.send(("failed", {"error": str(error)}))
        return
    while True:
        try:
            video, name = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            found = _look_at(two_stream, lookers, video, limits, connection)
            connection.send(("done", {**found, "video": name}))
        except Exception as error:  # An error concerns only this video. The next one must still be answered.
            connection.send(("failed", {"error": str(error).replace(video, name) or type(error).__name__}))


def _look_at(
    two_stream: TwoStream, lookers: Mapping[str, Looker], video: str, limits: Limits, connection: Connection
) -> Json:
    """Returns the prediction for a video, its timeline, and Grad-CAM pictures of where the streams look."""

    def report(share: float, seconds: Mapping[str, float]) -> None:
        connection.send(("progress", {"share": share, "seconds": dict(seconds)}))

    bounds = Bounds(duration=limits.duration, pixels=int(limits.megapixels * 1e6))
    prediction = two_stream.predict(video, partial=True, bounds=bounds, progress=report)
    start = time.perf_counter()
    line = timeline(prediction)
    moments = [_as_dictionary(moment) for moment in explain(two_stream, prediction, lookers)]
    found: Json = prediction.as_dictionary()
    found["seconds"]["looking"] = round(time.perf_counter() - start, 4)
    shown = [label for label, _ in prediction.top(5)]
    return {
        **found,
        "duration": round(prediction.duration, 3),
        "timeline": _over_time(line, shown),
        "moments": moments,
    }


def _over_time(line: Timeline, shown: list[str]) -> Json:
    """Returns the probabilities over time of the displayed classes, and the stretches of each stream."""
    shares = list(line.probabilities.values())[-1]
    return {
        "times": [round(float(moment), 3) for moment in line.times],
        "curves": {
            label: [round(float(share), 4) for share in shares[:, line.classes.index(label)]] for label in shown
        },
        "stretches": {
            stream: [stretch.as_dictionary() for stretch in line.stretches(stream)] for stream in line.probabilities
        },
    }


def _as_dictionary(moment: Moment) -> Json:
    return {
        "seconds": round(moment.seconds, 3),
        "frame": data_uri(moment.frame, _SIDE),
        "flow": None if moment.flow is None else data_uri(moment.flow, _SIDE),
        "looks": {stream: data_uri(look, _SIDE) for stream, look in moment.looks.items()},
    }
