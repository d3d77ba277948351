"""Names the file of a batch or of a view that can't be read, and its repair."""

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from commands.running import first_line
from data.audit.files import how_to_mend
from data.catalog import DataSet, Video
from pipelines.clips import DistinctViews, distinct_views
from pipelines.inputs import SCALED, Input
from pipelines.source import Source, source_of

SKIP_OR_MEND = "Pass --skip-broken to train without such clips, or mend them. "
NO_OTHER = "No other clip of its batch could take its place. "


@dataclass(frozen=True)
class Cut:
    """The part that is cut from each frame of a batch."""

    crop_size: int
    augment: str
    largest: int = 0  # The longest side that the device can cut, if it cuts.


def broken_file(source: Source, rows: tf.Tensor, starts: tf.Tensor, advice: str = "") -> str:
    """Returns a message about the first unreadable file of some clips and its repair, or "" if all can be read.

    `rows` are int32[B]. `starts` are the starts of a few clips of each row, int32[B, clips].
    """
    for path in _paths(source, rows, starts):
        reason = _reason(source, path)
        if reason:
            return f"{path} {reason}. {advice}{how_to_mend(source.dataset)}"
    return ""


def frame_of_wrong_size(source: Source, rows: tf.Tensor, starts: tf.Tensor, cut: Cut) -> str:
    """Returns a message about the first frame that is too small or too large to cut, or "" if all fit.

    It checks the same files as `read_planes`: the first file of each example.
    """
    for row, start in zip(rows.numpy().tolist(), starts[:, 0].numpy().tolist(), strict=True):
        height, width = source.size_of(row, start)
        side = min(height, width)
        if cut.augment not in SCALED and side < cut.crop_size:
            said = f"too few for --crop-size {cut.crop_size}. Pass --crop-size {side} or less, or prepare larger "
            said += "frames: ./run prepare --short-side."
        elif cut.largest and (side if cut.augment in SCALED else cut.crop_size) > cut.largest:
            said = f"too many for the device: it cuts frames whose short side is at most {cut.largest}, as in the "
            said += "first video. Pass --crop-on host, which cuts frames of any size."
        else:
            continue
        (path, *_) = _paths(source, tf.constant([row]), tf.constant([[start]]))
        return f"{path} has {width} x {height} pixels, {said}"
    return ""


def readable_views(
    dataset: DataSet, videos: Sequence[Video], clip: Input, *, num_views: int, sampling: str = "ends"
) -> Iterator[DistinctViews]:
    """Yields what `distinct_views` returns; a file that can't be read raises an error that says what to do about it."""
    views = iter(distinct_views(dataset, videos, clip, num_views=num_views, sampling=sampling))
    for video in videos:
        try:
            yield next(views)
        except tf.errors.OpError as error:
            source = source_of(dataset, [video], clip)
            broken = broken_file(source, tf.constant([0]), source.view_starts(tf.constant([0]), num_views, sampling))
            if not broken:
                raise
            raise ValueError(f"A view of {video.name} can't be read: {broken}") from error


def _paths(source: Source, rows: tf.Tensor, starts: tf.Tensor) -> list[str]:
    """Returns the files of clips, for rows [B] and the starts of a few clips of each, [B, clips]."""
    files = source.files(tf.repeat(rows[:, None], tf.shape(starts)[1], axis=1), starts)
    return [path.decode() for path in dict.fromkeys(files["path"].numpy().ravel())]


def _reason(source: Source, path: str) -> str:
    if not Path(path).exists():
        return "is missing"
    try:
        return source.why_unreadable(path)
    except (tf.errors.OpError, ValueError, zipfile.BadZipFile) as error:
        return f"can't be decoded ({first_line(error)})"
