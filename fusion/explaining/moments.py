"""Draws what each stream sees and where it looks: at moments of one video, or in the middle of many videos."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data import flow
from data.catalog import DataSet, Video
from data.store.description import Recipe
from fusion.explaining.gradcam import Looker, heat_of_frame, looker, with_heat
from fusion.explaining.pictures import data_uri
from fusion.prediction.as_prepared import PreparedVideo, clip_of
from fusion.prediction.over_time.annotate import flow_in_colour
from fusion.prediction.prediction import Prediction
from fusion.prediction.scorer import Scorer
from fusion.prediction.views import Spread, Stopwatch, Wanted, video_views
from fusion.two_stream import TwoStream
from pipelines.inputs import Input
from pipelines.unreadable import readable_views
from streams.runs.model_file import ModelCard


@dataclass(frozen=True)
class Moment:
    """One moment of a video, as uint8 RGB pictures."""

    seconds: float
    frame: np.ndarray
    flow: np.ndarray | None  # Hue is direction. None if no stream looks at flow.
    looks: Mapping[str, np.ndarray]  # For each stream: its input, with heat where it finds evidence for the class.


def looker_of(two_stream: TwoStream) -> dict[str, Looker]:
    """Returns the split networks of those streams that have a map of their own. Call this once for many videos."""
    found = {}
    for name, scorer in two_stream.scorers.items():
        if len(scorer.parts) == 1:
            with contextlib.suppress(ValueError):  # A network that looks at several moments at once has no single map.
                found[name] = looker(scorer.network)
    return found


def explain(
    two_stream: TwoStream, prediction: Prediction, lookers: Mapping[str, Looker], count: int = 8
) -> list[Moment]:
    """Returns `count` evenly spread moments, with the places where each stream finds evidence for the decided class."""
    label = int(prediction.verdict.argmax())
    requests = two_stream.wanted(prediction.num_frames, prediction.frame_rate, Spread(views=count))
    views = _views(Path(prediction.video), two_stream.making, requests, count)
    moments = []
    for number in range(min(count, len(views["picture"]))):
        frame = views["picture"][number]
        looks, field = {}, None
        for name, request in requests.items():
            clip = views[name][min(number, len(views[name]) - 1)]
            seen = frame
            if request.clip.is_flow:
                field = _flow_picture(clip, two_stream.making)
                seen = field
            if name in lookers:
                looks[name] = with_heat(seen, heat_of_frame(lookers[name], clip, label))
        moments.append(Moment(_second(number, count, prediction), frame, field, looks))
    return moments


def heat_pictures(dataset: DataSet, model: Path, videos: Sequence[tuple[Video, int]]) -> list[str]:
    """Returns for each `(video, class)` its middle view, with the evidence for the class as heat, as a data URI.

    Returns nothing for networks without a convolutional map, and for inputs that are more than one image.
    """
    scorer = Scorer.load(model)
    try:
        parts = looker(scorer.network)
    except ValueError:
        return []
    views = readable_views(dataset, [video for video, _ in videos], clip_of(scorer.card), num_views=1)
    drawn = []
    for (_, label), (view, *_) in zip(videos, views, strict=True):
        pixels = view.numpy()[0]
        drawn.append(data_uri(with_heat(as_picture(pixels, scorer.card), heat_of_frame(parts, pixels, label))))
    return drawn


def as_picture(pixels: np.ndarray, card: ModelCard) -> np.ndarray:
    """Returns a view as RGB: the middle flow field in colour, the middle frame, or the middle channel."""
    channels = pixels.shape[-1]
    if clip_of(card).is_flow:
        return _flow_picture(pixels, Recipe.of(card.flow))
    if channels % 3 == 0:
        middle = channels // 6 * 3
        return pixels[..., middle : middle + 3]
    return np.repeat(pixels[..., channels // 2, None], 3, axis=-1)


def _views(video: Path, making: Recipe, requests: Mapping[str, Wanted], count: int) -> dict[str, list[np.ndarray]]:
    prepared = PreparedVideo(video, making)
    places = np.unique(np.linspace(0, prepared.num_frames - 1, count).round().astype(int))
    wanted = {**requests, "picture": Wanted(Input("rgb"), places)}
    views: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for view in video_views(prepared.frames(), prepared.num_frames, wanted, making, Stopwatch()):
        views[view.stream].append(view.pixels)
    return views


def _flow_picture(stack: np.ndarray, making: Recipe) -> np.ndarray:
    """Returns the middle field of a stack as an RGB picture."""
    middle = stack.shape[-1] // 4 * 2
    field = flow.dequantise(stack[..., middle : middle + 2], making.bound, making.rule)
    return flow_in_colour(field)


def _second(number: int, count: int, prediction: Prediction) -> float:
    return number * max(prediction.num_frames - 1, 0) / max(count - 1, 1) / prediction.frame_rate
