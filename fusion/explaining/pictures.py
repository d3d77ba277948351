"""Embeds pictures in a page: RGB arrays as data URIs."""

import base64

import cv2
import numpy as np

from data.flow import colour_wheel


def data_uri(picture: np.ndarray, longest_side: int = 176) -> str:
    """Returns a uint8 RGB picture as a small JPEG in a data URI, so that the page is a single file."""
    scale = longest_side / max(picture.shape[:2])
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"


def wheel_picture(size: int = 144) -> str:
    """Returns the colour wheel of flow: each colour stands for the direction in which it lies from the centre."""
    across = np.linspace(-1, 1, size)
    return data_uri(colour_wheel(np.stack(np.meshgrid(across, across), axis=-1), 1.0))
