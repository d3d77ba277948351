"""Chooses example videos for the report, and draws their frames and flow as small pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from data.catalog import VIDEOS, DataSet, Video
from data.extraction.on_demand.single import made_levels, read_frame
from data.flow import colour_wheel, dequantise, read_flow
from data.store.index import find_description
from data.store.pictures import read_grey
from fusion.explaining.pictures import data_uri
from fusion.methods.measures import is_right

_PICTURES = 6


@dataclass(frozen=True)
class Example:
    """A video of the test list: the reason to show it, and its pictures as data URIs if it is on disk."""

    place: int  # The index among the scored videos.
    reason: str
    frames: tuple[str, ...]
    flow: tuple[str, ...]
    looks: Mapping[str, str] = field(default_factory=dict)  # By stream: the heat for the true class.


def choose_examples(streams: Sequence[np.ndarray], fused: np.ndarray, labels: np.ndarray) -> list[tuple[int, str]]:
    """Returns `(index, reason)` of one video for each way in which streams and fusion can be right or wrong.

    Among several such videos, the one with the most confident fusion is chosen.
    """
    right = np.stack([is_right(scores, labels) for scores in streams])
    fusion = is_right(fused, labels)
    first, last = right[0], right[-1]
    cases = {
        "Fusion is right, but no stream is": fusion & ~right.any(axis=0),
        "Only the first stream is right, and fusion follows it": fusion & first & ~right[1:].any(axis=0),
        "Only the last stream is right, and fusion follows it": fusion & last & ~right[:-1].any(axis=0),
        "All are right": fusion & right.all(axis=0),
        "A stream is right, but fusion is wrong": ~fusion & right.any(axis=0),
        "All are wrong": ~fusion & ~right.any(axis=0),
    }
    surest = fused.max(axis=1)
    return [(int(np.where(case, surest, -np.inf).argmax()), reason) for reason, case in cases.items() if case.any()]


def picture(dataset: DataSet, video: Video, place: int, reason: str) -> Example:
    """Returns an example with its pictures, or without them if frames or flow are not on disk."""
    shown = np.linspace(0, max(min(video.num_frames, video.num_flows or video.num_frames) - 1, 0), _PICTURES)
    indices = sorted({int(index) for index in shown.round()})
    frames = [read_frame(dataset, video, index, "colour") for index in indices]
    known_frames = [frame for frame in frames if frame is not None]
    flows = [_read_flow(dataset, video, index) for index in indices]
    known = [flow for flow in flows if flow is not None]
    longest = float(np.quantile(np.hypot(*np.moveaxis(np.stack(known), -1, 0)), 0.995)) if known else 1.0
    return Example(
        place,
        reason,
        tuple(data_uri(frame) for frame in known_frames),
        tuple(data_uri(colour_wheel(flow, longest)) for flow in known),
    )


def _read_flow(dataset: DataSet, video: Video, index: int) -> np.ndarray | None:
    # The bound may be unknown, but it does not matter: each strip is drawn relative to its own longest motion.
    bound = find_description(dataset.root).get("bound", 20.0)
    if dataset.layout.name == VIDEOS:
        levels = made_levels(dataset, video, index)
        return None if levels is None else dequantise(levels, bound)
    path_x, path_y = dataset.layout.flow_paths(dataset.root, video, index)
    if not path_x.is_file():
        return None
    if dataset.layout.is_float:
        return read_flow(path_x)
    x, y = map(read_grey, (path_x, path_y))
    if x is None or y is None or x.shape != y.shape:
        return None
    return dequantise(np.stack([x, y], axis=-1), bound, dataset.layout.rule)
