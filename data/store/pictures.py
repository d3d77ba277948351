"""Decodes pictures, loose or in an archive, and refuses those that are cut off or claim to be huge."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from data.store.archive import read_stored

# The most pixels of a frame, unless the user allows more. 8K has 33 million.
MOST_PIXELS = 50_000_000
JPEG_BEGINS, JPEG_ENDS = b"\xff\xd8", b"\xff\xd9"


def read_grey(path: Path) -> np.ndarray | None:
    """Returns a picture as uint8[H, W], or None if it can't be decoded completely."""
    return read_picture(path, cv2.IMREAD_GRAYSCALE)


def read_picture(path: Path, mode: int) -> np.ndarray | None:
    """Returns a picture as OpenCV decodes it, or None if it can't be decoded completely.

    The end of a JPEG is checked because OpenCV fills the missing part of one that is cut off with grey.
    """
    try:
        data = read_stored(path)
    except OSError:
        return None
    if data.startswith(JPEG_BEGINS) and not data.rstrip(b"\0").endswith(JPEG_ENDS):
        return None
    return decode_picture(data, mode)


def decode_picture(data: bytes, mode: int) -> np.ndarray | None:
    """Returns a picture as OpenCV decodes it, or None if it can't be decoded or is larger than any frame may be."""
    width, height = claimed_size(io.BytesIO(data)) or (0, 0)
    if not data or width * height > MOST_PIXELS:
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except cv2.error:
        return None


def claimed_size(picture: Path | io.BytesIO) -> tuple[int, int] | None:
    """Returns width and height from a picture's header. Decoders believe it, even if a few bytes claim gigabytes.

    Returns None for damaged files, and for kinds that only the decoder knows.
    """
    with warnings.catch_warnings(action="ignore"):
        try:
            with Image.open(picture) as opened:
                return opened.size
        except Image.DecompressionBombError:
            return 2**16, 2**16
        except (OSError, ValueError, SyntaxError, struct.error):
            return None
