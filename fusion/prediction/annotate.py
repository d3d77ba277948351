"""Draws an annotated video: frames and flow side by side, and bars of the classes below."""

from collections import deque
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from commands.files import replacing
from commands.running import swallowed_stderr
from commands.text import printable
from data import flow
from data.extraction.decoder import write_video
from data.store.description import Recipe
from fusion.prediction.as_prepared import PreparedVideo
from fusion.prediction.prediction import Prediction
from fusion.prediction.tables import CODECS
from fusion.prediction.timeline import Timeline, clock, timeline
from fusion.prediction.views import Stopwatch, View, Wanted, video_views
from pipelines.inputs import Input

PANE, TALLEST, GAP, HEAD, ROW, ROWS = 400, 1200, 16, 44, 26, 5
DARK, PANEL, FAINT, WHITE = (17, 20, 26), (36, 41, 51), (139, 148, 163), (240, 243, 248)
ACCENTS = {"spatial": (94, 184, 255), "temporal": (255, 138, 190), "fused": (122, 220, 150)}


def write_annotated(path: Path, prediction: Prediction, making: Recipe, window: float = 2.0) -> None:
    """Writes the annotated video of a prediction, whole or not at all."""
    source = Path(prediction.video)
    if path.exists() and path.samefile(source):
        raise ValueError(f"The annotated video would overwrite its own source {path}. Name another file.")
    line = timeline(prediction, window)
    # OpenCV prints that a container has another name for the codec, and continues.
    with replacing(path) as temporary, swallowed_stderr():
        frames = annotated_frames(PreparedVideo(source, making), line, prediction, making)
        write_video(temporary, frames, prediction.frame_rate, CODECS[path.suffix.lower()])


def annotated_frames(
    video: PreparedVideo, line: Timeline, prediction: Prediction, making: Recipe
) -> Iterator[np.ndarray]:
    """Yields the frames of the annotated video; the last ones have no flow, and show the flow before them."""
    labels, title = [label for label, _ in prediction.top(ROWS)], printable(Path(prediction.video).name)
    pictures: deque[np.ndarray] = deque()
    field, number = None, 0
    for view in _pictures(video, making):
        if view.stream == "frame":
            pictures.append(view.pixels)
            continue
        field = flow.dequantise(view.pixels, making.bound, making.rule)
        yield draw(pictures.popleft(), field, line, labels, number / video.frame_rate, title)
        number += 1
    for picture in pictures:
        field = np.zeros((*picture.shape[:2], 2), np.float32) if field is None else field
        yield draw(picture, field, line, labels, number / video.frame_rate, title)
        number += 1


def draw(
    frame: np.ndarray, field: np.ndarray, line: Timeline, labels: list[str], seconds: float, title: str
) -> np.ndarray:
    """Returns one frame of the annotated video."""
    # Frames may be as flat as 4000x4 pixels, or as tall.
    scale = min(PANE / frame.shape[1], TALLEST / frame.shape[0])
    width, height = (max(1, round(side * scale)) for side in frame.shape[1::-1])
    columns = list(line.probabilities)
    size = (2 * PANE + 3 * GAP, HEAD + height + 2 * GAP + 30 + ROWS * ROW + GAP)
    canvas = Image.new("RGB", (size[0] - size[0] % 2, size[1] - size[1] % 2), DARK)
    pen = ImageDraw.Draw(canvas)
    pen.text((GAP, 13), _shortened(title, 70), WHITE, _font(16, bold=True))
    pen.text((canvas.width - GAP, 14), f"{clock(seconds)} / {clock(line.duration)}", FAINT, _font(14), anchor="ra")
    for number, picture in enumerate((frame, flow_in_colour(field))):
        pane = cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=cv2.INTER_AREA)
        canvas.paste(Image.fromarray(pane), (GAP + number * (PANE + GAP) + (PANE - width) // 2, HEAD))
    moment = int(np.abs(line.times - seconds).argmin())
    width = (canvas.width - (len(columns) + 1) * GAP) // len(columns)
    for number, name in enumerate(columns):
        shares = {label: float(line.probabilities[name][moment, line.classes.index(label)]) for label in labels}
        _draw_bars(pen, name, shares, (GAP + number * (width + GAP), HEAD + height + GAP), width)
    return np.asarray(canvas)


def flow_in_colour(field: np.ndarray) -> np.ndarray:
    """Returns a field as an RGB picture: hue is direction, white is stillness."""
    # A fixed scale would hide slow motion, and a scale per frame would amplify noise: so at least two pixels.
    fastest = max(2.0, float(np.quantile(np.hypot(field[..., 0], field[..., 1]), 0.99)))
    return flow.colour_wheel(field, max_magnitude=fastest)


def _draw_bars(
    pen: ImageDraw.ImageDraw, name: str, shares: Mapping[str, float], corner: tuple[int, int], width: int
) -> None:
    left, top = corner
    accent = ACCENTS.get(name, WHITE)
    pen.text((left, top), name.upper(), accent, _font(13, bold=True))
    best = max(shares, key=lambda label: shares[label])
    for row, (label, share) in enumerate(shares.items()):
        y = top + 26 + row * ROW
        pen.rounded_rectangle((left, y, left + width, y + ROW - 5), 4, PANEL)
        if share * width >= 4:
            pen.rounded_rectangle((left, y, left + share * width, y + ROW - 5), 4, _dimmed(accent, 0.75))
        ink = WHITE if label == best else (205, 210, 220)
        pen.text((left + 8, y + 3), _shortened(label, width // 11), ink, _font(13, bold=label == best))
        pen.text((left + width - 8, y + 3), f"{share:.0%}", ink, _font(13), anchor="ra")


def _pictures(video: PreparedVideo, making: Recipe) -> Iterator[View]:
    """Yields every frame and every field of a video."""
    wanted = {"frame": Wanted(Input("rgb"), np.arange(video.num_frames))}
    if video.num_frames > making.step:
        wanted["flow"] = Wanted(Input("flow", 1), np.arange(video.num_frames - making.step))
    return video_views(video.frames(), video.num_frames, wanted, making, Stopwatch())


def _dimmed(colour: tuple[int, int, int], share: float) -> tuple[int, ...]:
    return tuple(round(part * share * 0.62) for part in colour)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


@lru_cache(maxsize=8)
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Returns a font that comes with Matplotlib, so that it is there on every machine."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
