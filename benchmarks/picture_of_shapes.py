"""Draws docs/shapes.png: one frame and the flow of each of the nine classes of the built-in data set.

python benchmarks/picture_of_shapes.py
"""

import sys
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot

from commands.files import PROJECT
from data.flow import colour_wheel, flow_between
from data.sets import shapes


def main() -> None:
    """Writes the picture."""
    dataset = shapes.open_dataset(PROJECT)
    rows, columns = len(shapes.APPEARANCES), len(shapes.MOTIONS)
    figure, axes = pyplot.subplots(rows, columns, figsize=(11, 4.6), layout="constrained")
    for label, axis in enumerate(axes.flat):
        frames = list(shapes.draw(dataset.videos[f"v_{shapes.CLASSES[label]}_g01_c01"]))
        field = flow_between(frames[5], frames[6])
        gap = np.full((shapes.HEIGHT, 3, 3), 255, np.uint8)
        axis.imshow(np.hstack([frames[5], gap, frames[6], gap, colour_wheel(field, max_magnitude=4)]))
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for axis, motion in zip(axes[0], shapes.MOTIONS, strict=True):
        axis.set_title(motion, fontsize=13, pad=8)
    for axis, appearance in zip(axes[:, 0], shapes.APPEARANCES, strict=True):
        axis.set_ylabel(appearance, fontsize=13, labelpad=8)
    figure.supxlabel("Motion: two frames and their flow tell the column, flow alone can't tell the row", fontsize=11)
    figure.supylabel("Appearance: one frame tells the row", fontsize=11)
    figure.savefig(PROJECT / "docs" / "shapes.png", dpi=80)


if __name__ == "__main__":
    main()
