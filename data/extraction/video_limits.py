"""The options that limit the size and length of videos, for every command that decodes videos."""

import argparse

from commands.options import positive
from data.extraction.decoder import USUAL


def add_limits(parser: argparse._ActionsContainer) -> None:
    """Adds the options."""
    megapixels = (USUAL.pixels or 0) / 1e6
    parser.add_argument(
        "--most-megapixels",
        type=_above_zero,
        default=megapixels,
        metavar="N",
        help=f"refuse videos with larger frames (default: {megapixels:g})",
    )
    parser.add_argument(
        "--most-frames",
        type=positive,
        default=USUAL.frames,
        metavar="N",
        help=f"refuse videos with more frames (default: {USUAL.frames:,})",
    )


def _above_zero(word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{word} is not a number above 0")
    return number
