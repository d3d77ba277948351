"""Lays out frames and flow as older tools of the field expect them, as links if the file system allows them.

The layout is that of the frames and flow that were published with convolutional two-stream fusion (Feichtenhofer et
al., 2016): jpegs_256/<video>/frame000001.jpg, tvl1_flow/u/<video>/frame000001.jpg, and v likewise.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from data.catalog import OURS, PACKED, VIDEOS, DataSet, Video
from data.extraction.other_tools import LAYOUTS
from data.store.index import find_description

_LAYOUT = LAYOUTS["graz"]
_DIGITS = 6


def write_older_layout(dataset: DataSet, folder: Path) -> str:
    """Links the files of all prepared videos into `folder`, and returns a sentence about it.

    The folder of a video appears completely or not at all, so an interrupted run continues where it stopped.
    """
    if dataset.layout.name in (PACKED, VIDEOS) or dataset.layout.is_float:
        raise ValueError(
            f"{dataset.root} has no loose pictures of frames and flow to lay out in {folder}. "
            "Unpack it with ./run pack --unpack, or prepare it from videos."
        )
    videos = [video for video in dataset.videos.values() if video.num_frames]
    for video in videos:
        for place, files in _files(dataset, video):
            _link_folder(folder / place, files)
    rule = find_description(dataset.root).get("rule", OURS.rule)
    return (
        f"Laid out {len(videos):,} videos in {folder}, as jpegs_256, tvl1_flow/u and tvl1_flow/v. "
        f"Levels of flow follow the rule {rule} (docs/background/flow.md)."
    )


def _files(dataset: DataSet, video: Video) -> Iterator[tuple[str, list[Path]]]:
    """Yields the folder of the frames, of flow in x and of flow in y, each with its files in order."""
    root, layout = dataset.root, dataset.layout
    frames = [layout.frame_path(root, video, index) for index in range(video.num_frames)]
    flow = [layout.flow_paths(root, video, index) for index in range(video.num_flows)]
    patterns = _LAYOUT.frame, _LAYOUT.flow_x, _LAYOUT.flow_y
    for pattern, files in zip(patterns, (frames, [x for x, _ in flow], [y for _, y in flow]), strict=True):
        if files:
            yield pattern.rsplit("/", 1)[0].format(video=video.name), files


def _link_folder(folder: Path, files: list[Path]) -> None:
    if folder.exists():
        return
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for number, file in enumerate(files, 1):
        _link(file, partial / f"frame{number:0{_DIGITS}d}.jpg")
    partial.rename(folder)


def _link(file: Path, place: Path) -> None:
    """Makes a second name for a file; a symbolic link or a copy where the file system has no such names."""
    for way in (os.link, os.symlink, shutil.copyfile):
        try:
            way(file.resolve(), place)
        except (OSError, NotImplementedError):
            if way is shutil.copyfile:
                raise
        else:
            return
