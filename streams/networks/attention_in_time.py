"""Lets any backbone look at moments of a whole video: one network for all moments, whose results attention joins.

A network of one stack of ten fields sees a third of a second. Here every frame or stack of a clip goes through the same
layers, and self-attention (Vaswani et al. 2017) lets each moment look at the others before their mean makes the
features. It is all one network, trained end to end.
"""

import keras
from keras import layers

from streams.networks.backbones.table import Backbone
from streams.networks.frames_in_time import by_clip, frames_of
from streams.networks.preprocessing import Pixels, scaled

# The number of values that describe a moment when moments are compared, and the number of attention heads.
WIDTH, HEADS = 256, 4


def attending_network(
    inputs: keras.KerasTensor, pixels: Pixels, parts: Backbone, num_classes: int, dropout: float
) -> keras.Model:
    """Returns the network from spread frames, or stacks of flow, to logits."""
    apart = frames_of(inputs, pixels.channels // pixels.num_frames)
    pooled = layers.GlobalAveragePooling2D(name="pooled")(parts.build(scaled(apart, pixels, parts.scaling)))
    if parts.normalised:
        pooled = layers.LayerNormalization(epsilon=1e-6, name="normalised")(pooled)
    dropped = layers.Dropout(dropout, name="dropout")(attended(by_clip(pooled, pixels.num_frames)))
    logits = layers.Dense(num_classes, name="logits", dtype="float32")(dropped)
    return keras.Model(inputs, logits, name=f"{pixels.family}_attending")


def attended(moments: keras.KerasTensor) -> keras.KerasTensor:
    """Returns features [B, WIDTH] of moments [B, K, D] after each has attended to the others."""
    shape = moments.shape[1], WIDTH
    # A learned bias tells each moment its position in time.
    x = layers.EinsumDense("bkd,de->bke", shape, bias_axes="ke", name="moments")(moments)
    seen = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name="attention")(x, x)
    joined = layers.LayerNormalization(name="joined_moments")(layers.Add(name="seen_moments")([x, seen]))
    return layers.GlobalAveragePooling1D(name="features")(joined)
