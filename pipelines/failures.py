"""Which file of a batch or of a view can't be read, and what to type."""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from commands.running import first_line
from data.audit_files import how_to_mend
from data.catalog import DataSet, Video
from data.packed import damaged_member
from pipelines.clips import (
    VALIDATION_VIEWS,
    DistinctViews,
    all_view_starts,
    distinct_views,
    plan_batch,
    validation_starts,
)
from pipelines.drawing import Drawing, draw_rows
from pipelines.inputs import Input
from pipelines.source import Source

_SKIP_OR_MEND = "Pass --skip-broken to train without such clips, or mend them. "
_NO_OTHER = "No other clip of its batch could take its place. "


def explain_failure(
    dataset: DataSet,
    videos: Sequence[Video],
    clip: Input,
    *,
    batch_size: int,
    seed: int,
    step: int,
    drawing: Drawing | None = None,
    validation: Sequence[Video] = (),
    crop_size: int = 1,
) -> str:
    """Returns which file of batch `step`, or of validation, no clip can be made of, and what to type; empty if none."""
    drawing, source = drawing or Drawing(), Source(dataset, videos, clip)
    draw = draw_rows(videos, batch_size, seed, drawing)
    plan = plan_batch(source, draw, tf.constant(step, tf.int64), batch_size, seed, drawing)
    paths = _paths(source, plan["row"], plan["starts"])
    broken = _broken_file_message(dataset, source, paths, _SKIP_OR_MEND if drawing.skipped is None else _NO_OTHER)
    broken = broken or _wrong_size_message(source, plan["row"], plan["starts"], crop_size, drawing)
    if broken or drawing.skipped is not None or not validation:
        return broken
    source, rows = Source(dataset, validation, clip), tf.range(len(validation))
    starts = tf.reshape(validation_starts(source, VALIDATION_VIEWS), [len(validation), -1])
    broken = _broken_file_message(dataset, source, _paths(source, rows, starts), _SKIP_OR_MEND)
    return broken or _wrong_size_message(source, rows, starts, crop_size, Drawing("none"))


def readable_views(
    dataset: DataSet, videos: Sequence[Video], clip: Input, *, num_views: int
) -> Iterator[DistinctViews]:
    """Yields what `distinct_views` holds; a file that can't be read is an error that names it and what to type."""
    views = iter(distinct_views(dataset, videos, clip, num_views=num_views))
    for video in videos:
        try:
            yield next(views)
        except tf.errors.OpError as error:
            source = Source(dataset, [video], clip)
            paths = _paths(source, tf.constant([0]), all_view_starts(source, num_views))
            broken = _broken_file_message(dataset, source, paths)
            if not broken:
                raise
            raise ValueError(f"A view of {video.name} can't be read: {broken}") from error


def _wrong_size_message(source: Source, rows: tf.Tensor, starts: tf.Tensor, crop_size: int, drawing: Drawing) -> str:
    """Returns a sentence about the first frame that its crop does not fit, and what to type; empty if all do.

    It looks at what `read_planes` looks at: the first file of each example.
    """
    largest = source.short_side() if drawing.device_crop else 0
    for row, start in zip(rows.numpy().tolist(), starts[:, 0].numpy().tolist(), strict=True):
        height, width = source.size_of(row, start)
        side = min(height, width)
        if drawing.augment != "corners" and side < crop_size:
            said = f"less than --crop-size {crop_size}. Pass --crop-size {side} or less, or prepare larger frames: "
            said += "data/prepare.py --short-side."
        elif largest and (side if drawing.augment == "corners" else crop_size) > largest:
            said = f"and the device cuts frames whose short side is at most {largest}, as in the first video. "
            said += "Pass --crop-on host, which cuts frames of any size."
        else:
            continue
        (path, *_) = _paths(source, tf.constant([row]), tf.constant([[start]]))
        return f"{path} has {width} x {height} pixels, {said}"
    return ""


def _paths(source: Source, rows: tf.Tensor, starts: tf.Tensor) -> list[str]:
    """Returns the files of clips, for rows [B] and the starts of a few clips of each, [B, clips]."""
    files = source.files(tf.repeat(rows[:, None], tf.shape(starts)[1], axis=1), starts)
    return [path.decode() for path in dict.fromkeys(files["path"].numpy().ravel())]


def _broken_file_message(dataset: DataSet, source: Source, paths: Iterable[str], advice: str = "") -> str:
    """Returns a sentence about the first of these files that can't be read, and what to type; empty if all can be."""
    for path in paths:
        reason = _reason(source, path)
        if reason:
            return f"{path} {reason}. {advice}{how_to_mend(dataset)}"
    return ""


def _reason(source: Source, path: str) -> str:
    if not Path(path).exists():
        return "is missing"
    try:
        if source.is_packed:
            damaged = damaged_member(Path(path))
            return f"is damaged in {damaged}" if damaged else ""
        source.image(tf.io.read_file(path))
    except (tf.errors.OpError, ValueError, zipfile.BadZipFile) as error:
        return f"can't be decoded ({first_line(error)})"
    return ""
