"""A video file becomes frames, or a clear reason why not."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """Yields the frames of a video as uint8 RGB, in order."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no video file {path}.")
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise ValueError(f"{path} can't be opened as a video: it is empty, cut off at its start, or no video.")
        while True:
            decoded, frame = capture.read()
            if not decoded:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def write_video(path: Path, frames: Iterator[np.ndarray], frame_rate: float, codec: str = "MJPG") -> None:
    """Writes uint8 RGB frames as a video file."""
    writer = None
    for frame in frames:
        if writer is None:
            height, width = frame.shape[:2]
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), frame_rate, (width, height))
            if not writer.isOpened():
                raise OSError(f"OpenCV can't write {path} with the codec {codec}.")
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    if writer is None:
        raise ValueError(f"No frames were given for {path}.")
    writer.release()
