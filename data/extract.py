"""One video becomes a folder of frames and flow, complete or not at all."""

import json
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data import flow
from data.index import BROKEN, Row
from data.layouts import OURS
from data.video import read_frames

JPEG_QUALITY = 95


@dataclass(frozen=True)
class Recipe:
    """How frames and flow are made: what `flow.json` records."""

    method: str = "dis"
    preset: str = "balanced"
    bound: float = 20.0
    short_side: int | None = None  # None keeps the size of the video.

    def description(self) -> dict[str, Any]:
        """Returns what must be the same for all flow of a data set."""
        made_by = flow.flow_description(method=self.method, preset=self.preset, bound=self.bound)
        return {**made_by, "short_side": self.short_side, "jpeg_quality": JPEG_QUALITY}


def extract_video(source: Path, folder: Path, name: str, parent: str, recipe: Recipe) -> Row:
    """Writes the frames and flow of one video and returns its row; what can't be read becomes a broken row."""
    unfinished = folder.parent / f".incomplete.{uuid.uuid4().hex}"
    unfinished.mkdir(parents=True)
    try:
        cv2.setNumThreads(1)
        counted = _write_all(_resized(read_frames(source), recipe.short_side), unfinished, recipe)
        row = _row(name, parent, counted)
        (unfinished / "video.json").write_text(json.dumps(counted))
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    except (ValueError, OSError, cv2.error) as error:
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise  # A full disk or a missing right is no fault of the video's.
        return Row(name, parent, state=BROKEN, reason=str(error))
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return row


def finished_row(folder: Path, name: str, parent: str) -> Row | None:
    """Returns the row of a video that was extracted before, or None."""
    counts = folder / "video.json"
    return _row(name, parent, json.loads(counts.read_text())) if counts.exists() else None


def _row(name: str, parent: str, counts: dict[str, int]) -> Row:
    return Row(name, parent, counts["frames"], counts["flows"], counts["width"], counts["height"])


def _write_all(frames: Iterable[np.ndarray], folder: Path, recipe: Recipe) -> dict[str, int]:
    """Writes frames and flow from one pass over the video, and returns their counts and size."""
    counts = {"frames": 0, "flows": 0, "width": 0, "height": 0}

    def written() -> Iterator[np.ndarray]:
        for frame in frames:
            path = folder / f"img_{OURS.first + counts['frames']:05d}.jpg"
            _write_jpeg(path, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            counts["frames"] += 1
            counts["height"], counts["width"] = frame.shape[:2]
            yield frame

    for field in flow.flow_of_video(written(), method=recipe.method, preset=recipe.preset):
        levels = flow.quantise(field, recipe.bound)
        for axis, part in enumerate("xy"):
            path = folder / f"flow_{part}_{OURS.first + counts['flows']:05d}.jpg"
            _write_jpeg(path, np.ascontiguousarray(levels[..., axis]))
        counts["flows"] += 1
    if counts["frames"] < 2:
        raise ValueError(f"Only {counts['frames']} frames can be decoded; flow needs 2 at least.")
    return counts


def _resized(frames: Iterable[np.ndarray], short_side: int | None) -> Iterator[np.ndarray]:
    for frame in frames:
        if short_side is None:
            yield frame
            continue
        height, width = frame.shape[:2]
        scale = short_side / min(height, width)
        size = (round(width * scale), round(height * scale))
        yield cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _write_jpeg(path: Path, image: np.ndarray) -> None:
    encoded, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not encoded:
        raise ValueError(f"A frame of size {image.shape[1]}x{image.shape[0]} can't be written as JPEG.")
    path.write_bytes(data.tobytes())
