"""Pictures that were stored, loose or in an archive, decoded only where all of them is there."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from data.store.archive import read_stored

JPEG_BEGINS, JPEG_ENDS = b"\xff\xd8", b"\xff\xd9"


def read_grey(path: Path) -> np.ndarray | None:
    """Returns a picture as uint8[H, W], or None where it can't be decoded; OpenCV fills cut-off JPEGs with grey."""
    try:
        data = read_stored(path)
    except OSError:
        return None
    if data.startswith(JPEG_BEGINS) and not data.rstrip(b"\0").endswith(JPEG_ENDS):
        return None
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
