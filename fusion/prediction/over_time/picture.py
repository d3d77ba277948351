"""Draws a timeline as a picture: frames of the video, the stretches of each stream, and the fused probabilities."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from commands.files import replacing
from fusion.prediction.over_time.colours import CLASSES, LIGHT, OTHER, OTHER_CLASSES, UNSURE_CLASS, is_dark
from fusion.prediction.over_time.timeline import UNSURE, Timeline, clock
from fusion.prediction.prediction import FUSED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# In inches: the size of the picture, its margins, its rows and the space below each.
_WIDTH, _LEFT, _RIGHT = 12.0, 1.15, 0.2
_TITLE, _FRAMES, _ROW, _CURVES, _GAP, _FOOT = 0.45, 1.3, 0.38, 2.4, 0.4, 0.8
_INNER = _WIDTH - _LEFT - _RIGHT
# The width of a letter on a bar, in inches.
_LETTER = 0.095
_MOST_FRAMES = 16


def frames_that_fit(height: int, width: int) -> int:
    """Returns how many frames of this size fit side by side into the picture."""
    return int(np.clip(_INNER * height / (_FRAMES * width), 1, _MOST_FRAMES))


def write_picture(path: Path, line: Timeline, frames: Sequence[np.ndarray] = (), title: str = "") -> None:
    """Draws frames in their own proportions, the stretches of each stream below, and the probabilities over time.

    All rows share one time axis, from the beginning of the video to its end.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rows = [_ROW * len(line.probabilities) + 0.1, _CURVES]
    if len(frames):
        rows.insert(0, _FRAMES)
    height = _TITLE + sum(rows) + _GAP * (len(rows) - 1) + _FOOT
    with rc_context({"text.parse_math": False}):  # Names may contain dollar signs.
        figure = Figure(figsize=(_WIDTH, height), facecolor="white")
    top, all_axes = height - _TITLE, []
    for row in rows:
        place = (_LEFT / _WIDTH, (top - row) / height, _INNER / _WIDTH, row / height)
        all_axes.append(figure.add_axes(place))
        top -= row + _GAP
    colours = _colours(line)
    if len(frames):
        _draw_frames(all_axes[0], frames)
    _draw_stretches(all_axes[-2], line, colours)
    _draw_curves(all_axes[-1], line, colours)
    figure.text(0.012, 1 - 0.12 / height, title, va="top", fontsize=12)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _colours(line: Timeline) -> dict[str, str]:
    """Returns colours for the classes that are the most probable for the longest time."""
    lasting: dict[str, float] = {}
    for number, name in enumerate(reversed(line.probabilities)):  # The fused decision counts most, and it is the last.
        for stretch in line.stretches(name):
            lasting[stretch.label] = lasting.get(stretch.label, 0) + (stretch.end - stretch.start) / 10**number
    lasting.pop(UNSURE, None)
    return dict(zip(sorted(lasting, key=lambda label: -lasting[label]), CLASSES, strict=False))


def _draw_frames(axes: "Axes", frames: Sequence[np.ndarray]) -> None:
    """Draws each frame in the middle of the time that it stands for."""
    share = _INNER / len(frames)
    for number, frame in enumerate(frames):
        ratio = frame.shape[1] / frame.shape[0]
        width = min(share - 0.04, _FRAMES * ratio)
        left, half = (number + 0.5) * share - width / 2, width / ratio / 2
        axes.imshow(frame, extent=(left, left + width, _FRAMES / 2 - half, _FRAMES / 2 + half), aspect="auto")
    axes.set(xlim=(0, _INNER), ylim=(0, _FRAMES))
    axes.axis("off")


def _draw_stretches(axes: "Axes", line: Timeline, colours: dict[str, str]) -> None:
    names = list(reversed(line.probabilities))
    for row, name in enumerate(names):
        stretches = line.stretches(name)
        for stretch in stretches:
            colour = UNSURE_CLASS if stretch.label == UNSURE else colours.get(stretch.label, OTHER_CLASSES)
            lasts = stretch.end - stretch.start
            edge = 0.8 if len(stretches) < 200 else 0
            axes.barh(row, lasts, left=stretch.start, height=0.76, color=colour, edgecolor="white", linewidth=edge)
            letters = int(lasts / line.duration * _INNER / _LETTER)
            if letters >= min(3, len(stretch.label)):
                word = stretch.label if len(stretch.label) <= letters else stretch.label[: letters - 1] + "…"
                ink = "white" if is_dark(colour) else "black"
                middle = (stretch.start + stretch.end) / 2
                axes.text(middle, row, word, ha="center", va="center", color=ink, fontsize=9, clip_on=True)
    axes.set_yticks(range(len(names)), [name.capitalize() for name in names])
    for tick, name in zip(axes.get_yticklabels(), names, strict=True):
        tick.set(color=LIGHT.get(name, OTHER), fontweight="bold")
    axes.set(xlim=(0, line.duration), xticks=[], ylim=(-0.5, len(names) - 0.5))
    axes.tick_params(length=0)
    _only_bottom(axes, bottom=False)


def _draw_curves(axes: "Axes", line: Timeline, colours: dict[str, str]) -> None:
    """Draws the probabilities of the decision. Before the first view and after the last one they stay constant."""
    name = line.decided_by
    scores = line.probabilities[name]
    begin = 0.0 if line.delay is None else line.times[0]
    times = np.concatenate([[begin], line.times, [line.duration]])
    held = np.concatenate([scores[:1], scores, scores[-1:]])
    for label, colour in colours.items():
        style = "default" if line.delay is None else "steps-post"  # A live decision holds until the next one.
        curve = held[:, line.classes.index(label)]
        axes.plot(times, curve, color=colour, linewidth=2, label=label, drawstyle=style)
    if line.below is not None and name == FUSED:
        axes.axhline(
            line.below, color=OTHER, linewidth=1, linestyle=(0, (4, 3)), label=f"unsure below {line.below:.0%}"
        )
    whose = "both streams, fused" if name == FUSED else f"the {name} stream"
    late = "" if line.delay is None else f", each decided {1000 * line.delay:.0f} ms later"
    axes.set_title(f"Probabilities of {whose}{late}", loc="left", fontsize=10, color=LIGHT.get(name, OTHER))
    axes.set(xlim=(0, line.duration), ylim=(0, 1.02))
    axes.xaxis.set_major_formatter(lambda seconds, _: clock(seconds).removesuffix(".0"))
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.legend(ncols=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), fontsize=9, frameon=False)
    axes.grid(axis="y", color="#eeeeee")
    _only_bottom(axes)


def _only_bottom(axes: "Axes", bottom: bool = True) -> None:
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(side == "bottom" and bottom)
