"""Writes an annotated video: its own frames, unchanged, above a panel with flow, bars of probabilities and a legend."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from commands.files import replacing
from commands.running import swallowed_stderr
from commands.text import printable
from data import flow
from data.extraction.decoder import write_video
from data.extraction.video_files import WRITABLE_CODECS
from fusion.prediction.as_prepared import PreparedVideo
from fusion.prediction.over_time.colours import DARK, rgb
from fusion.prediction.over_time.timeline import Timeline, clock
from fusion.prediction.prediction import FUSED, Prediction
from fusion.prediction.views import Stopwatch, Wanted, video_views
from pipelines.inputs import Input

# The panel is designed for frames of this width. Wider frames get a larger panel, and narrower ones dark margins.
NARROWEST, ROWS = 640, 5
_WIDEST = 1920  # Beyond this width, letters don't grow any more.
# Heights in the panel of the narrowest frames: the title, a row of bars, the legend, gaps, and the picture of flow.
_HEAD, _ROW, _FOOT, _GAP, _FLOW = 30, 22, 26, 12, 150
_GROUND, _PANEL, _FAINT, _WHITE = (17, 20, 26), (36, 41, 51), (139, 148, 163), (240, 243, 248)


def write_annotated(
    path: Path, prediction: Prediction, video: PreparedVideo, line: Timeline, *, with_flow: bool = True
) -> None:
    """Writes the annotated video of a prediction, completely or not at all, at the frame rate of its source."""
    source = Path(prediction.video)
    if path.exists() and path.samefile(source):
        raise ValueError(f"The annotated video would overwrite its own source {path}. Name another file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    # OpenCV warns on standard error if a container has another name for the codec. That does no harm.
    with replacing(path) as temporary, swallowed_stderr():
        frames = annotated_frames(video, line, prediction, with_flow=with_flow)
        write_video(temporary, frames, video.original_rate, WRITABLE_CODECS[path.suffix.lower()])


def annotated_frames(
    video: PreparedVideo, line: Timeline, prediction: Prediction, *, with_flow: bool = True
) -> Iterator[np.ndarray]:
    """Yields each frame of the source with its panel. The last frames have no flow, so they show the last there is."""
    labels, title = [label for label, _ in prediction.top(ROWS)], printable(Path(prediction.video).name)
    fields, field, drawn = _fields(video) if with_flow else iter(()), None, 0
    for number, frame in enumerate(video.originals()):
        seconds = number / video.original_rate
        # Flow is computed between prepared frames, and there may be fewer of them.
        due = int(seconds * video.frame_rate + 1e-6) + 1
        for field in islice(fields, due - drawn):  # noqa: B007 - Only the newest one is drawn.
            pass
        drawn = due
        yield draw(frame, field, line, labels, seconds, title)


def draw(
    frame: np.ndarray, field: np.ndarray | None, line: Timeline, labels: list[str], seconds: float, title: str
) -> np.ndarray:
    """Returns one frame of the annotated video: the frame unchanged, and the panel below it."""
    height, width = frame.shape[:2]
    across = max(NARROWEST, width) // 2 * 2
    panel = _Panel(line, labels, across)
    canvas = Image.new("RGB", (across, (height + panel.height + 1) // 2 * 2), _GROUND)
    canvas.paste(Image.fromarray(np.ascontiguousarray(frame)), ((across - width) // 2, 0))
    panel.draw(canvas, height, field, seconds, title)
    return np.asarray(canvas)


def flow_in_colour(field: np.ndarray) -> np.ndarray:
    """Returns a flow field as an RGB picture: hue is direction, and white is no motion."""
    # A fixed scale would hide slow motion, and each frame's own would show noise. So it is at least two pixels.
    fastest = max(2.0, float(np.quantile(np.hypot(field[..., 0], field[..., 1]), 0.99)))
    return flow.colour_wheel(field, max_magnitude=fastest)


class _Panel:
    """The panel below a frame: title and time, flow, a column of bars for each stream, and the legend."""

    def __init__(self, line: Timeline, labels: list[str], width: int) -> None:
        self._line, self._labels, self._width, self._scale = line, labels, width, min(width, _WIDEST) / NARROWEST
        self.height = self._long(_HEAD + _ROW + ROWS * _ROW + _FOOT + _GAP)

    def draw(self, canvas: Image.Image, top: int, field: np.ndarray | None, seconds: float, title: str) -> None:
        """Draws the panel for one moment onto a picture, below the row `top`."""
        pen, gap = ImageDraw.Draw(canvas), self._long(_GAP)
        pen.text((gap, top + self._long(8)), _shortened(title, 60), _WHITE, self._font(13, bold=True))
        # A live source has no end.
        time = clock(seconds) + (f" / {clock(self._line.duration)}" if self._line.duration > seconds else "")
        pen.text((self._width - gap, top + self._long(8)), time, _FAINT, self._font(12), anchor="ra")
        left, first = gap, top + self._long(_HEAD)
        if field is not None:
            left += self._paste_flow(canvas, (gap, first), field) + gap
        names = list(self._line.probabilities)
        moment = int(np.abs(self._line.times - seconds).argmin())
        width = (self._width - left - gap * len(names)) // len(names)
        for number, name in enumerate(names):
            scores = self._line.probabilities[name][moment]
            shares = {label: float(scores[self._line.classes.index(label)]) for label in self._labels}
            unsure = name == FUSED and self._line.below is not None and float(scores.max()) < self._line.below
            self._draw_bars(
                pen, name + (": unsure" if unsure else ""), shares, (left + number * (width + gap), first), width
            )
        self._draw_legend(pen, canvas, top + self.height - self._long(_FOOT), with_flow=field is not None)

    def _paste_flow(self, canvas: Image.Image, corner: tuple[int, int], field: np.ndarray) -> int:
        """Pastes the picture of flow, in the proportions of the frame. Returns the width that it takes."""
        picture = flow_in_colour(field)
        room = self._long(_FLOW), self._long(_ROW + ROWS * _ROW - 6)
        # Frames may be as flat as 4000x4 pixels, or as tall.
        scale = min(room[0] / picture.shape[1], room[1] / picture.shape[0])
        width, height = (max(1, round(side * scale)) for side in picture.shape[1::-1])
        small = cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=cv2.INTER_AREA)
        canvas.paste(Image.fromarray(small), corner)
        return max(width, self._long(40))

    def _draw_bars(
        self, pen: ImageDraw.ImageDraw, name: str, shares: Mapping[str, float], corner: tuple[int, int], width: int
    ) -> None:
        (left, top), row = corner, self._long(_ROW)
        accent = rgb(DARK.get(name.partition(":")[0], "#f0f3f8"))
        pen.text((left, top), name.upper(), accent, self._font(11, bold=True))
        best = max(shares, key=lambda label: shares[label])
        for number, (label, share) in enumerate(shares.items()):
            y = top + row + number * row
            pen.rounded_rectangle((left, y, left + width, y + row - self._long(4)), self._long(3), _PANEL)
            if share * width >= 4:
                end = left + share * width
                dimmed = tuple(round(part * 0.5) for part in accent)
                pen.rounded_rectangle((left, y, end, y + row - self._long(4)), self._long(3), dimmed)
            ink, font = _WHITE if label == best else (205, 210, 220), self._font(11, bold=label == best)
            letters = int((width / self._scale - 48) / 7)
            pen.text((left + self._long(6), y + self._long(2)), _shortened(label, letters), ink, font)
            pen.text(
                (left + width - self._long(6), y + self._long(2)), f"{share:.0%}", ink, self._font(11), anchor="ra"
            )

    def _draw_legend(self, pen: ImageDraw.ImageDraw, canvas: Image.Image, top: int, *, with_flow: bool) -> None:
        """Draws the legend: the colour of each stream, and the colour wheel of directions."""
        left, side = self._long(_GAP), self._long(11)
        if with_flow:
            wheel = Image.fromarray(_wheel(self._long(18)))
            canvas.paste(wheel, (left, top - self._long(2)))
            left += wheel.width + self._long(6)
            left = self._word(pen, (left, top), "flow: hue is its direction, white is no motion")
        what = {"spatial": "frames", "temporal": "motion", FUSED: "both"}
        for name in self._line.probabilities:
            pen.rectangle(
                (left, top + self._long(2), left + side, top + self._long(2) + side), rgb(DARK.get(name, "#f0f3f8"))
            )
            left = self._word(pen, (left + side + self._long(5), top), f"{name}: {what.get(name, 'one network')}")

    def _word(self, pen: ImageDraw.ImageDraw, corner: tuple[int, int], text: str) -> int:
        """Writes faint text. Returns the position after it."""
        font = self._font(11)
        pen.text(corner, text, _FAINT, font)
        return corner[0] + round(font.getlength(text)) + self._long(14)

    def _long(self, pixels: float) -> int:
        return round(pixels * self._scale)

    def _font(self, size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
        return _font(self._long(size), bold)


def _fields(video: PreparedVideo) -> Iterator[np.ndarray]:
    """Yields every flow field of a video, in pixels."""
    making = video.making
    if video.num_frames <= making.step:
        return
    wanted = {"flow": Wanted(Input("flow", 1), np.arange(video.num_frames - making.step))}
    for view in video_views(video.frames(), video.num_frames, wanted, making, Stopwatch()):
        yield flow.dequantise(view.pixels, making.bound, making.rule)


@lru_cache(maxsize=4)
def _wheel(side: int) -> np.ndarray:
    """Returns the colour wheel of directions, with no motion in the middle."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    picture = flow.colour_wheel(np.stack([x, y], axis=-1), max_magnitude=1.0)
    picture[np.hypot(x, y) > 1] = _GROUND
    return picture


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: max(0, length - 1)] + "…"


@lru_cache(maxsize=16)
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Returns a font that comes with Matplotlib, so that every machine has it."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
