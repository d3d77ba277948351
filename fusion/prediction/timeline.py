"""Finds what happens when: from the views of a long video to stretches of time, as text, data and a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from commands.files import replacing
from fusion.prediction.prediction import Prediction, fused

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that can be told apart side by side, also with colour blindness; further classes are grey.
PALETTE = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee9944", "#44aa99")
OTHERS = "#bbbbbb"


@dataclass(frozen=True)
class Stretch:
    """A stretch of time in which one class is the most probable."""

    start: float  # Seconds.
    end: float
    label: str
    probability: float  # Its mean over the stretch.


@dataclass(frozen=True)
class Timeline:
    """The probabilities of each stream, and of all fused, over time."""

    classes: tuple[str, ...]
    duration: float
    times: np.ndarray  # float[T], seconds.
    probabilities: dict[str, np.ndarray]  # float[T, C] each, the last the one to decide by.

    def stretches(self, stream: str = "") -> list[Stretch]:
        """Returns the stretches of one stream, or of the fused decision unless a stream is named."""
        scores = self.probabilities[stream] if stream else list(self.probabilities.values())[-1]
        best = scores.argmax(axis=1)
        borders = np.flatnonzero(np.diff(best)) + 1
        edges = [0.0, *((self.times[borders - 1] + self.times[borders]) / 2).tolist(), self.duration]
        parts = np.split(np.arange(len(best)), borders)
        return [
            Stretch(start, end, self.classes[best[part[0]]], float(scores[part, best[part[0]]].mean()))
            for part, start, end in zip(parts, edges[:-1], edges[1:], strict=True)
        ]


def timeline(prediction: Prediction, window: float = 2.0) -> Timeline:
    """Returns a prediction's probabilities over time, each the mean of the views within `window` seconds around it."""
    times = max(prediction.view_seconds.values(), key=len)
    smoothed = {
        name: _smoothed(prediction.view_seconds[name], logits, times, window)
        for name, logits in prediction.view_logits.items()
    }
    shares = fused(smoothed, prediction.multi_label, prediction.fusion)
    return Timeline(prediction.classes, prediction.duration, times, shares)


def as_text(stretches: Sequence[Stretch]) -> str:
    """Returns a line per stretch: its start and end, the class, and its probability."""
    width = max(len(stretch.label) for stretch in stretches)
    return "\n".join(
        f"{clock(stretch.start)} to {clock(stretch.end)}  {stretch.label:<{width}}  {stretch.probability:6.1%}"
        for stretch in stretches
    )


def clock(seconds: float) -> str:
    """Returns a moment in the form 0:07.5 or 1:02:03.0."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest / 10:04.1f}" if hours else f"{minutes}:{rest / 10:04.1f}"


def write_picture(path: Path, line: Timeline, frames: Sequence[np.ndarray] = (), title: str = "") -> None:
    """Draws the stretches of each stream, the probabilities over time, and frames from the video above them."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"text.parse_math": False}):  # Names may have dollar signs.
        figure = Figure(figsize=(12, 6.2 if len(frames) else 4.6), layout="constrained", facecolor="white")
    heights = [1.5, 1.1, 2.6] if len(frames) else [1.1, 2.6]
    axes = figure.subplots(len(heights), 1, gridspec_kw={"height_ratios": heights}, squeeze=False)[:, 0]
    colours = _colours(line)
    _draw_stretches(axes[-2], line, colours)
    _draw_curves(axes[-1], line, colours)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    if len(frames):
        axes[0].axis("off")
        figure.draw_without_rendering()  # Only then is the size of the axes known.
        _draw_frames(axes[0], frames, line.duration)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _smoothed(at: np.ndarray, logits: np.ndarray, times: np.ndarray, window: float) -> np.ndarray:
    first = np.searchsorted(at, times - window / 2 - 1e-6)
    last = np.searchsorted(at, times + window / 2 + 1e-6)
    nearest = np.abs(at[None, :] - times[:, None]).argmin(axis=1) if len(at) < 2000 else np.searchsorted(at, times)
    nearest = np.minimum(nearest, len(at) - 1)
    first, last = np.where(last > first, first, nearest), np.where(last > first, last, nearest + 1)
    sums = np.concatenate([np.zeros((1, logits.shape[1])), np.cumsum(logits, axis=0, dtype=np.float64)])
    means: np.ndarray = (sums[last] - sums[first]) / (last - first)[:, None]
    return means


def _colours(line: Timeline) -> dict[str, str]:
    """Gives colours to the classes that are the most probable for the longest time."""
    lasting: dict[str, float] = {}
    for number, name in enumerate(reversed(line.probabilities)):  # The fused decision counts most.
        for stretch in line.stretches(name):
            lasting[stretch.label] = lasting.get(stretch.label, 0) + (stretch.end - stretch.start) / 10**number
    return dict(zip(sorted(lasting, key=lambda label: -lasting[label]), PALETTE, strict=False))


def _draw_frames(axes: "Axes", frames: Sequence[np.ndarray], duration: float) -> None:
    box, share = axes.get_window_extent(), duration / len(frames)
    for number, frame in enumerate(frames):
        # How wide the frame would be in its place at full height, which keeps its proportions.
        wide = frame.shape[1] / frame.shape[0] * box.height / (0.97 * box.width / len(frames))
        left, high = number * share, min(1, 1 / wide)
        right = left + 0.97 * share * min(1, wide)
        axes.imshow(frame, extent=(left, right, (1 - high) / 2, (1 + high) / 2), aspect="auto")
    axes.set(xlim=(0, duration), ylim=(0, 1))


def _draw_stretches(axes: "Axes", line: Timeline, colours: dict[str, str]) -> None:
    names = list(line.probabilities)
    for row, name in enumerate(reversed(names)):
        stretches = line.stretches(name)
        axes.barh(
            [row] * len(stretches),
            [stretch.end - stretch.start for stretch in stretches],
            left=[stretch.start for stretch in stretches],
            height=0.72,
            color=[colours.get(stretch.label, OTHERS) for stretch in stretches],
            edgecolor="white",
            linewidth=0.8 if len(stretches) < 200 else 0,
        )
    axes.set_yticks(range(len(names)), [name.capitalize() for name in reversed(names)])
    axes.set(xlim=(0, line.duration), xticks=[])
    axes.tick_params(length=0)
    _only_bottom(axes, bottom=False)


def _draw_curves(axes: "Axes", line: Timeline, colours: dict[str, str]) -> None:
    scores = list(line.probabilities.values())[-1]
    for label, colour in colours.items():
        curve = scores[:, line.classes.index(label)]
        axes.plot(line.times, curve, color=colour, linewidth=2, label=label)
    axes.set(xlim=(0, line.duration), ylim=(0, 1.02), ylabel="probability")
    axes.xaxis.set_major_formatter(lambda seconds, _: clock(seconds).removesuffix(".0"))
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.legend(ncols=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), fontsize=9, frameon=False)
    axes.grid(axis="y", color="#eeeeee")
    _only_bottom(axes)


def _only_bottom(axes: "Axes", bottom: bool = True) -> None:
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(side == "bottom" and bottom)
