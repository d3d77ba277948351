"""Makes the channels of a clip from the images that were read for it, as its kind of input requires.

A *plane* is one decoded image, uint8[H, W, 1], or [H, W, 3] in colour, in the order of `sampling.clip_offsets`;
for flow, x and y in turn.
"""

from collections.abc import Sequence

import tensorflow as tf

from data.optical_flow.levels import RULES
from pipelines.augment import opposite
from pipelines.inputs import Input


def channel_planes(
    planes: list[tf.Tensor], clip: Input, rule: str = "centred", bound: float = 20.0, is_backward_stored: bool = False
) -> list[tf.Tensor]:
    """Returns the planes that are a clip's channels. Only for kinds in ASSEMBLED, they differ from the planes read."""
    if clip.kind == "trajectory":
        return _follow(planes, rule, bound)
    if clip.kind == "bidirectional" and not is_backward_stored:
        # Backward flow from frame t to t - 1 is taken as the opposite of forward flow from t - 1 to t at the same
        # pixel: exact where flow doesn't change over a distance of its own length.
        return planes[: clip.length] + [opposite(plane, rule) for plane in planes[clip.length :]]
    return planes


def join(planes: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns planes as one image of [H, W, channels]."""
    if planes[0].shape[-1] == 3:
        return planes[0] if len(planes) == 1 else tf.concat(planes, axis=-1)
    # Stacking whole planes and transposing once is four times cheaper than concatenating on the last axis.
    image = tf.transpose(tf.squeeze(tf.stack(planes), -1), [1, 2, 0])
    return tf.ensure_shape(image, (None, None, len(planes)))


def _follow(planes: list[tf.Tensor], rule: str, bound: float) -> list[tf.Tensor]:
    """Samples each field where the point of the pixel has moved to by then (Sec. 3.1 of the paper).

    The nearest pixel is taken, so that the stored levels are kept. A point outside the frame takes the motion of the
    nearest pixel of the border, which may lead it back inside.
    """
    still, reach, _ = RULES[rule]
    height, width = tf.shape(planes[0])[0], tf.shape(planes[0])[1]
    down, right = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    down, right = tf.cast(down, tf.float32), tf.cast(right, tf.float32)
    followed = []
    for x, y in zip(planes[0::2], planes[1::2], strict=True):
        row = tf.clip_by_value(tf.cast(tf.round(down), tf.int32), 0, height - 1)
        column = tf.clip_by_value(tf.cast(tf.round(right), tf.int32), 0, width - 1)
        place = row * width + column
        x, y = (tf.gather(tf.reshape(plane, [-1]), place) for plane in (x, y))
        right += (tf.cast(x, tf.float32) - still) * (bound / reach)
        down += (tf.cast(y, tf.float32) - still) * (bound / reach)
        followed += [x[..., None], y[..., None]]
    return followed
