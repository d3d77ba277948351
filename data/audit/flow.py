"""Checks a sample of videos: whether stored flow agrees with flow computed here, and whether pictures show motion."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.audit.files import read_field
from data.audit.findings import ERROR, WARNING, Finding
from data.audit.flow_levels import audit_levels
from data.catalog import DataSet, Layout, Video
from data.extraction.on_demand.single import read_frame
from data.optical_flow.compute import flow_between
from data.optical_flow.levels import dequantise
from data.store.pictures import read_grey

VIDEOS, FIELDS = 24, 4
SLOW = 10.0  # Pixels: half of the usual bound.
LOST = 0.05  # A larger share of clipped values loses motion.
BLACK, FROZEN = 4.0, 0.25  # Standard deviation within a frame, mean difference between frames; both in grey levels.
ANOTHER = "Extract the flow again with another --bound, or with another tool, into another --root."


@dataclass(frozen=True)
class Field:
    """A stored flow field: its levels, its pixels, and the same motion computed here in pixels."""

    levels: np.ndarray | None  # [H, W, 2]; None for flow that is stored as floats.
    stored: np.ndarray
    computed: np.ndarray


def audit_flow(dataset: DataSet, bound: float) -> Iterator[Finding]:
    """Yields the problems of the flow in a sample of videos, spread over the data set."""
    fields = [field for video in _some(dataset) for field in _fields(dataset, video, bound)]
    if not fields:
        return
    yield from _ranges(fields)
    yield from _directions(fields)
    levels = [(field.levels, field.computed) for field in fields if field.levels is not None]
    yield from audit_levels(levels, dataset.layout.rule, bound)


def audit_pictures(dataset: DataSet) -> Iterator[Finding]:
    """Yields the videos of a sample that show a single colour or never move."""
    black, frozen = [], []
    for video in _some(dataset, VIDEOS * 4):
        if video.num_frames < 2:
            continue
        places = sorted({0, video.num_frames // 2, video.num_frames - 1})
        pictures = [read_frame(dataset, video, place) for place in places]
        known = [picture.astype(np.float32) for picture in pictures if picture is not None]
        if len(known) < 2 or len({picture.shape for picture in known}) > 1:
            continue  # audit_files reports these.
        if max(picture.std() for picture in known) < BLACK:
            black.append(video.name)
        elif max(np.abs(picture - known[0]).mean() for picture in known[1:]) < FROZEN:
            frozen.append(video.name)
    remedy = "Watch these videos. If they show nothing, remove them from the lists."
    if black:
        yield Finding(WARNING, "Some videos show only one colour.", remedy, tuple(black))
    if frozen:
        yield Finding(WARNING, "Some videos show no motion from start to end.", remedy, tuple(frozen))


def _some(dataset: DataSet, count: int = VIDEOS) -> list[Video]:
    videos = list(dataset.videos.values())
    return videos if len(videos) <= count else [videos[place * len(videos) // count] for place in range(count)]


def _fields(dataset: DataSet, video: Video, bound: float) -> Iterator[Field]:
    layout, root = dataset.layout, dataset.root
    for place in range(min(FIELDS, video.num_flows)):
        index = (2 * place + 1) * video.num_flows // (2 * FIELDS)
        frames = [read_grey(layout.frame_path(root, video, at)) for at in (index, index + 1) if at < video.num_frames]
        levels, stored = _stored_field(layout, layout.flow_paths(root, video, index), bound)
        if stored is None or len(frames) < 2 or any(frame is None for frame in frames):
            continue
        first, second = (frame for frame in frames if frame is not None)
        if first.shape != second.shape or first.shape != stored.shape[:2] or min(first.shape) < 16:
            continue
        yield Field(levels, stored, flow_between(first, second, method="dis"))


def _stored_field(
    layout: Layout, paths: tuple[Path, Path], bound: float
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Returns the levels and the pixels of a field: no levels for floats, neither if it can't be read."""
    if layout.is_float:
        return None, read_field(paths[0])
    x, y = map(read_grey, paths)
    if x is None or y is None or x.shape != y.shape:
        return None, None
    levels = np.stack([x, y], axis=-1)
    return levels, dequantise(levels, bound, layout.rule)


def _ranges(fields: Sequence[Field]) -> Iterator[Finding]:
    levels = [(field.levels, field.computed) for field in fields if field.levels is not None]
    clipped = float(np.mean([np.mean((level <= 1) | (level >= 254)) for level, _ in levels])) if levels else 0.0
    # A field that was scaled by its own minimum and maximum reaches both ends of the range even where little moves.
    slow = [level for level, computed in levels if np.linalg.norm(computed, axis=-1).max() < SLOW]
    stretched = [bool(np.any((level.min((0, 1)) <= 4) & (level.max((0, 1)) >= 251))) for level in slow]
    if len(slow) > 2 and np.mean(stretched) > 0.8:
        what = "Flow reaches both ends of its range where little moves. It was scaled frame by frame, so speed is lost."
        yield Finding(ERROR, what, "Extract it again with a fixed bound.")
    elif clipped > LOST:
        yield Finding(WARNING, f"{clipped:.1%} of the flow values are clipped at the bound.", ANOTHER)
    means = np.mean([field.stored.mean(axis=(0, 1)) for field in fields], axis=0)
    computed = np.mean([field.computed.mean(axis=(0, 1)) for field in fields], axis=0)
    if max(abs(means - computed)) > 3:
        stored, found = (f"{x:.1f}, {y:.1f}" for x, y in (means, computed))
        what = f"The mean of the stored flow is {stored} pixels; computed here, it is {found}."
        yield Finding(WARNING, what, ANOTHER)


def _directions(fields: Sequence[Field]) -> Iterator[Finding]:
    """Correlates each stored axis with each computed one, which reveals swapped axes and wrong signs."""
    stored = np.concatenate([field.stored.reshape(-1, 2) for field in fields])
    computed = np.concatenate([field.computed.reshape(-1, 2) for field in fields])
    # Only moving pixels can be compared.
    moving = np.linalg.norm(computed, axis=1) > 0.5
    if moving.sum() < 1000:
        return
    stored, computed = stored[moving], computed[moving]
    scale = np.sqrt(np.outer((stored**2).mean(axis=0), (computed**2).mean(axis=0))) + 1e-6
    alike = (stored.T @ computed / len(stored)) / scale  # [stored axis, computed axis], from -1 to 1.
    # An axis with hardly any motion can't be judged.
    share = (computed**2).mean(axis=0) / (computed**2).sum(axis=1).mean()
    judged = [axis for axis in (0, 1) if share[axis] > 0.1]
    own, other = (np.mean([abs(alike[axis ^ change, axis]) for axis in judged]) for change in (0, 1))
    if other > 0.25 + own:
        yield Finding(
            ERROR, "The x and y parts of the flow are swapped.", "Rename flow_x and flow_y, or extract again."
        )
        return
    for axis, name in enumerate("xy"):
        if share[axis] > 0.1 and alike[axis, axis] < -0.4:
            correlation = f"its correlation with flow computed here is {alike[axis, axis]:.2f}"
            what = f"The {name} part of the flow has the wrong sign: {correlation}."
            yield Finding(ERROR, what, "Extract it again: +x is to the right, +y is down.")
        elif share[axis] > 0.1 and alike[axis, axis] < 0.2:
            what = f"The {name} part of the flow differs from flow computed here (correlation {alike[axis, axis]:.2f})."
            yield Finding(WARNING, what, "It may belong to other frames. Extract frames and flow again together.")
