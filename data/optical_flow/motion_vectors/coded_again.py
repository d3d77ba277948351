"""Encodes two frames in memory to get the motion vectors between them."""

from __future__ import annotations

import cv2
import numpy as np

from data.optical_flow.motion_vectors.coded_frames import in_pixels
from data.optical_flow.motion_vectors.vectors import MotionReader

# Every FFmpeg has this codec. It uses blocks of 8 pixels, quarters of a pixel, and hardly any loss: coarse coding would
# rather keep wrong vectors than store small differences.
_CODEC = "mpeg4"
_SETTINGS = {"flags": "+mv4+qpel", "mbd": "rd", "qmin": "2", "qmax": "2"}
_BLOCK = 16


def coded_again(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the flow between two grey frames, uint8[H, W], from their encoder's vectors: float32[H, W, 2]."""
    import av

    height, width = first.shape
    down, right = -height % _BLOCK, -width % _BLOCK
    size = height + down, width + right
    encoder = av.CodecContext.create(_CODEC, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.thread_count = size[1], size[0], "yuv420p", 1
    encoder.framerate, encoder.gop_size, encoder.max_b_frames, encoder.options = 25, 1000, 0, _SETTINGS
    decoder = av.CodecContext.create(_CODEC, "r")
    MotionReader.prepare(decoder)
    packets = []
    for image in (first, second):
        planes = np.full((size[0] * 3 // 2, size[1]), 128, np.uint8)
        planes[: size[0]] = cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REPLICATE)
        packets += encoder.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p"))
    packets += encoder.encode(None)
    frames = [frame for packet in (*packets, None) for frame in decoder.decode(packet)]
    _, motion = list(MotionReader(_CODEC, size).fields(frames))[-1]
    if motion is None:
        raise ValueError(f"Frames of {width}x{height} can't be coded again in memory.")
    return in_pixels(motion, size, size)[:height, :width]
