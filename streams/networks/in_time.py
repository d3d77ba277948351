"""Networks that look at frames or flow spread over a whole video, in order."""

import keras
from keras import layers

from streams.networks.backbones.table import Backbone
from streams.networks.frames_in_time import frames_of, parts_in_time
from streams.networks.motion_in_time import motion_features, motion_logits
from streams.networks.preprocessing import Pixels, scaled

_WRONG_IN_TIME = (
    "Frames spread over a video (--input rgb_spread) are looked at by --backbone mobilenet or mobilenet_v2, flow "
    "spread over a video (--input flow_spread) by --backbone motion, which looks at nothing else."
)


def network_in_time(
    inputs: keras.KerasTensor, pixels: Pixels, parts: Backbone, num_classes: int, dropout: float
) -> keras.Model:
    """Returns the network from spread frames, or spread flow, to logits."""
    if pixels.family != parts.in_time or not pixels.num_frames:
        raise ValueError(_WRONG_IN_TIME)
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
