"""Reads single frames and flow fields of a prepared data set, from stored files or straight from its videos."""

import numpy as np

from data.catalog import VIDEOS, DataSet, Video
from data.extraction.on_demand.items import READING
from data.extraction.on_demand.workers import CHECK, Wanted, make_here
from data.extraction.video_files import source_of_video
from data.store.description import recipe_of
from data.store.pictures import read_picture


def read_frame(dataset: DataSet, video: Video, index: int, kind: str = "grey") -> np.ndarray | None:
    """Returns a frame, "grey" uint8[H, W] or "colour" uint8[H, W, 3] in RGB, or None if it can't be decoded."""
    if dataset.layout.name == VIDEOS:
        frame = _made(dataset, video, kind, index)
        return frame if frame is None or kind == "colour" else frame[..., 0]
    return read_picture(dataset.layout.frame_path(dataset.root, video, index), READING[kind])


def made_levels(dataset: DataSet, video: Video, index: int) -> np.ndarray | None:
    """Makes the levels of a flow field from the video, uint8[H, W, 2]; returns None if this fails."""
    return _made(dataset, video, "flow", 2 * index)


def why_not_made(dataset: DataSet, video: Video, *, full: bool = False) -> str:
    """Returns why frames of a video can't be made, or an empty text.

    It tries the first and the last frame, or all frames if `full`.
    """
    try:
        if full:
            make_here(_wanted(dataset, video, CHECK), recipe_of(dataset.root))
        else:
            make_here(_wanted(dataset, video, "grey", 0, video.num_frames - 1), recipe_of(dataset.root))
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def _made(dataset: DataSet, video: Video, kind: str, item: int) -> np.ndarray | None:
    try:
        return make_here(_wanted(dataset, video, kind, item), recipe_of(dataset.root))[item]
    except (OSError, ValueError):
        return None


def _wanted(dataset: DataSet, video: Video, kind: str, *items: int) -> Wanted:
    return Wanted(source_of_video(dataset, video), dataset.frame_folder(video), kind, items)
