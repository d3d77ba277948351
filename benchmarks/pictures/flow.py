"""Draws docs/pictures/flow.png: a frame of the built-in data set, and its flow to the next by each method.

python benchmarks/pictures/flow.py
"""

import sys
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from benchmarks.pictures.shapes import frames_of, whole_scene
from commands.files import PROJECT
from commands.options import Parser
from data.flow import colour_wheel, flow_between

# Each method with what the page says it is for.
METHODS = {
    "tvl1": "tvl1, the default",
    "dis": "dis, the fastest",
    "farneback": "farneback",
    "brox": "brox, as in 2014",
    "opencv-tvl1": "opencv-tvl1, the slowest",
}


def main() -> None:
    """Writes the picture."""
    Parser(__doc__).parse_args()
    scene, (moment, _) = whole_scene("Slide")
    first, second = frames_of(f"v_ChecksSlide_{scene}")[moment : moment + 2]
    pictures = {"a frame": first} | {
        title: colour_wheel(flow_between(first, second, method=name), max_magnitude=4)
        for name, title in METHODS.items()
    }
    figure, axes = pyplot.subplots(1, len(pictures), figsize=(11, 1.95), layout="constrained")
    for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
        axis.imshow(picture)
        axis.set_title(title, fontsize=9.5)
        axis.axis("off")
    figure.savefig(PROJECT / "docs" / "pictures" / "flow.png", dpi=150)


if __name__ == "__main__":
    main()
