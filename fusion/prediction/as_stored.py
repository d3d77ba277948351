"""Makes frames and flow exactly as they are read back from prepared data, and makes clips of them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import cv2
import numpy as np
import tensorflow as tf

from commands.running import usable_processors
from data import flow
from data.store.description import JPEG_QUALITY, Recipe
from pipelines.assemble import channel_planes, join
from pipelines.inputs import Input

# The items of a view: frames as OpenCV reads their JPEG files, and flow in each direction.
READING = {"colour": cv2.IMREAD_COLOR_RGB, "grey": cv2.IMREAD_GRAYSCALE}
FLOW = ("forward", "backward")


def kinds_of_items(clip: Input, making: Recipe) -> list[str]:
    """Returns the kind of each item of a clip, in the order of its channels."""
    if not clip.is_flow:
        return ["colour" if clip.is_colour else "grey"] * clip.num_items
    forward = (clip.num_items + 1) // 2 if _has_backward(clip, making) else clip.num_items
    return ["forward"] * forward + ["backward"] * (clip.num_items - forward)


def joined(items: Sequence[np.ndarray], clip: Input, making: Recipe) -> np.ndarray:
    """Returns a clip, uint8[H, W, channels], made of stored items in the order of its channels."""
    if clip.kind not in ("bidirectional", "trajectory"):  # These need no further computation.
        return np.concatenate(items, axis=-1)
    planes = [tf.constant(item[..., axis : axis + 1]) for item in items for axis in (0, 1)]
    channels = channel_planes(planes, clip, making.rule, making.bound, _has_backward(clip, making))
    image: np.ndarray = join(channels).numpy()
    return image


def stored_picture(frame: np.ndarray, kind: str) -> np.ndarray:
    """Returns an RGB frame as it is read back from its JPEG file, in colour or as luma."""
    picture = _through_jpeg(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), READING[kind])
    return picture.reshape(*picture.shape[:2], -1)


def stored_field(field: np.ndarray, making: Recipe) -> np.ndarray:
    """Returns the levels of a field of pixels as they are read back from their JPEG files, uint8[H, W, 2]."""
    levels = flow.quantise(field, making.bound, making.rule)
    planes = [_through_jpeg(np.ascontiguousarray(levels[..., axis]), cv2.IMREAD_GRAYSCALE) for axis in (0, 1)]
    return np.stack(planes, axis=-1)


def stored_pictures(
    frames: Sequence[np.ndarray], first: int, needed: set[int], kind: str, pool: ThreadPoolExecutor
) -> dict[int, np.ndarray]:
    """Returns those of these frames that are needed, as they are stored. `first` is the index of the first frame."""
    chosen = [index for index in range(first, first + len(frames)) if index in needed]
    stored = pool.map(stored_picture, (frames[index - first] for index in chosen), repeat(kind))
    return dict(zip(chosen, stored, strict=True))


def stored_fields(
    frames: Sequence[np.ndarray], first: int, needed: set[int], kind: str, making: Recipe, pool: ThreadPoolExecutor
) -> dict[int, np.ndarray]:
    """Returns the fields that start at these frames and are needed, as they are stored: uint8[H, W, 2]."""
    starts = [place for place in range(len(frames) - making.step) if place + first in needed]
    if making.step > 1:
        parts = [[place] for place in starts]
    else:
        split = [part for run in _runs(starts) for part in np.array_split(run, usable_processors())]
        parts = [part.tolist() for part in split if len(part)]
    onward = -1 if kind == "backward" else 1

    def solve(part: list[int]) -> list[np.ndarray]:
        stretch = [frames[place] for place in (*part, part[-1] + making.step)][::onward]
        fields = flow.flow_of_video(stretch, making.method, making.preset, **making.parameters)
        return [stored_field(field, making) for field in fields][::onward]

    solved = zip(parts, pool.map(solve, parts), strict=True)
    return {place + first: levels for part, fields in solved for place, levels in zip(part, fields, strict=True)}


def _runs(places: Sequence[int]) -> list[np.ndarray]:
    """Splits sorted numbers at every gap."""
    numbers = np.asarray(places, np.int64)
    return np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1) if len(numbers) else []


def _has_backward(clip: Input, making: Recipe) -> bool:
    # If backward flow is not stored, the pipelines replace it by the opposite of the forward flow.
    return clip.kind == "bidirectional" and making.backward


def _through_jpeg(image: np.ndarray, mode: int) -> np.ndarray:
    """Writes and reads a JPEG in memory. OpenCV's decoder returns the same bits as the one of the pipelines."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    decoded = cv2.imdecode(data, mode)
    if decoded is None:
        raise ValueError(f"A frame of {image.shape[1]}x{image.shape[0]} pixels can't be stored as JPEG.")
    return decoded
