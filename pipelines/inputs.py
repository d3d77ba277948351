"""Names the kinds of input that a network can have, and the ways to cut clips, as in commands and files."""

from dataclasses import dataclass, field

# Kinds that are made of frames, and kinds that are made of flow fields.
FRAME_KINDS = ("rgb", "grey", "sg3i", "rgb_difference", "rgb_spread")
FLOW_KINDS = ("flow", "trajectory", "bidirectional", "warped", "flow_spread", "flow_stacks")
KINDS = FRAME_KINDS + FLOW_KINDS
# The channels of these kinds are computed from the contents of the files; see assemble.py.
ASSEMBLED = ("trajectory", "bidirectional")

# How clips may be cut, mirrored and coloured; see docs/training/pipelines.md.
AUGMENTATIONS = ("none", "flip", "paper", "corners", "multi-scale")
# The crops of these are shares of the frame, so they fit frames of any size.
SCALED = ("corners", "multi-scale")

# The positions of a video's views: evenly spaced from its first clip to its last, or at the middles of equal parts.
SAMPLINGS = ("ends", "middles")

# The part of a frame that a clip shows: a square of that many stored pixels; a square of most of the short side,
# resized; or the whole frame, squeezed into a square.
SHOWN = ("pixels", "most", "whole")
# The side of the square in "most", as a share of the frame's short side: 224 of 256 pixels, as is usual.
MOST = 0.875

# Consecutive fields in each stack of kind flow_stacks, as in temporal segment networks.
STACK = 5
_ODD = "A bidirectional input is half forward and half backward, so its length must be even. Received {}; pass {}."

# More frames than any video has.
WHOLE_VIDEO = 2**30

_COLOUR_KINDS = ("rgb", "rgb_difference", "rgb_spread")
# Clips of these kinds can have only one length, in frames.
_FIXED_LENGTH = {"rgb": 1, "sg3i": 3}


@dataclass(frozen=True)
class Input:
    """The description of one clip. All kinds are uint8 as decoded; the model scales, subtracts means and differences.

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
    flow_stacks     L stacks of five fields each, spread evenly over the whole video           10 L
    ==============  =========================================================================  ========

    A clip takes every `stride`-th frame or field. A clip that is spread over the whole video has no start. With
    `window`, it is spread over that many items from its start on, for long videos. With `segments` K > 1, an example
    is one clip from each of K equal parts of its video: [K, H, W, channels].
    """

    kind: str = "rgb"
    length: int = 1
    segments: int = 1
    stride: int = 1
    window: int = 0  # For spread clips: the number of items that they are spread over. 0 means the whole video.

    # The following values result from those above.
    is_flow: bool = field(init=False, repr=False)  # Channels are displacements, x and y in turn: mirroring negates x.
    is_colour: bool = field(init=False, repr=False)  # Channels come in threes of red, green and blue.
    is_spread: bool = field(init=False, repr=False)  # A clip is spread over the whole video instead of cut from it.
    num_items: int = field(init=False, repr=False)  # The frames or fields that are read for a clip.
    in_a_row: int = field(init=False, repr=False)  # For a spread clip: the number of items at each place.
    span: int = field(init=False, repr=False)  # The consecutive items over which it extends, if there are as many.
    channels: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Raises ValueError if no clip can be made like this, and sets the resulting values."""
        if self.kind not in KINDS:
            raise ValueError(f"There is no input kind {self.kind!r}. Choose among {', '.join(KINDS)}.")
        for name in ("length", "segments", "stride"):
            if getattr(self, name) < 1:
                raise ValueError(f"The {name} of an input must be at least 1. Received {getattr(self, name)}.")
        if self.kind == "bidirectional" and self.length % 2:
            raise ValueError(_ODD.format(self.length, self.length + 1))
        is_flow, is_colour = self.kind in FLOW_KINDS, self.kind in _COLOUR_KINDS
        is_spread = self.kind.endswith(("_spread", "_stacks"))
        in_a_row = STACK if self.kind == "flow_stacks" else 1
        num_items = _FIXED_LENGTH.get(self.kind, in_a_row * self.length + (self.kind == "rgb_difference"))
        span = (self.window or WHOLE_VIDEO) if is_spread else (num_items - 1) * self.stride + 1
        channels = num_items * (2 if is_flow else 3 if is_colour else 1)
        # Frozen means that nothing is assigned later. Here the values are set for the first time.
        vars(self).update(is_flow=is_flow, is_colour=is_colour, is_spread=is_spread)
        vars(self).update(num_items=num_items, in_a_row=in_a_row, span=span, channels=channels)

    def shape(self, size: int) -> tuple[int, ...]:
        """Returns the shape of an example whose clips are squares of `size`."""
        clip = (size, size, self.channels)
        return clip if self.segments == 1 else (self.segments, *clip)
