"""Computes features of frames that are spread over a video: what is seen, in which order, and how it changes.

A mean over frames loses their order, and a single frame shows no change. The five parts below keep both. They cost one
pass of an ImageNet network for each frame.
"""

import keras
from keras import layers, ops

# With more frames than this, only every second one is used where order counts, to limit the number of weights.
MOST_IN_ORDER = 10


def frames_of(images: keras.KerasTensor, channels: int = 3) -> keras.KerasTensor:
    """Returns clips [B, H, W, C K] as frames, or as stacks with this number of channels: [B K, H, W, C]."""
    height, width, total = images.shape[1:]
    apart = ops.reshape(images, (-1, height, width, total // channels, channels))
    return ops.reshape(ops.transpose(apart, (0, 3, 1, 2, 4)), (-1, height, width, channels))


def parts_in_time(middle: keras.KerasTensor, last: keras.KerasTensor, num_frames: int) -> keras.KerasTensor:
    """Returns the features of clips, in named parts, from the middle and the last maps of their frames.

    `look` is the mean of the last map over frames; `order` is the same for each frame; `step` has the differences
    between frames of the middle map's means; `change` is the largest difference anywhere in the middle map, for each
    channel, averaged over time; `changes` is the same in order of time.
    """
    every = 2 if num_frames > MOST_IN_ORDER else 1
    seen = by_clip(ops.mean(last, axis=(1, 2)), num_frames)
    known = by_clip(ops.mean(middle, axis=(1, 2)), num_frames)[:, ::every]
    maps = by_clip(middle, num_frames)
    changes = ops.max(ops.abs(maps[:, 1:] - maps[:, :-1]), axis=(2, 3))
    parts = [
        layers.Identity(name="look")(ops.mean(seen, axis=1)),
        layers.Flatten(name="order")(seen[:, ::every]),
        layers.Flatten(name="step")(known[:, 1:] - known[:, :-1]),
        layers.Identity(name="change")(ops.mean(changes, axis=1)),
        layers.Flatten(name="changes")(changes[:, ::every]),
    ]
    return layers.Concatenate(name="features")(parts)


def parts_of(network: keras.Model) -> dict[str, int]:
    """Returns the parts of a network's features in order, with the number of features of each."""
    features = network.get_layer("features")
    if not isinstance(features, layers.Concatenate):
        return {"features": features.output.shape[-1]}
    return {part._keras_history.operation.name: part.shape[-1] for part in features.input}


def by_clip(values: keras.KerasTensor, num_frames: int) -> keras.KerasTensor:
    """Returns values of frames [B K, ...] as values of clips, [B, K, ...]."""
    return ops.reshape(values, (-1, num_frames, *values.shape[1:]))
