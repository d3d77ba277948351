"""Varies the pixels of clips where the network runs. For flow, vectors are rotated and scaled along with pixels."""

import tensorflow as tf

from data.optical_flow.levels import RULES
from pipelines.inputs import Input
from pipelines.variations.drawn import Drawn, Mix

# The level for places outside a frame and for erased ones: grey.
_GREY = 127.5
_LUMA = ((0.299, 0.587, 0.114),)


def varied(clips: tf.Tensor, clip: Input, rule: str, how: Drawn, *, moves_places: bool) -> tf.Tensor:
    """Returns varied clips, uint8 [B, (segments,) H, W, C]. All segments of an example are varied in the same way."""
    shape = tf.shape(clips)
    segments = clip.segments
    images = tf.cast(tf.reshape(clips, [-1, *clips.shape[-3:]]), tf.float32)
    how = Drawn(*(tf.repeat(each, segments, axis=0) for each in how)) if segments > 1 else how
    nothing = RULES[rule].still if clip.is_flow else _GREY
    images -= nothing
    if moves_places:
        images = _moved(images, how.moves)
    images = _played_backwards(images, clip, how.is_backwards)
    images = _with_vectors(images, how) if clip.is_flow else _coloured(images, clip, how.colours)
    images = tf.where(_inside(how.erased, images), 0.0, images) + nothing
    lowest, highest = (RULES[rule].lowest, RULES[rule].highest) if clip.is_flow else (0, 255)
    return tf.reshape(_levels(images, lowest, highest), shape)


def mixed(clips: tf.Tensor, how: Mix) -> tf.Tensor:
    """Returns clips, uint8, mixed with those of the reversed batch."""
    images = tf.cast(clips, tf.float32)
    others = tf.reverse(images, [0])
    blended = how.share * images + (1 - how.share) * others
    return _levels(tf.where(_inside(how.rectangle[None], images), others, blended), 0, 255)


def mixed_labels(labels: tf.Tensor, how: Mix) -> tf.Tensor:
    """Returns the share of each class in mixed clips, float32[B, classes]."""
    area = (how.rectangle[2] - how.rectangle[0]) * (how.rectangle[3] - how.rectangle[1])
    share = how.share * (1 - area)
    return share * labels + (1 - share) * tf.reverse(labels, [0])


def _levels(images: tf.Tensor, lowest: int, highest: int) -> tf.Tensor:
    return tf.cast(tf.round(tf.clip_by_value(images, float(lowest), float(highest))), tf.uint8)


def _moved(images: tf.Tensor, moves: tf.Tensor) -> tf.Tensor:
    """Moves every point of images around their centre. Places where no point comes to are zero."""
    height, width = images.shape[1:3]
    a, b, c, d = (moves[:, row, column] for row in (0, 1) for column in (0, 1))
    back = tf.stack([tf.stack([d, -b], axis=1), tf.stack([-c, a], axis=1)], axis=1) / (a * d - b * c)[:, None, None]
    centre = tf.constant([(width - 1) / 2, (height - 1) / 2], tf.float32)
    offset = centre - tf.linalg.matvec(back, centre)
    rows = [back[:, 0, 0], back[:, 0, 1], offset[:, 0], back[:, 1, 0], back[:, 1, 1], offset[:, 1]]
    transforms = tf.stack([*rows, tf.zeros_like(rows[0]), tf.zeros_like(rows[0])], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.constant([height, width]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _played_backwards(images: tf.Tensor, clip: Input, is_backwards: tf.Tensor) -> tf.Tensor:
    """Reverses the order of frames or fields. What moved to the right then moves to the left."""
    depth = 2 if clip.is_flow else 3 if clip.is_colour else 1
    items = images.shape[-1] // depth
    apart = tf.reshape(images, [-1, *images.shape[1:3], items, depth])
    if clip.kind == "bidirectional":  # Its second half already is the opposite.
        turned = tf.concat([apart[..., items // 2 :, :], apart[..., : items // 2, :]], axis=3)
    else:
        turned = (-1.0 if clip.is_flow else 1.0) * tf.reverse(apart, [3])
    return tf.where(is_backwards[:, None, None, None], tf.reshape(turned, tf.shape(images)), images)


def _with_vectors(images: tf.Tensor, how: Drawn) -> tf.Tensor:
    """Rotates and scales the vectors of flow like its pixels, and multiplies them by the speed."""
    vectors = tf.reshape(images, [-1, *images.shape[1:3], images.shape[-1] // 2, 2])
    changed = tf.einsum("bij,byxnj->byxni", how.moves * how.speed[:, None, None], vectors)
    return tf.reshape(changed, tf.shape(images))


def _coloured(images: tf.Tensor, clip: Input, colours: tf.Tensor) -> tf.Tensor:
    """Changes brightness, contrast and saturation of centred images, the same for all frames of a clip."""
    brightness, contrast, saturation = (each[:, None, None] for each in tf.unstack(colours, axis=1))
    flat = tf.reshape(images, [tf.shape(images)[0], -1, 3 if clip.is_colour else 1])
    if clip.is_colour:
        luma = tf.ones([3, 1]) * tf.constant(_LUMA)
        flat = tf.matmul(flat, saturation * tf.eye(3) + (1 - saturation) * luma, transpose_b=True)
    return tf.reshape(brightness * contrast * flat + (brightness - 1) * _GREY, tf.shape(images))


def _inside(rectangles: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Tells which pixels are inside of rectangles [B or 1, 4], as bool[..., H, W, 1]."""
    height, width = images.shape[-3:-1]
    down = (tf.range(height, dtype=tf.float32) + 0.5) / height
    right = (tf.range(width, dtype=tf.float32) + 0.5) / width
    top, left, bottom, end = tf.unstack(rectangles[..., None], axis=1)
    rows, columns = (down >= top) & (down < bottom), (right >= left) & (right < end)
    found = (rows[:, :, None] & columns[:, None])[..., None]
    return found if len(images.shape) == 4 else found[:, None]
