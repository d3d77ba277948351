"""The crop where the network runs: the host only reads and decodes, an accelerator cuts, resizes, mirrors and colours.

The recipe is that of the pipeline, from the same random numbers: both ways give the same clips within a level.
"""

import tensorflow as tf

from pipelines import augment
from pipelines.inputs import Input
from pipelines.source import Source


def read_fields(
    source: Source, files: list[dict[str, tf.Tensor]], randoms: tf.Tensor, crop_size: int, augmentation: str, side: int
) -> dict[str, tf.Tensor]:
    """Reads whole planes, a square as wide as the frame is high around what will be cut: planes uint8[n, side, side].

    In colour planes are uint8[n, side, side, 3]; n is the number of files of all segments.
    """
    segments = source.clip.segments
    contents = [source.contents(segment) for segment in files]
    height, width = tf.unstack(source.frame_size(contents[0][0]))
    fits = tf.equal(tf.minimum(height, width), side)
    tf.debugging.Assert(
        fits, ["All frames must have one short side for the device crop:", files[0]["path"], height, width]
    )
    box = augment.random_box(augmentation, height, width, crop_size, randoms)
    top, left = tf.minimum(box[0], height - side), tf.minimum(box[1], width - side)
    window = tf.stack([top, left, side, side])
    planes = tf.stack([plane for content in contents for plane in source.planes(content, window)])
    if not source.clip.is_colour:
        planes = tf.squeeze(planes, -1)
    count = segments * (source.clip.channels // (3 if source.clip.is_colour else 1))
    return {
        "planes": tf.ensure_shape(planes, (count, side, side, *((3,) if source.clip.is_colour else ()))),
        "box": box - tf.stack([top, left, 0, 0]),
        "mirror": randoms[4] < 0.5 if augmentation != "none" else tf.constant(False),
        "colour": randoms[5:8],
    }


def crop(
    fields: dict[str, tf.Tensor], clip: Input, crop_size: int, augmentation: str, rule: str = "centred"
) -> tf.Tensor:
    """Returns the clips of a batch of `read_fields`, uint8[B, size, size, C], or [B, segments, size, size, C].

    Cutting, resizing and mirroring are one matrix for rows and one for columns, which XLA and tensor cores like.
    """
    planes, is_mirrored = tf.cast(fields["planes"], tf.float32), fields["mirror"]
    box = tf.cast(fields["box"], tf.float32)
    if clip.is_colour:
        shape = planes.shape
        planes = tf.reshape(tf.transpose(planes, [0, 1, 4, 2, 3]), [-1, 3 * shape[1], shape[2], shape[3]])
    rows = _bilinear(box[:, 0], box[:, 2], crop_size, planes.shape[2])
    columns = _bilinear(box[:, 1], box[:, 3], crop_size, planes.shape[3])
    columns = tf.where(is_mirrored[:, None, None], columns[:, ::-1], columns)
    cut = tf.einsum("bys,bnst,bxt->byxn", rows, planes, columns, optimize="optimal")
    if clip.is_flow:
        is_x = tf.range(cut.shape[-1]) % 2 == 0
        cut = tf.where(is_mirrored[:, None, None, None] & is_x, augment.opposite_pixels(cut, rule), cut)
    clips = tf.cast(tf.clip_by_value(tf.round(cut), 0.0, 255.0), tf.uint8)
    if augmentation == "paper" and clip.is_colour:
        clips = tf.map_fn(lambda one: augment.jitter_colour(one[0], one[1]), (clips, fields["colour"]), tf.uint8)
    if clip.segments == 1:
        return clips
    parts = tf.reshape(clips, [-1, crop_size, crop_size, clip.segments, clip.channels])
    return tf.transpose(parts, [0, 3, 1, 2, 4])


def _bilinear(start: tf.Tensor, length: tf.Tensor, size: int, whole: int) -> tf.Tensor:
    """Returns the weights, [B, size, whole], with which pixels of a stretch make `size` new ones."""
    centres = (tf.range(size, dtype=tf.float32) + 0.5)[None] * length[:, None] / size - 0.5
    places = start[:, None] + tf.clip_by_value(centres, 0.0, length[:, None] - 1.0)
    return tf.maximum(0.0, 1.0 - tf.abs(places[..., None] - tf.range(whole, dtype=tf.float32)))
