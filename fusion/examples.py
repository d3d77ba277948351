"""Videos worth looking at, with their frames and their flow as small pictures."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from data.catalog import DataSet, Video
from data.flow import colour_wheel, dequantise

_PICTURES = 6
_LONGEST_SIDE = 176


@dataclass(frozen=True)
class Example:
    """A video of the test list: why it is shown, and pictures of it as data URIs, where it lies on disk."""

    place: int  # Among the videos that were scored.
    reason: str
    frames: tuple[str, ...]
    flow: tuple[str, ...]


def choose_examples(streams: Sequence[np.ndarray], fused: np.ndarray, labels: np.ndarray) -> list[tuple[int, str]]:
    """Returns `(place, reason)` of one video of each way in which streams and fusion can be right and wrong.

    Of several, the one of which fusion is surest is taken.
    """
    right = np.stack([scores.argmax(axis=1) == labels for scores in streams])
    fusion = fused.argmax(axis=1) == labels
    first, last = right[0], right[-1]
    cases = {
        "Fusion is right where no stream is": fusion & ~right.any(axis=0),
        "Only the first stream is right, and fusion follows it": fusion & first & ~right[1:].any(axis=0),
        "Only the last stream is right, and fusion follows it": fusion & last & ~right[:-1].any(axis=0),
        "All are right": fusion & right.all(axis=0),
        "A stream is right, yet fusion is wrong": ~fusion & right.any(axis=0),
        "None is right": ~fusion & ~right.any(axis=0),
    }
    surest = fused.max(axis=1)
    return [(int(np.where(case, surest, -np.inf).argmax()), reason) for reason, case in cases.items() if case.any()]


def picture(dataset: DataSet, video: Video, place: int, reason: str) -> Example:
    """Returns an example with its pictures; without them where its frames or its flow are not on disk."""
    shown = np.linspace(0, max(min(video.num_frames, video.num_flows or video.num_frames) - 1, 0), _PICTURES)
    indices = sorted({int(index) for index in shown.round()})
    frames = [cv2.imread(str(dataset.layout.frame_path(dataset.root, video, index))) for index in indices]
    fields = [_read_flow(dataset, video, index) for index in indices]
    known = [field for field in fields if field is not None]
    longest = float(np.quantile(np.hypot(*np.moveaxis(np.stack(known), -1, 0)), 0.995)) if known else 1.0
    return Example(
        place,
        reason,
        tuple(_data_uri(frame) for frame in frames if frame is not None),
        tuple(_data_uri(colour_wheel(field, longest)[..., ::-1]) for field in known),
    )


def wheel_picture(size: int = 144) -> str:
    """Returns the key to the colours of flow: where a colour lies is where it moves."""
    across = np.linspace(-1, 1, size)
    return _data_uri(colour_wheel(np.stack(np.meshgrid(across, across), axis=-1), 1.0)[..., ::-1])


def _read_flow(dataset: DataSet, video: Video, index: int) -> np.ndarray | None:
    path_x, path_y = dataset.layout.flow_paths(dataset.root, video, index)
    if not path_x.is_file():
        return None
    if dataset.layout.is_float:
        flow: np.ndarray = np.load(path_x)
        return flow
    levels = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in (path_x, path_y)]
    # Without a description the bound does not matter here: each strip is drawn relative to its own longest motion.
    described = dataset.root / "flow.json"
    bound = float(json.loads(described.read_text()).get("bound", 20.0)) if described.is_file() else 20.0
    return dequantise(np.stack([np.asarray(plane) for plane in levels], axis=-1), bound, dataset.layout.rule)


def _data_uri(bgr: np.ndarray) -> str:
    scale = _LONGEST_SIDE / max(bgr.shape[:2])
    if scale < 1:
        bgr = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"
