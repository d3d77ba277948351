"""The contact sheet: clips as a person can judge them, grey and colour as they are, flow in the colour wheel."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from data.flow_levels import dequantise
from data.flow_picture import colour_wheel
from pipelines.inputs import Input

# Pixels of motion that are drawn in full colour; most motion is well below the bound.
FULL_COLOUR = 4.0
# Sizes in pixels of the sheet.
PART, LINE, GAP, MARGIN, LABELS, HEAD = 64, 2, 16, 14, 176, 30
INK = "#222222"
MEANING = {
    "rgb": "one frame",
    "grey": "grey frames",
    "sg3i": "three grey frames as one image",
    "rgb_difference": "differences that the model takes",
    "flow": "consecutive fields, by colour wheel",
    "trajectory": "fields sampled along the motion",
    "bidirectional": "half forward, half backward",
    "warped": "fields less the camera's motion",
}


def draw_sheet(rows: Mapping[Input, np.ndarray], captions: Sequence[str], rule: str, path: Path) -> None:
    """Writes one row an input and one column a clip; the parts of a clip stand side by side, in their order."""
    strips = {clip: [strip_of(image, clip, rule) for image in clips] for clip, clips in rows.items()}
    column = max(strip.shape[1] for row in strips.values() for strip in row) + GAP
    width = 2 * MARGIN + LABELS + column * len(captions) - GAP
    height = 2 * MARGIN + HEAD + (PART + GAP) * len(strips) - GAP
    sheet = np.full((height, width, 3), 255, np.uint8)
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    lefts = [MARGIN + LABELS + column * number for number in range(len(captions))]
    for left, caption in zip(lefts, captions, strict=True):
        figure.text(left / width, 1 - (MARGIN + 10) / height, caption, fontsize=8, color=INK, va="center")
    for number, (clip, pictures) in enumerate(strips.items()):
        top = MARGIN + HEAD + (PART + GAP) * number
        for left, picture in zip(lefts, pictures, strict=True):
            sheet[top : top + PART, left : left + picture.shape[1]] = picture
        middle = 1 - (top + PART / 2) / height
        name, left = clip.kind.replace("_", " "), MARGIN / width
        figure.text(left, middle + 9 / height, name, fontsize=9, weight="bold", color=INK, va="center")
        figure.text(left, middle - 9 / height, MEANING[clip.kind], fontsize=6.5, color="#666666", va="center")
    figure.figimage(sheet, origin="upper")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, pil_kwargs={"optimize": True})


def strip_of(image: np.ndarray, clip: Input, rule: str) -> np.ndarray:
    """Returns the parts of a clip side by side as uint8 RGB, a thin white line between them."""
    return _beside(list(_parts(image, clip, rule)))


def _parts(image: np.ndarray, clip: Input, rule: str) -> list[np.ndarray]:
    if clip.is_flow:
        fields = dequantise(image, rule=rule if rule in ("centred", "classic") else "centred")
        pairs = np.split(fields, clip.length, axis=-1)
        return [colour_wheel(np.clip(pair, -FULL_COLOUR, FULL_COLOUR), FULL_COLOUR) for pair in pairs]
    if clip.kind == "rgb_difference":
        frames = image.astype(np.int16)
        difference = frames[..., 3:] - frames[..., :-3]
        return np.split((128 + difference // 2).astype(np.uint8), clip.length, axis=-1)
    if clip.kind == "grey":
        return [np.repeat(image[..., frame : frame + 1], 3, axis=-1) for frame in range(clip.length)]
    return [image]


def _beside(parts: list[np.ndarray]) -> np.ndarray:
    line = np.full((PART, LINE, 3), 255, np.uint8)
    scaled = [cv2.resize(part, (PART, PART), interpolation=cv2.INTER_AREA) for part in parts]
    pieces = [piece for part in scaled for piece in (part, line)]
    return np.concatenate(pieces[:-1], axis=1)
