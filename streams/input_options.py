"""The options of a training that say how its clips are drawn and cut, alike for both streams."""

from dataclasses import dataclass

from commands.options import option
from pipelines.inputs import AUGMENTATIONS


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """How clips are drawn from videos and cut from frames."""

    segments: int = option(
        1, "parts of a video that a training example has a clip of; their scores are averaged (TSN)", metavar="K"
    )
    augment: str = option(
        "flip",
        "random crops and mirrors; with the paper's colours; at corners and in four sizes; or none",
        choices=AUGMENTATIONS,
    )
    crop_on: str = option(
        "auto",
        "cut clips where they are read, or ship whole fields and cut where the network runs; auto: there, on a GPU",
        choices=("auto", "host", "device"),
    )
    balance: bool = option(False, "draw classes alike, however many videos each has")
    skip_broken: bool = option(False, "put another clip in place of one that can't be read, and count it")
