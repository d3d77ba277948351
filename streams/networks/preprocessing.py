"""Scales uint8 pixels to the range for which a network's weights were trained, as a part of the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import layers, ops

from data.optical_flow.levels import RULES
from pipelines.inputs import Input


@dataclass(frozen=True)
class Pixels:
    """The input of a network: uint8 images of frames or of flow, and for flow the meaning of its levels."""

    family: str  # "rgb" or "flow"; also the name of the network's input.
    channels: int
    size: int
    bound: float = 20.0  # The motion in pixels of the highest level.
    still: float = 128.0  # The level of no motion.
    reach: float = 127.0  # Levels between no motion and the bound.
    subtract_mean: bool = (
        True  # Subtract each field's mean vector, which is mostly camera motion (Sec. 3.1 of the paper).
    )
    differences: bool = False  # The channels are frames of three channels, and the network sees their differences.
    num_frames: int = 0  # The number of frames or fields spread over a video, in order. 0 for other clips.


def pixels_of(clip: Input, size: int, flow: Mapping[str, Any], *, subtract_mean: bool = True) -> Pixels:
    """Describes the network input for such clips. `flow` is the content of `flow.json`."""
    pixels = Pixels("rgb", clip.channels, size, num_frames=clip.length if clip.is_spread else 0)
    if not clip.is_flow:  # `sg3i` and `rgb_difference` show motion too, but are made of frames.
        return replace(pixels, differences=clip.kind == "rgb_difference")
    still, reach, _ = RULES[flow["rule"]]
    levels = replace(pixels, family="flow", bound=flow["bound"], still=still, reach=reach)
    return replace(levels, subtract_mean=subtract_mean and clip.kind != "flow_spread")


@dataclass(frozen=True)
class Scaling:
    """The range of RGB pixels for which a network was trained: `(pixel - mean) / deviation`."""

    mean: tuple[float, float, float]  # Red, green, blue.
    deviation: tuple[float, float, float]
    blue_first: bool = False
    motion_in_pixels: bool = False  # If not, the bound is scaled to the value of white.
    still: float = 0.0  # The value of no motion.


SCALINGS = {
    "signed": Scaling((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "motion": Scaling((127.5, 127.5, 127.5), (127.5, 127.5, 127.5), motion_in_pixels=True),
    "torch": Scaling((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "half": Scaling((128.0, 128.0, 128.0), (128.0, 128.0, 128.0)),
    "unit": Scaling((0.0, 0.0, 0.0), (255.0, 255.0, 255.0), still=0.5),
    "tsn": Scaling((128.0, 117.0, 104.0), (1.0, 1.0, 1.0), blue_first=True),
    "caffe": Scaling((123.68, 116.779, 103.939), (1.0, 1.0, 1.0), blue_first=True),
}


def scaled(inputs: keras.KerasTensor, pixels: Pixels, scaling: str) -> keras.KerasTensor:
    """Returns the input scaled to its range, always in float32."""
    if pixels.family == "flow":
        return _motion(inputs, pixels, SCALINGS[scaling])
    if pixels.differences:
        return _differences(inputs, SCALINGS[scaling])
    return _colours(inputs, SCALINGS[scaling])


def _colours(inputs: keras.KerasTensor, scaling: Scaling) -> keras.KerasTensor:
    mean, deviation = list(scaling.mean), list(scaling.deviation)
    if inputs.shape[-1] != 3:  # Means of colours don't apply to a stack of grey frames.
        mean, deviation = [_middle(mean)], [_middle(deviation)]
    scale = [1 / value for value in deviation]
    offset = [-middle / value for middle, value in zip(mean, deviation, strict=True)]
    x = layers.Rescaling(_plainest(scale), _plainest(offset), dtype="float32", name="scaling")(inputs)
    return ops.flip(x, axis=-1) if scaling.blue_first and inputs.shape[-1] == 3 else x


def _differences(inputs: keras.KerasTensor, scaling: Scaling) -> keras.KerasTensor:
    frames = layers.Rescaling(1 / _middle(scaling.deviation), dtype="float32", name="scaling")(inputs)
    return frames[..., 3:] - frames[..., :-3]


def _motion(inputs: keras.KerasTensor, pixels: Pixels, scaling: Scaling) -> keras.KerasTensor:
    # For weights that were trained on photographs, the bound gets the value of white, and no motion is zero.
    bound = pixels.bound if scaling.motion_in_pixels else 127.5 / _middle(scaling.deviation)
    step = bound / pixels.reach
    flow = layers.Rescaling(step, -pixels.still * step, dtype="float32", name="motion")(inputs)
    flow = flow - ops.mean(flow, axis=(1, 2), keepdims=True) if pixels.subtract_mean else flow
    return flow + scaling.still if scaling.still else flow


def _middle(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _plainest(values: list[float]) -> float | list[float]:
    return values[0] if len(set(values)) == 1 else values
