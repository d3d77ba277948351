"""Extracts the frames and flow of one video, completely or not at all."""

import errno
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from data.catalog import OURS
from data.extraction.coded_video import decoder_for
from data.extraction.decoder import USUAL, Bounds, resized, sample_frames
from data.extraction.on_demand.indexing import index_video
from data.optical_flow.compute import flow_of_video
from data.optical_flow.engine import FlowEngine, flow_engine
from data.optical_flow.gpu_service import ask_flow
from data.optical_flow.levels import quantise
from data.optical_flow.parameters import Value
from data.store.description import FLOW, FRAMES, INDEX, JPEG_QUALITY, Recipe
from data.store.index import BROKEN, STOPPED, Row
from data.store.one_video import Counts, LooseFiles, PackedFiles
from data.store.seeking import SEEKING

Files = LooseFiles | PackedFiles


@dataclass(frozen=True)
class Job:
    """The work of extracting one video, as it is sent to a worker."""

    source: Path | None  # None if the data set has no file for it.
    folder: Path
    name: str
    parent: str
    recipe: Recipe
    packed: bool = False  # One archive instead of loose files.
    flow_service: str = ""  # The address of the process that computes flow for all workers of this machine.
    bounds: Bounds = USUAL
    run: str = "alone"  # Part of the names of unfinished files, so that those of dead runs can be recognised.


def extract_video(job: Job, show_life: Callable[[], None] = lambda: None) -> Row:
    """Writes the frames and flow of one video, and returns its row. The row says so if the video can't be read.

    `show_life` is called for each frame.
    """
    files = _files(job)
    try:
        row = finished_row(job)
        if not row:
            files.begin()  # This may pack a complete folder, so the video may be finished afterwards.
            row = finished_row(job)
        if row:
            return row
        is_index = job.recipe.only == INDEX
        counts = _indexed(job, files, show_life) if is_index else _Extraction(job, files, show_life).write()
        _finish(job, files, counts)
        return finished_row(job) or _row(job, counts)
    except OSError as error:  # A full disk or a missing permission would stop every video, so the whole run stops.
        advice = "Make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Solve this"
        reason = f"{error.strerror or error}: {error.filename or job.folder}. {advice}"
        return Row(job.name, job.parent, state=STOPPED, reason=reason)
    except (ValueError, cv2.error) as error:
        return broken_row(job, str(error))
    except Exception as error:  # Any other error (memory, a damaged archive) must not stop the other videos.
        return broken_row(job, f"{type(error).__name__}: {error}")
    finally:
        files.discard()


def finished_row(job: Job, *, check_files: bool = False) -> Row | None:
    """Returns the row of a video if all the frames and flow asked for were extracted before, else None.

    `check_files` compares the size of the files with the recorded one, because files may be empty after a power
    failure although all their names are there.
    """
    files = _files(job)
    counts = files.counts()
    needed = [job.recipe.only] if job.recipe.only in (FRAMES, FLOW) else [FRAMES, FLOW]
    if not counts or (FRAMES in needed and not counts["frames"]) or (FLOW in needed and not counts["flows"]):
        return None
    if check_files and counts["bytes"] != files.size():
        return None
    return _row(job, counts)


def broken_row(job: Job, reason: str) -> Row:
    """Returns the row of a video that can't be used."""
    return Row(job.name, job.parent, state=BROKEN, reason=" ".join(reason.split()))


def _finish(job: Job, files: Files, counts: Counts) -> None:
    """Moves the new files into place; frames or flow of an earlier run that were not made again are kept."""
    kept = files.counts() if job.recipe.only in (FRAMES, FLOW) else None
    if not kept:
        files.finish(counts, keep=False)
        return
    other = "flows" if job.recipe.only == FRAMES else "frames"
    if other == "frames" and kept["frames"] and int(kept["frames"]) <= int(counts["flows"]):
        raise ValueError(
            f"{counts['flows']} flow fields don't fit {kept['frames']} frames. Delete {job.folder} and prepare again."
        )
    counts[other] = kept[other]
    files.finish(counts, keep=True)


def _indexed(job: Job, files: Files, show_life: Callable[[], None]) -> Counts:
    """Writes the places of the frames of a video, and returns the counts of the frames and flow it will give."""
    cv2.setNumThreads(1)
    counts, seeking = index_video(job.source or Path(), job.recipe, job.bounds, show_life)
    files.write(SEEKING, content := seeking.content())
    return {**counts, "bytes": len(content)}


class _Extraction:
    """One pass over a video that writes its frames and flow."""

    def __init__(self, job: Job, files: Files, show_life: Callable[[], None]) -> None:
        self.job, self.recipe, self.files, self.show_life = job, job.recipe, files, show_life
        self.frames = self.flows = self.bytes = self.width = self.height = 0

    def write(self) -> Counts:
        """Writes all files and returns their counts, their size, and a remark if the video is too short."""
        cv2.setNumThreads(1)
        self.show_life()
        decoder = decoder_for(self.job.source or Path(), self.recipe, self.job.bounds)
        wanted = sample_frames(
            decoder.frames(), every=self.recipe.every, fps=self.recipe.fps, frame_rate=decoder.frame_rate
        )
        kept = self._kept(wanted)
        if self.recipe.only == FRAMES:
            deque(kept, maxlen=0)
        else:
            self._write_flow(kept)
        if self.frames < 1 + (self.recipe.step if self.recipe.only != FRAMES else 0):
            what = f"Only {self.frames} frame{'s' if self.frames > 1 else ''}" if self.frames else "No frame"
            needed = "" if self.recipe.only == FRAMES else f"; flow needs {1 + self.recipe.step}"
            raise ValueError(f"{what} can be decoded and kept{needed}.")
        frames = 0 if self.recipe.only == FLOW else self.frames
        counts = {"frames": frames, "flows": self.flows, "width": self.width, "height": self.height}
        return {**counts, "bytes": self.bytes, "remark": decoder.shortfall()}

    def _kept(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for frame in frames:
            self.show_life()
            sized = resized(frame, self.recipe.short_side, self.recipe.size, enlarge=self.recipe.enlarge)
            if (self.width, self.height) not in ((0, 0), sized.shape[1::-1]):
                raise ValueError(f"Its frames change size, from {self.width}x{self.height} to {sized.shape[1::-1]}.")
            self.height, self.width = sized.shape[:2]
            if self.recipe.only != FLOW:
                self._write_jpeg("img", self.frames, cv2.cvtColor(sized, cv2.COLOR_RGB2BGR))
            self.frames += 1
            yield sized

    def _write_flow(self, frames: Iterator[np.ndarray]) -> None:
        recipe = self.recipe
        if recipe.engine == "cpu" and recipe.step == 1 and not recipe.backward:
            # This way each frame is prepared for flow only once, though it belongs to two pairs.
            fields = flow_of_video(frames, recipe.method, recipe.preset, **recipe.parameters)
        elif self.job.flow_service:
            fields = ask_flow(self.job.flow_service, _pairs(frames, recipe), self.show_life)
        else:
            engine = _engine(recipe.engine, recipe.method, recipe.preset, tuple(recipe.parameters.items()))
            fields = engine.flow_of_pairs(_pairs(frames, recipe))
        kinds = ("flow", "back") if recipe.backward else ("flow",)
        for number, field in enumerate(fields):
            index, kind = divmod(number, len(kinds))
            self._write_field(kinds[kind], index, field)
            self.flows = index + 1

    def _write_field(self, kind: str, index: int, field: np.ndarray) -> None:
        levels = quantise(field, self.recipe.bound, self.recipe.rule)
        for axis, part in enumerate("xy"):
            self._write_jpeg(f"{kind}_{part}", index, np.ascontiguousarray(levels[..., axis]))

    def _write_jpeg(self, kind: str, index: int, image: np.ndarray) -> None:
        encoded, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not encoded:
            raise ValueError(f"A frame of size {image.shape[1]}x{image.shape[0]} can't be written as JPEG.")
        self.files.write(f"{kind}_{OURS.first + index:0{OURS.digits}d}.jpg", data.tobytes())
        self.bytes += data.size


def _files(job: Job) -> Files:
    return PackedFiles(job.folder, job.run) if job.packed else LooseFiles(job.folder, job.run)


def _pairs(frames: Iterable[np.ndarray], recipe: Recipe) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the pairs of frames between which flow is computed; with backward flow, each also in reverse."""
    before: deque[np.ndarray] = deque(maxlen=recipe.step)
    for frame in frames:
        if len(before) == recipe.step:
            yield before[0], frame
            if recipe.backward:
                yield frame, before[0]
        before.append(frame)


@lru_cache(maxsize=1)
def _engine(name: str, method: str, preset: str, parameters: tuple[tuple[str, Value], ...]) -> FlowEngine:
    """Returns the engine, made once per process because compiling for an accelerator can take minutes."""
    # Several workers share one GPU, so each takes only the memory that it needs.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    return flow_engine(name, method, preset, **dict(parameters))


def _row(job: Job, counts: Counts) -> Row:
    frames, flows, width, height, size = (int(counts[name]) for name in ("frames", "flows", "width", "height", "bytes"))
    return Row(job.name, job.parent, frames, flows, width, height, size, reason=str(counts["remark"]))
