"""Decodes stored pictures, loose or in an archive, and refuses those that are cut off."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from data.store.archive import read_stored

JPEG_BEGINS, JPEG_ENDS = b"\xff\xd8", b"\xff\xd9"


def read_grey(path: Path) -> np.ndarray | None:
    """Returns a picture as uint8[H, W], or None if it can't be decoded completely.

    The end of a JPEG is checked because OpenCV fills the missing part of one that is cut off with grey.
    """
    try:
        data = read_stored(path)
    except OSError:
        return None
    if data.startswith(JPEG_BEGINS) and not data.rstrip(b"\0").endswith(JPEG_ENDS):
        return None
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
