"""Checks that all frames and flow of a data set exist, can be read, and agree in number and size."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data.audit.findings import ERROR, WARNING, Finding
from data.catalog import HALF_PACKED, PACKED, VIDEOS, DataSet, Layout, Video, in_words
from data.extraction.on_demand.single import why_not_made
from data.store.archive import stored_paths
from data.store.flow_files import read_flow
from data.store.index import read_description
from data.store.pictures import read_grey

PREPARE = "Prepare these again: ./run doctor {{name}}{full} --fix"
OWN = ("rawframes", PACKED, HALF_PACKED, VIDEOS)  # Layouts that data/prepare.py makes, and so can make again.
AGAIN = "Extract these again with the tool that made them."


def audit_files(dataset: DataSet, *, full: bool = False) -> Iterator[Finding]:
    """Yields the problems of the files.

    Every file must exist. The first and last of each video are decoded, or all of them if `full`.
    """
    problems: dict[str, list[str]] = {}
    sizes: dict[tuple[int, int], int] = {}
    directions = _directions(dataset)
    for video in dataset.videos.values():
        for problem in _problems_of(dataset, video, directions, sizes, full):
            problems.setdefault(problem, []).append(video.name)
    ours = dataset.layout.name in OWN
    remedy = PREPARE.format(full=" --full" if full else "") if ours else AGAIN
    for problem, names in problems.items():
        yield Finding(ERROR, problem, remedy, tuple(names), repairable=ours)
    yield from _number_of_flows(dataset, remedy)
    if len({min(size) for size in sizes}) > 1:
        listed = ", ".join(f"{width}x{height} ({count})" for (width, height), count in sorted(sizes.items())[:6])
        remedy = "Prepare all with one --short-side or --size, so that crops show equally much of every video."
        yield Finding(WARNING, f"Frames have different short sides: {listed}.", remedy)


def how_to_mend(dataset: DataSet) -> str:
    """Returns what to type if a file can't be read. It checks every file, because others may be broken too."""
    if dataset.layout.name not in OWN:
        return AGAIN
    return f"Run: ./run doctor {in_words(dataset.name, dataset.root)} --full --fix"


def read_field(path: Path) -> np.ndarray | None:
    """Returns a flow field of a `.npy` file as float32[H, W, 2], or None if it is another file or not all finite."""
    try:
        field = read_flow(path)
    except (OSError, ValueError):
        return None
    return field if np.isfinite(field).all() else None


def _directions(dataset: DataSet) -> list[Layout]:
    """Returns the layout of forward flow, and that of backward flow if it is stored too."""
    forward = dataset.layout
    has_flow = any(video.num_flows for video in dataset.videos.values())
    if not (has_flow and read_description(dataset.root).get("backward")):
        return [forward]
    return [forward, dataclasses.replace(forward, flow_x=forward.back_x, flow_y=forward.back_y)]


def _problems_of(
    dataset: DataSet, video: Video, directions: Sequence[Layout], sizes: dict[tuple[int, int], int], full: bool
) -> Iterator[str]:
    layout, root = dataset.layout, dataset.root
    if layout.name == VIDEOS:
        if why_not_made(dataset, video, full=full):
            yield "Some videos are missing, can't be decoded, or have changed since they were indexed."
        return
    frames = [layout.frame_path(root, video, index) for index in range(video.num_frames)]
    fields = [each.flow_paths(root, video, index) for each in directions for index in range(video.num_flows)]
    flows = list(dict.fromkeys(path for pair in fields for path in pair))  # A float file has x and y: it counts once.
    read_flow = read_field if layout.is_float else read_grey
    for kind, paths, read in (("frames", frames, read_grey), ("flow", flows, read_flow)):
        names = _names_in({path.parent for path in paths})
        if any(path not in names for path in paths):
            yield f"Some files of the {kind} that index.csv counts are missing."
            continue
        pictures = [read(path) for path in (paths if full else _ends(paths))]
        if any(picture is None for picture in pictures):
            yield f"Some files of the {kind} can't be decoded or are cut off."
            continue
        shapes = {picture.shape[:2] for picture in pictures if picture is not None}
        if len(shapes) > 1:
            yield f"The {kind} of one video differ in size."
        for height, width in list(shapes)[:1] if kind == "frames" else ():
            sizes[width, height] = sizes.get((width, height), 0) + 1


def _number_of_flows(dataset: DataSet, remedy: str) -> Iterator[Finding]:
    differences: dict[int, list[str]] = {}
    for video in dataset.videos.values():
        if video.num_frames and video.num_flows:
            differences.setdefault(video.num_frames - video.num_flows, []).append(video.name)
    usual = max(differences, key=lambda number: len(differences[number]), default=1)
    for number, names in sorted(differences.items()):
        # Not always 1: some tools repeat the last field, so there are as many as frames. With --step there are fewer.
        if number != usual or number < 0:
            what = f"Frames minus flow fields is {number}; for most videos it is {usual}."
            yield Finding(ERROR, what, remedy, tuple(names), repairable=dataset.layout.name in OWN)
    if usual not in (0, 1):
        yield Finding(
            WARNING,
            f"Frames minus flow fields is {usual}; expected 1.",
            "This is right only for flow made with --step.",
        )


def _names_in(folders: set[Path]) -> set[Path]:
    return {path for folder in folders for path in stored_paths(folder)}


def _ends(paths: Sequence[Path]) -> list[Path]:
    return [paths[0], paths[-1]] if paths else []
