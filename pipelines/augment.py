"""Crops, mirrors and changes colours: pure functions of images and random numbers, the same for all channels of a clip.

A *frame* is its height and width, int32[2]. A *box* is int32[4]: top, left, height and width of what is cut from it.
`randoms` are numbers in 0..1.
"""

import tensorflow as tf

from data.optical_flow.levels import RULES
from pipelines.inputs import MOST

# Sides of a crop as shares of the frame's short side, for height and for width. Very deep two-stream networks (Wang et
# al., 2015) and temporal segment networks (Wang et al., 2016) leave the last one out for flow and for differences.
SCALES = (1.0, 0.875, 0.75, 0.66)
# The frame's corners and its centre, as shares of the way down and to the right.
FIVE_PLACES = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5))

# Their places, in quarters of the room that a crop has: corners and centre, the middles of the sides, and halfway from
# the centre to the corners.
THIRTEEN_PLACES = (
    *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),
    *((0, 2), (4, 2), (2, 0), (2, 4)),
    *((1, 1), (1, 3), (3, 1), (3, 3)),
)
# A side within so many pixels of the network's input is set to it, which avoids resizing.
NEARLY = 3

# How many random numbers one clip needs: two places, two sides, one mirror, three colours.
NUM_RANDOMS = 8
# How far brightness, contrast and saturation are drawn from 1.
COLOUR_RANGE = 0.3


def random_box(
    augment: str, frame: tf.Tensor, size: int, randoms: tf.Tensor, shown: str = "pixels", is_motion: bool = False
) -> tf.Tensor:
    """Returns the box that is cut from a frame: what is `shown` of it, moved and scaled by an augmentation."""
    if shown == "whole":
        return tf.concat([[0, 0], frame], axis=0)
    if shown == "most":
        size = most_of(frame)
    if augment == "none":
        return place_box(frame, size, 0.5)
    if augment == "corners":
        return _corner_box(frame, randoms)
    if augment == "multi-scale":
        return _multi_scale_box(frame, size, randoms, SCALES[:3] if is_motion else SCALES)
    # The room plus one: random numbers are below 1, so the last place would otherwise never be drawn.
    place = tf.cast(randoms[:2] * tf.cast(frame - size + 1, tf.float32), tf.int32)
    return tf.concat([tf.minimum(place, frame - size), [size, size]], axis=0)


def most_of(frame: tf.Tensor) -> tf.Tensor:
    """Returns the side of a square that shows most of a frame."""
    return tf.cast(tf.round(MOST * tf.cast(tf.reduce_min(frame), tf.float32)), tf.int32)


def place_box(frame: tf.Tensor, sides: tf.Tensor | int, place: tf.Tensor | tuple[float, float] | float) -> tf.Tensor:
    """Returns a box at these shares, 0 to 1, of the free space that it has in the frame, down and to the right."""
    corner = tf.cast(tf.cast(frame - sides, tf.float32) * place, tf.int32)
    return tf.concat([corner, tf.broadcast_to(sides, [2])], axis=0)


def crop(images: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    """Cuts a box from [..., H, W, C]."""
    return images[..., box[0] : box[0] + box[2], box[1] : box[1] + box[3], :]


def opposite(levels: tf.Tensor, rule: str = "centred") -> tf.Tensor:
    """Returns the levels of the opposite motion; see data/optical_flow/levels.py.

    The rule `centred` has no level 0, but a decoder may write it beside a clipped edge. It counts as 1.
    """
    numbers = RULES[rule]
    known = tf.maximum(levels, tf.constant(numbers.lowest, tf.uint8)) if numbers.lowest else levels
    known = tf.minimum(known, tf.constant(numbers.highest, tf.uint8)) if numbers.highest < 255 else known
    # Inverting all bits gives 255 - level. Just 0 - level fails: TensorFlow's optimiser turns it into a negation, which
    # uint8 does not have.
    return tf.bitwise.invert(known) + tf.constant(int(2 * numbers.still) - 255 & 255, tf.uint8)


def opposite_pixels(levels: tf.Tensor, rule: str = "centred") -> tf.Tensor:
    """Does the same as `opposite` for levels that are floats."""
    numbers = RULES[rule]
    return 2.0 * numbers.still - tf.clip_by_value(levels, float(numbers.lowest), float(numbers.highest))


def mirror_flow(stack: tf.Tensor, rule: str = "centred") -> tf.Tensor:
    """Mirrors uint8 flow [..., H, W, 2L]: what moved right now moves left, so x channels change their sign."""
    # A slice [::-1] does the same and takes sixteen times as long.
    mirrored = tf.reverse(stack, [-2])
    is_x = tf.range(tf.shape(stack)[-1]) % 2 == 0
    return tf.where(is_x, opposite(mirrored, rule), mirrored)


def jitter_colour(clips: tf.Tensor, randoms: tf.Tensor) -> tf.Tensor:
    """Changes saturation, contrast and brightness of uint8[B, H, W, 3 n], the same for all n frames of a clip.

    All three are linear in a pixel's colour, so they are one matrix and one offset a clip.
    """
    factors = 1.0 + COLOUR_RANGE * (2.0 * randoms - 1.0)
    saturation, contrast, brightness = (factors[:, number, None, None] for number in range(3))
    luma = tf.ones([3, 1]) * tf.constant([[0.299, 0.587, 0.114]])
    matrix = contrast * brightness * (saturation * tf.eye(3) + (1.0 - saturation) * luma)
    offset = brightness * (1.0 - contrast) * 128.0
    pixels = tf.cast(tf.reshape(clips, [tf.shape(clips)[0], -1, 3]), tf.float32)
    changed = tf.matmul(pixels, matrix, transpose_b=True) + (offset + 0.5)
    return tf.reshape(tf.cast(tf.clip_by_value(changed, 0.0, 255.0), tf.uint8), tf.shape(clips))


def _corner_box(frame: tf.Tensor, randoms: tf.Tensor) -> tf.Tensor:
    """Returns a box in a corner or the centre, with sides that are drawn separately."""
    place = tf.gather(tf.constant(FIVE_PLACES), tf.cast(randoms[0] * len(FIVE_PLACES), tf.int32))
    scales = tf.gather(tf.constant(SCALES), tf.cast(randoms[2:4] * len(SCALES), tf.int32))
    return place_box(frame, tf.cast(scales * tf.cast(tf.reduce_min(frame), tf.float32), tf.int32), place)


def _multi_scale_box(frame: tf.Tensor, size: int, randoms: tf.Tensor, scales: tuple[float, ...]) -> tf.Tensor:
    """Returns a box at one of 13 places, whose sides are of the same scale or of neighbouring ones."""
    short_side = tf.reduce_min(frame)
    sides = tf.cast(tf.constant(scales) * tf.cast(short_side, tf.float32), tf.int32)
    sides = tf.minimum(tf.where(tf.abs(sides - size) < NEARLY, size, sides), short_side)
    numbers = range(len(scales))
    pairs = [(high, wide) for high in numbers for wide in numbers if abs(high - wide) <= 1]
    pair = tf.gather(sides, tf.gather(tf.constant(pairs), tf.cast(randoms[2] * len(pairs), tf.int32)))
    place = tf.gather(tf.constant(THIRTEEN_PLACES), tf.cast(randoms[0] * len(THIRTEEN_PLACES), tf.int32))
    return tf.concat([place * ((frame - pair) // 4), pair], axis=0)
