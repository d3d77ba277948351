"""The kinds of input a network can be given and the cuts, by the names that commands, models and files use."""

from dataclasses import dataclass

# Kinds that are made of frames, and kinds that are made of flow fields.
FRAME_KINDS = ("rgb", "grey", "sg3i", "rgb_difference", "rgb_spread")
FLOW_KINDS = ("flow", "trajectory", "bidirectional", "warped", "flow_spread")
KINDS = FRAME_KINDS + FLOW_KINDS

# How clips may be cut, mirrored and coloured; see docs/pipelines.md.
AUGMENTATIONS = ("none", "flip", "paper", "corners")

# What of a frame a clip shows: a square of so many pixels as they are stored; a square of most of the short side,
# resized; or all of it, squeezed into a square.
SHOWN = ("pixels", "most", "whole")
# The side of the square in "most", as a share of the frame's short side: 224 of 256 pixels, as is usual.
MOST = 0.875

# More frames than any video has.
WHOLE_VIDEO = 2**30

# Kinds whose clips have one length only, in the frames that they span.
_FIXED_LENGTH = {"rgb": 1, "sg3i": 3}


@dataclass(frozen=True)
class Input:
    """What one clip is made of. All kinds are uint8 as decoded; scaling, means and differences are the model's.

    ==============  =========================================================================  ========
    kind            a clip                                                                     channels
    ==============  =========================================================================  ========
    rgb             one frame                                                                  3
    grey            L grey frames                                                              L
    sg3i            three grey frames as the channels of one image, the earliest first         3
    rgb_difference  L + 1 frames, R G B each, which the model subtracts: L differences          3 (L + 1)
    flow            L consecutive fields, x1 y1 x2 y2 ...                                      2 L
    trajectory      L fields, each sampled where its point has moved to (Sec. 3.1)             2 L
    bidirectional   L/2 fields forward from a frame, then L/2 backward from it, nearest first  2 L
    warped          as flow, of flow that has been compensated for the camera                  2 L
    rgb_spread      L frames spread evenly over the whole video, R G B each                    3 L
    flow_spread     L fields spread evenly over the whole video, x1 y1 x2 y2 ...               2 L
    ==============  =========================================================================  ========

    A clip takes every `stride`-th frame or field. One that is spread has no start; with `window` it is spread over so
    many items from its start on, as a long video is looked at piece by piece. With `segments` K > 1 an example is one
    clip from each of K equal parts of its video: [K, H, W, channels].
    """

    kind: str = "rgb"
    length: int = 1
    segments: int = 1
    stride: int = 1
    window: int = 0  # Of kinds that are spread: how many items they are spread over; 0 means the whole video.

    def __post_init__(self) -> None:
        """Refuses what no clip can be made of."""
        if self.kind not in KINDS:
            raise ValueError(f"There is no input kind {self.kind!r}. Those known are: {', '.join(KINDS)}.")
        for name in ("length", "segments", "stride"):
            if getattr(self, name) < 1:
                raise ValueError(f"The {name} of an input must be at least 1. Received {getattr(self, name)}.")
        if self.kind == "bidirectional" and self.length % 2:
            raise ValueError(
                "A bidirectional input is half forward and half backward, so its length must be even. "
                f"Received {self.length}; pass {self.length + 1}."
            )

    @property
    def is_flow(self) -> bool:
        """Tells whether channels are displacements, x and y in turn, of which mirroring negates x."""
        return self.kind in FLOW_KINDS

    @property
    def is_colour(self) -> bool:
        """Tells whether channels come in threes of red, green and blue."""
        return self.kind in ("rgb", "rgb_difference", "rgb_spread")

    @property
    def is_spread(self) -> bool:
        """Tells whether a clip is spread over the whole of a video, rather than cut from it."""
        return self.kind.endswith("_spread")

    @property
    def num_items(self) -> int:
        """How many frames or fields are read for a clip."""
        if self.kind in _FIXED_LENGTH:
            return _FIXED_LENGTH[self.kind]
        return self.length + 1 if self.kind == "rgb_difference" else self.length

    @property
    def span(self) -> int:
        """How many consecutive frames or fields a clip stretches over, as far as the video has them."""
        return (self.window or WHOLE_VIDEO) if self.is_spread else (self.num_items - 1) * self.stride + 1

    @property
    def channels(self) -> int:
        """How many channels a clip has."""
        return self.num_items * (2 if self.is_flow else 3 if self.is_colour else 1)

    def shape(self, size: int) -> tuple[int, ...]:
        """Returns the shape of an example whose clips are squares of `size`."""
        clip = (size, size, self.channels)
        return clip if self.segments == 1 else (self.segments, *clip)
