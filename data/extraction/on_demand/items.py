"""Makes the frames and flow fields of clips from the frames of a video; the pixels are those of prepared data."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import pairwise

import cv2
import numpy as np

from data.optical_flow.compute import flow_of_video
from data.optical_flow.gpu_service import ask_flow
from data.optical_flow.levels import quantise
from data.store.description import JPEG_QUALITY, Recipe

# The kinds of frames with OpenCV's way to read them, and the directions of flow.
READING = {"colour": cv2.IMREAD_COLOR_RGB, "grey": cv2.IMREAD_GRAYSCALE}
FLOW = ("forward", "backward")


def stored_picture(frame: np.ndarray, kind: str, making: Recipe) -> np.ndarray:
    """Returns an RGB frame as it is read back from its file, in colour or as luma: uint8[H, W, 3 or 1]."""
    if making.jpeg_quality is not None:
        picture = _through_jpeg(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), READING[kind])
    else:
        picture = frame if kind == "colour" else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return picture.reshape(*picture.shape[:2], -1)


def stored_field(field: np.ndarray, making: Recipe) -> np.ndarray:
    """Returns the levels of a field of pixels as they are read back from their files, uint8[H, W, 2]."""
    levels = quantise(field, making.bound, making.rule)
    if making.jpeg_quality is None:
        return levels
    planes = [_through_jpeg(np.ascontiguousarray(levels[..., axis]), cv2.IMREAD_GRAYSCALE) for axis in (0, 1)]
    return np.stack(planes, axis=-1)


def fields_of_stretch(frames: Sequence[np.ndarray], kind: str, making: Recipe) -> list[np.ndarray]:
    """Returns the stored fields between each of these frames and the next, in the order of the frames."""
    onward = -1 if kind == "backward" else 1
    fields = flow_of_video(frames[::onward], making.method, making.preset, **making.parameters)
    return [stored_field(field, making) for field in fields][::onward]


def fields_at(
    starts: Collection[int], frames: Mapping[int, np.ndarray], kind: str, making: Recipe
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the fields that begin at some frames, each with the number of that frame.

    Neighbouring fields are solved together, so that their common frame is prepared for the flow method only once.
    """
    for run in runs_of(sorted(starts), making.step):
        stretch = [frames[index] for index in (*run, run[-1] + making.step)]
        yield from zip(run, fields_of_stretch(stretch, kind, making), strict=True)


def asked_fields(
    starts: Collection[int],
    frames: Mapping[int, np.ndarray],
    kind: str,
    making: Recipe,
    service: str,
    show_life: Callable[[], None],
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields what `fields_at` does. The flow is computed by the service at an address: see gpu_service.py."""
    ordered, (first, second) = sorted(starts), (making.step, 0) if kind == "backward" else (0, making.step)
    pairs = ((frames[start + first], frames[start + second]) for start in ordered)
    for start, field in zip(ordered, ask_flow(service, pairs, show_life), strict=True):
        yield start, stored_field(field, making)


def runs_of(starts: Sequence[int], step: int = 1) -> list[list[int]]:
    """Splits sorted starts of fields wherever a field does not begin with the last frame of the field before."""
    runs = [[*starts[:1]]] if starts else []
    for before, start in pairwise(starts):
        if step == 1 and start == before + 1:
            runs[-1].append(start)
        else:
            runs.append([start])
    return runs


def _through_jpeg(image: np.ndarray, mode: int) -> np.ndarray:
    """Writes and reads a JPEG in memory. OpenCV's decoder returns the same bits as the one of the pipelines."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    decoded = cv2.imdecode(data, mode)
    if decoded is None:
        raise ValueError(f"A frame of {image.shape[1]}x{image.shape[0]} pixels can't be stored as JPEG.")
    return decoded
