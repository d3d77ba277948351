"""Draws the contact sheet: clips in a form that people can judge, with frames as they are and flow in colour.

A column is a clip. At its top is a whole stored frame, with the box that is cut from it. A row is a kind of input, with
its parts in order. An input of one part is beside the frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from data.optical_flow.picture import colour_wheel
from pipelines.inputs import STACK, Input

# Sizes in pixels: the largest part of a clip, lines, gaps, margins and labels. The saved sheet is twice as large.
LARGEST, LINE, HALVES, COLUMNS, ROWS, MARGIN, LABELS, NUMBERS, HEAD = 160, 3, 12, 30, 12, 18, 172, 17, 40
INK, PALE, BOX, EDGE = "#1a1a1a", "#6b6b6b", "#e5007d", "#9a9a9a"
# If 99 of 100 pixels have less than this share of full colour, the field is labelled as still.
STILL = 0.05
MEANING = {
    "rgb": "one frame",
    "grey": "grey frames",
    "sg3i": "three grey frames\nas one image",
    "rgb_difference": "differences of frames,\nwhich the model takes",
    "flow": "consecutive fields",
    "trajectory": "fields sampled where\nthe point has moved to",
    "bidirectional": "half forward,\nhalf backward",
    "warped": "fields less the\ncamera's motion",
    "rgb_spread": "frames spread over\nthe whole video",
    "flow_spread": "fields spread over\nthe whole video",
    "flow_stacks": "the first of each five\nfields in a row",
}


@dataclass(frozen=True)
class Column:
    """A clip: its video, the random choices for it, and a stored frame with the box: top, left, height, width."""

    title: str
    words: str
    name: str  # The name of the frame.
    frame: np.ndarray
    box: Sequence[int]


@dataclass(frozen=True)
class Row:
    """The clips of one input, uint8[H, W, C], or flow in pixels; and the numbers of their frames."""

    clip: Input
    images: Sequence[np.ndarray]
    numbers: Sequence[Sequence[int]]


@dataclass
class _Canvas:
    """A figure with positions in pixels from its top left corner."""

    width: int
    height: int
    figure: Figure = field(init=False)

    def __post_init__(self) -> None:
        self.figure = Figure(figsize=(self.width / 100, self.height / 100), dpi=200)

    def part(self, pixels: np.ndarray, name: str, left: float, top: float, size: int, width: int = 0) -> Axes:
        """Draws a picture of height `size`, with its name above it."""
        width, below = width or size, top + NUMBERS + size
        place = left / self.width, 1 - below / self.height, width / self.width, size / self.height
        axes = self.figure.add_axes(place)
        axes.imshow(pixels, aspect="auto")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color=EDGE, linewidth=0.6)  # Flow without motion is white, like the paper.
        self.text(name, left + width / 2, top + NUMBERS - 3, 7.5, PALE, va="bottom", ha="center")
        return axes

    def text(self, words: str, left: float, top: float, size: float = 8, color: str = INK, **style: Any) -> None:
        style = {"va": "top", "ha": "left", "linespacing": 1.3, **style}
        self.figure.text(left / self.width, 1 - top / self.height, words, fontsize=size, color=color, **style)


def draw_sheet(columns: Sequence[Column], rows: Sequence[Row], path: Path, note: str = "") -> None:
    """Writes the sheet. Flow has full colour from its 99th percentile on; a colour wheel gives the number of pixels."""
    stacks = [row for row in rows if len(row.numbers[0]) > 1 and row.clip.kind != "sg3i"]
    singles = [row for row in rows if row not in stacks]
    size, scale = min(LARGEST, rows[0].images[0].shape[0]), _scales(rows)
    frame_width = size * columns[0].frame.shape[1] // columns[0].frame.shape[0]
    longest = max([0, *(len(names_of(row, 0)[:: _step(row)]) for row in stacks)])
    column = max(frame_width + len(singles) * (size + LINE), longest * (size + LINE) + HALVES) + COLUMNS
    step = NUMBERS + size + ROWS
    height = 2 * MARGIN + HEAD + step * (1 + len(stacks)) + (NUMBERS if note else -ROWS)
    canvas = _Canvas(2 * MARGIN + LABELS + column * len(columns) - COLUMNS, height)
    lefts = [MARGIN + LABELS + column * number for number in range(len(columns))]
    for number, (left, each) in enumerate(zip(lefts, columns, strict=True)):
        _draw_head(canvas, each, left, size)
        for place, row in enumerate(singles):
            at = left + frame_width + LINE + place * (size + LINE)
            words = f"{row.clip.kind}: {names_of(row, number)[0]}"
            canvas.part(parts_of(row, number, scale)[0], words, at, MARGIN + HEAD, size)
    if "flow" in scale:
        _draw_wheel(canvas, scale["flow"], size)
    for place, row in enumerate(stacks, 1):
        _draw_row(canvas, row, scale, lefts, MARGIN + HEAD + step * place, size)
    canvas.text(note, MARGIN, height - MARGIN, 7.5, PALE, va="bottom")
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.figure.savefig(path, pil_kwargs={"optimize": True})


def parts_of(row: Row, number: int, scale: dict[str, float]) -> list[np.ndarray]:
    """Returns the parts of a clip, uint8 RGB each."""
    image, clip = row.images[number], row.clip
    if clip.is_flow:
        return [colour_wheel(pair, scale["flow"]) for pair in np.split(image, clip.num_items, axis=-1)]
    if clip.kind == "rgb_difference":
        stretched = np.clip(128 + 127 * _differences(image) / scale["rgb_difference"], 0, 255)
        return np.split(stretched.astype(np.uint8), clip.length, axis=-1)
    if clip.kind == "rgb_spread":
        return np.split(image, clip.length, axis=-1)
    if clip.kind == "grey":
        return [np.repeat(image[..., frame : frame + 1], 3, axis=-1) for frame in range(clip.length)]
    return [image]


def names_of(row: Row, number: int) -> list[str]:
    """Returns the names of the parts of a clip: the numbers of their frames, as files are numbered."""
    numbers, kind = row.numbers[number], row.clip.kind
    if row.clip.is_flow:
        half = len(numbers) // 2 if kind == "bidirectional" else len(numbers)
        return [f"{n} → {n + 1}" for n in numbers[:half]] + [f"{n + 1} → {n}" for n in numbers[half:]]
    if kind == "rgb_difference":
        return [f"{after} − {before}" for before, after in pairwise(numbers)]
    return [" ".join(map(str, numbers))] if kind == "sg3i" else [str(n) for n in numbers]


def _step(row: Row) -> int:
    """Returns the step from one drawn part to the next: all parts of a stack would make the sheet too wide."""
    return STACK if row.clip.kind == "flow_stacks" else 1


def _differences(image: np.ndarray) -> np.ndarray:
    frames = image.astype(np.float32)
    difference: np.ndarray = frames[..., 3:] - frames[..., :-3]
    return difference


def _scales(rows: Sequence[Row]) -> dict[str, float]:
    """Returns the motion and the difference that get full colour: those that 99 of 100 pixels do not exceed."""
    lengths = [
        np.hypot(image[..., 0::2], image[..., 1::2]).ravel() for row in rows if row.clip.is_flow for image in row.images
    ]
    sizes = [
        abs(_differences(image)).ravel() for row in rows if row.clip.kind == "rgb_difference" for image in row.images
    ]
    found = {"flow": lengths, "rgb_difference": sizes}
    return {name: max(float(np.percentile(np.concatenate(each), 99)), 0.1) for name, each in found.items() if each}


def _draw_head(canvas: _Canvas, column: Column, left: int, size: int) -> None:
    canvas.text(column.title, left, MARGIN, 10, weight="bold")
    canvas.text(column.words, left, MARGIN + 18, 8, PALE)
    height, width = column.frame.shape[:2]
    axes = canvas.part(column.frame, column.name, left, MARGIN + HEAD, size, size * width // height)
    top, across, box_height, box_width = column.box
    axes.add_patch(
        Rectangle((across - 0.5, top - 0.5), box_width, box_height, fill=False, edgecolor=BOX, lw=1, clip_on=False)
    )
    axes.text(
        *(across + 1, top + 1, f"{box_height * box_width / (height * width):.0%}"),
        color="white",
        fontsize=6.5,
        va="top",
        bbox={"color": BOX, "pad": 1, "linewidth": 0},
    )


def _draw_row(canvas: _Canvas, row: Row, scale: dict[str, float], lefts: Sequence[int], top: int, size: int) -> None:
    canvas.text(row.clip.kind.replace("_", " "), MARGIN, top + NUMBERS - 3, 11, weight="bold")
    words = f"{MEANING[row.clip.kind]}\n{row.clip.channels} channels"
    canvas.text(words, MARGIN, top + NUMBERS + 16, 7.5, PALE)
    for number, left in enumerate(lefts):
        parts, names = parts_of(row, number, scale)[:: _step(row)], names_of(row, number)[:: _step(row)]
        for place, (part, name) in enumerate(zip(parts, names, strict=True)):
            apart = HALVES if row.clip.kind == "bidirectional" and place >= len(parts) // 2 else 0
            still = row.clip.is_flow and np.percentile(255 - part.min(axis=-1), 99) < 255 * STILL
            canvas.part(part, f"{name} still" if still else name, left + place * (size + LINE) + apart, top, size)


def _draw_wheel(canvas: _Canvas, full: float, size: int) -> None:
    """Draws a wheel that shows the colour of each motion, and writes which motion has full colour."""
    across = np.stack(np.meshgrid(*[np.linspace(-1, 1, 4 * size)] * 2), axis=-1)
    wheel = colour_wheel(across, 1.0)
    wheel[np.hypot(across[..., 0], across[..., 1]) > 1] = 255
    side, top = min(size, 64), MARGIN + HEAD + NUMBERS
    canvas.part(wheel, "", MARGIN, top - NUMBERS, side).set_axis_off()
    words = f"direction of motion;\nfull colour\nis {full:.1f} pixels"
    canvas.text(words, MARGIN + side + 8, top + side / 2, 7.5, PALE, va="center")
