"""Draws docs/pictures/shapes.png: a frame of each class of the built-in data set, and its flow at two moments.

python benchmarks/pictures/shapes.py
"""

import itertools
import sys
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot

from commands.files import PROJECT
from commands.options import Parser
from data.flow import colour_wheel, flow_between
from data.sets import shapes

# Pixels a frame: more is the disc, less is the shaking camera.
MOVES = 1.5
# How far apart the two moments are at least, in frames, and how far apart the motions of a circle are, in pixels.
APART, TURNED = 4, 3.0


def main() -> None:
    """Writes the picture."""
    Parser(__doc__).parse_args()
    rows, columns = len(shapes.APPEARANCES), len(shapes.MOTIONS)
    figure, axes = pyplot.subplots(rows, columns, figsize=(11, 4.6), layout="constrained")
    for column, motion in enumerate(shapes.MOTIONS):
        scene, moments = whole_scene(motion)
        axes[0, column].set_title(motion, fontsize=13, pad=8)
        for row, appearance in enumerate(shapes.APPEARANCES):
            axes[row, column].imshow(panel(f"v_{appearance}{motion}_{scene}", moments))
            axes[row, column].set(xticks=[], yticks=[])
            axes[row, column].spines[:].set_visible(False)
    for axis, appearance in zip(axes[:, 0], shapes.APPEARANCES, strict=True):
        axis.set_ylabel(appearance, fontsize=13, labelpad=8)
    figure.supxlabel(
        "A frame, its flow, and the flow some frames later: flow tells the column and not the row", fontsize=11
    )
    figure.supylabel("One frame tells the row", fontsize=11)
    figure.savefig(PROJECT / "docs" / "pictures" / "shapes.png", dpi=150)


def whole_scene(motion: str) -> tuple[str, tuple[int, int]]:
    """Returns a scene whose disc is whole at two moments, with those between which its motion differs most."""
    for group, clip in itertools.product(range(1, shapes.GROUPS + 1), range(1, shapes.CLIPS + 1)):
        scene = f"g{group:02d}_c{clip:02d}"
        frames = frames_of(f"v_{shapes.APPEARANCES[0]}{motion}_{scene}")
        found = {
            number: motion_of(flow_between(frames[number], frames[number + 1])) for number in range(len(frames) - 1)
        }
        known = {number: mean for number, mean in found.items() if mean is not None}
        pairs = [(one, other) for one, other in itertools.combinations(known, 2) if other - one >= APART]
        differences = [float(np.linalg.norm(known[one] - known[other])) for one, other in pairs]
        if pairs and (motion != "Circle" or max(differences) > TURNED):
            return scene, pairs[int(np.argmax(differences))]
    raise ValueError(f"No disc of {motion} is whole at two moments that are {APART} frames apart.")


def motion_of(field: np.ndarray) -> np.ndarray | None:
    """Returns the mean motion of the disc; None if it touches an edge of the frame."""
    moves = np.hypot(*np.moveaxis(field, -1, 0)) > MOVES
    edges = (moves[0], moves[-1], moves[:, 0], moves[:, -1])
    return None if not moves.any() or any(edge.any() for edge in edges) else field[moves].mean(axis=0)


def panel(name: str, moments: tuple[int, int]) -> np.ndarray:
    """Returns a frame of a video and the flow at two moments, side by side."""
    frames = frames_of(name)
    fields = [flow_between(frames[moment], frames[moment + 1]) for moment in moments]
    gap = np.full((shapes.HEIGHT, 3, 3), 255, np.uint8)
    first, second = (colour_wheel(field, max_magnitude=4) for field in fields)
    return np.hstack([frames[moments[0]], gap, first, gap, second])


def frames_of(name: str) -> list[np.ndarray]:
    """Returns the frames of a video of the data set."""
    return list(shapes.draw(shapes.open_dataset(PROJECT).videos[name]))


if __name__ == "__main__":
    main()
