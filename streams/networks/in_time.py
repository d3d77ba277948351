"""Builds networks that look at frames or flow spread over a whole video, in order."""

import keras
from keras import layers, ops

from streams.networks.attention_in_time import attending_network
from streams.networks.backbones.table import Backbone
from streams.networks.frames_in_time import by_clip, frames_of, parts_in_time
from streams.networks.motion_in_time import motion_features, motion_logits
from streams.networks.preprocessing import Pixels, scaled
from streams.networks.shift import with_shift

_WRONG_IN_TIME = (
    "--backbone motion takes only flow that is spread over a video (--input flow_spread), and networks with dense "
    "layers take only one clip at a time."
)


def network_in_time(
    inputs: keras.KerasTensor, pixels: Pixels, parts: Backbone, num_classes: int, dropout: float
) -> keras.Model:
    """Returns the network from spread frames, or spread flow, to logits."""
    is_unfit = parts.in_time == "flow" and (pixels.family, pixels.channels) != ("flow", 2 * pixels.num_frames)
    if parts.dense or is_unfit or not pixels.num_frames:
        raise ValueError(_WRONG_IN_TIME)
    if pixels.family != parts.in_time:
        return attending_network(inputs, pixels, parts, num_classes, dropout)
    name = f"{parts.in_time}_in_time"
    if pixels.family == "flow":
        features = motion_features(scaled(inputs, pixels, "motion"))
        return keras.Model(inputs, motion_logits(features, pixels.num_frames, num_classes, dropout), name=name)
    assert parts.build_maps
    features = parts_in_time(*parts.build_maps(scaled(frames_of(inputs), pixels, parts.scaling)), pixels.num_frames)
    logits = layers.Dense(num_classes, name="logits", dtype="float32")(
        layers.Dropout(dropout, name="dropout")(features)
    )
    return keras.Model(inputs, logits, name=name)


def shifted_network(
    inputs: keras.KerasTensor, pixels: Pixels, parts: Backbone, num_classes: int, dropout: float, share: float
) -> keras.Model:
    """Returns a network for spread frames, or stacks of flow, whose blocks shift a share of their channels in time.

    Features are averaged over time, so the logits are the average of the frames' logits (TSM, Sec. 4).
    """
    if not pixels.num_frames or parts.dense:
        raise ValueError(
            "--shift moves channels between frames or stacks of one video, in residual networks. Pass --input "
            "rgb_spread, flow_spread or flow_stacks, their number as --length N, and for instance --backbone resnet50."
        )
    apart = frames_of(inputs, pixels.channels // pixels.num_frames)
    pooled = layers.GlobalAveragePooling2D(name="pooled")(parts.build(scaled(apart, pixels, parts.scaling)))
    if parts.normalised:
        pooled = layers.LayerNormalization(epsilon=1e-6, name="normalised")(pooled)
    features = layers.Identity(name="features")(ops.mean(by_clip(pooled, pixels.num_frames), axis=1))
    dropped = layers.Dropout(dropout, name="dropout")(features)
    logits = layers.Dense(num_classes, name="logits", dtype="float32")(dropped)
    return with_shift(keras.Model(inputs, logits, name=f"{pixels.family}_in_time"), share, pixels.num_frames)
