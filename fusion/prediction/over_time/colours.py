"""The colours of streams, which are the same in the terminal, in pictures, in videos and on pages; and of classes.

The style sheets of the report and of the service repeat these values. A test compares them.
"""

# For a light background, and for a dark one.
LIGHT = {"spatial": "#2563c9", "temporal": "#d9622b", "fused": "#178a5a"}
DARK = {"spatial": "#6aa2ff", "temporal": "#ff9461", "fused": "#4fd197"}
OTHER = "#7b8494"
# Colours that can be told apart side by side, with colour blindness too. Further classes are grey.
CLASSES = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee9944", "#44aa99")
OTHER_CLASSES, UNSURE_CLASS = "#bbbbbb", "#e4e4e4"


def rgb(colour: str) -> tuple[int, int, int]:
    """Returns the red, green and blue of a colour like `#2563c9`."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def is_dark(colour: str) -> bool:
    """Tells whether white text is easier to read on a colour than black text."""
    red, green, blue = rgb(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue < 140
