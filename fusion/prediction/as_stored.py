"""Makes frames and flow exactly as they are read back from prepared data, and makes clips of them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import numpy as np
import tensorflow as tf

from commands.running import usable_processors
from data.extraction.on_demand.items import fields_of_stretch, runs_of, stored_picture
from data.store.description import Recipe
from pipelines.assemble import channel_planes, join
from pipelines.inputs import Input


def kinds_of_items(clip: Input, making: Recipe) -> list[str]:
    """Returns the kind of each item of a clip, in the order of its channels."""
    if not clip.is_flow:
        return ["colour" if clip.is_colour else "grey"] * clip.num_items
    forward = (clip.num_items + 1) // 2 if _has_backward(clip, making) else clip.num_items
    return ["forward"] * forward + ["backward"] * (clip.num_items - forward)


def joined(items: Sequence[np.ndarray], clip: Input, making: Recipe) -> np.ndarray:
    """Returns a clip, uint8[H, W, channels], made of stored items in the order of its channels."""
    if clip.kind not in ("bidirectional", "trajectory"):  # These need no further computation.
        return _side_by_side(items)
    planes = [tf.constant(item[..., axis : axis + 1]) for item in items for axis in (0, 1)]
    channels = channel_planes(planes, clip, making.rule, making.bound, _has_backward(clip, making))
    image: np.ndarray = join(channels).numpy()
    return image


def _side_by_side(items: Sequence[np.ndarray]) -> np.ndarray:
    """Returns uint8[H, W, channels] of all items."""
    if any(item.shape[-1] != 2 for item in items):
        return np.concatenate(items, axis=-1)
    # Both levels of a field are copied as one number, in a twentieth of the time.
    pairs = [np.ascontiguousarray(item).view(np.uint16)[..., 0] for item in items]
    return np.stack(pairs, axis=-1).view(np.uint8)


def stored_pictures(
    frames: Sequence[np.ndarray], first: int, needed: set[int], kind: str, making: Recipe, pool: ThreadPoolExecutor
) -> dict[int, np.ndarray]:
    """Returns those of these frames that are needed, as they are stored. `first` is the index of the first frame."""
    chosen = [index for index in range(first, first + len(frames)) if index in needed]
    stored = pool.map(stored_picture, (frames[index - first] for index in chosen), repeat(kind), repeat(making))
    return dict(zip(chosen, stored, strict=True))


def stored_fields(
    frames: Sequence[np.ndarray], first: int, needed: set[int], kind: str, making: Recipe, pool: ThreadPoolExecutor
) -> dict[int, np.ndarray]:
    """Returns the fields that start at these frames and are needed, as they are stored: uint8[H, W, 2]."""
    starts = [place for place in range(len(frames) - making.step) if place + first in needed]
    split = [part for run in runs_of(starts, making.step) for part in np.array_split(run, usable_processors())]
    parts = [part.tolist() for part in split if len(part)]
    stretches = ([frames[place] for place in (*part, part[-1] + making.step)] for part in parts)
    solved = pool.map(fields_of_stretch, stretches, repeat(kind), repeat(making))
    each = zip(parts, solved, strict=True)
    return {place + first: levels for part, fields in each for place, levels in zip(part, fields, strict=True)}


def _has_backward(clip: Input, making: Recipe) -> bool:
    # If backward flow is not stored, the pipelines replace it by the opposite of the forward flow.
    return clip.kind == "bidirectional" and making.backward
