"""Scores videos with a saved model. This is the only prediction loop."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias, cast

import keras
import numpy as np
import tensorflow as tf

from pipelines.augment import mirror_flow, most_of
from streams.networks.variants import variant

# The crops that go through the network at once. On a processor, a few dozen occupy all cores and stay in its caches:
# there, 64 cost a third less than 640. An accelerator needs more.
_CROPS_AT_ONCE = {"CPU": 64, "GPU": 512}

CROPS = (1, 5, 10, "full")
Crops: TypeAlias = int | Literal["full"]


def score_videos(
    model: keras.Model,
    views: Iterable[tuple[tf.Tensor | tuple[tf.Tensor, ...], np.ndarray, np.ndarray]],
    *,
    num_crops: Crops,
    precision: str = "float32",
    flow_rule: str = "",
    shown: str = "pixels",
    in_mirror: Sequence[int] = (),
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Returns each video's `(logits float32[views, C], label)`, averaged over the crops of a view.

    `views` are those of pipelines.clips.distinct_views: equal views are scored only once. For a network of several
    inputs, there is a tuple of tensors instead of one.
    """
    how = {"precision": precision, "flow_rule": flow_rule, "shown": shown}
    return scores_of(view_scorer(model, num_crops=num_crops, in_mirror=in_mirror, **how), views)


def scores_of(
    score: Callable[..., tf.Tensor],
    views: Iterable[tuple[tf.Tensor | tuple[tf.Tensor, ...], np.ndarray, np.ndarray]],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields what `score_videos` does, by the function that `view_scorer` returned."""
    for distinct, of_view, label in views:
        inputs = distinct if isinstance(distinct, tuple) else (distinct,)
        yield score(*inputs).numpy()[np.asarray(of_view)], np.asarray(label)


def view_scorer(
    model: keras.Model,
    *,
    num_crops: Crops,
    precision: str = "float32",
    flow_rule: str = "",
    shown: str = "pixels",
    in_mirror: Sequence[int] = (),
) -> Callable[..., tf.Tensor]:
    """Returns a compiled function from views uint8[views, H, W, C] to their logits, averaged over crops.

    One crop is the centre, five are also the corners, ten also their mirror images. `full` scores whole frames and
    their mirror images, fully convolutionally. `flow_rule` is the rule of the levels on which the network was trained:
    mirroring flow changes the sign of its horizontal part. `in_mirror` gives the class that each class becomes in a
    mirror, if some change. `shown` is the part of a frame on which the network was trained: a `whole` frame has only
    one crop. A network of both streams takes views of frames first, then those of flow.
    """
    inputs = ordered_inputs(model)
    is_flow = any(each.name == "flow" for each in inputs)
    num_crops = _possible_crops(num_crops, shown, needs_rule=is_flow and not flow_rule)
    network = variant(model, whole_frames=num_crops == "full", precision=precision)
    num_classes = model.outputs[0].shape[-1]
    device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    is_turned = in_mirror and num_crops in (10, "full")
    mean = partial(_mean_of_mirrors, in_mirror=in_mirror) if is_turned else partial(tf.reduce_mean, axis=1)
    views_at_once = max(1, _CROPS_AT_ONCE[device] // (10 if num_crops == "full" else num_crops))

    def cut(*views: tf.Tensor) -> tuple[tf.Tensor, ...]:
        crops = [_crops_of(each, spec, num_crops, flow_rule, shown) for each, spec in zip(views, inputs, strict=True)]
        return tuple(_images(crop) for crop in crops)

    def joined(predicted: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        return mean(tf.reshape(tf.cast(predicted, tf.float32), [count, -1, num_classes]))

    score = (_by_tensorflow if keras.backend.backend() == "tensorflow" else _by_other_backend)(network, cut, joined)

    def score_some(*views: tf.Tensor) -> tf.Tensor:
        count = views[0].shape[0]
        if count == 0:
            raise ValueError("There are no views to score. Pass at least 1.")
        starts = range(0, count, views_at_once)
        return tf.concat([score(*(each[start : start + views_at_once] for each in views)) for start in starts], axis=0)

    return score_some


def _by_tensorflow(
    network: keras.Model, cut: Callable[..., tuple[tf.Tensor, ...]], joined: Callable[..., tf.Tensor]
) -> Callable[..., tf.Tensor]:
    """Returns a function from views to logits, all in one graph."""

    def score(*views: tf.Tensor) -> tf.Tensor:
        return joined(network(_named(network, cut(*views)), training=False), tf.shape(views[0])[0])

    return _compiled(network)(score)


def _by_other_backend(
    network: keras.Model, cut: Callable[..., tuple[tf.Tensor, ...]], joined: Callable[..., tf.Tensor]
) -> Callable[..., tf.Tensor]:
    """Returns the same for JAX, for instance: TensorFlow only cuts, and Keras compiles the network."""
    crops_of = _compiled(network)(cut)

    def score(*views: tf.Tensor) -> tf.Tensor:
        images = [image.numpy() for image in crops_of(*views)]
        return joined(network.predict_on_batch(_named(network, images)), len(views[0]))

    return score


def _compiled(network: keras.Model) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    # One trace serves videos of every size and length. AutoGraph would take most of the time of the first answer.
    signature = [tf.TensorSpec([None, None, None, each.shape[-1]], tf.uint8) for each in ordered_inputs(network)]
    return cast(Callable[..., Any], tf.function(autograph=False, input_signature=signature))


def _named(network: keras.Model, images: Sequence[Any]) -> object:
    """Returns what a network is called with: the images of its inputs by their names, or those of the only one."""
    names = [each.name for each in ordered_inputs(network)]
    return dict(zip(names, images, strict=True)) if len(names) > 1 else images[0]


def _possible_crops(num_crops: Crops, shown: str, *, needs_rule: bool) -> Crops:
    """Returns the crops of a view. Raises ValueError for an impossible number, and for mirrored flow without a rule."""
    if num_crops not in CROPS:
        raise ValueError(f"A view is scored by {CROPS} crops. Received {num_crops!r}.")
    if shown == "whole":  # A whole frame has no other crops, and was not mirrored in training.
        return 1
    if num_crops in (10, "full") and needs_rule:
        raise ValueError("Mirroring flow needs the rule of its levels: pass flow_rule, or num_crops=1.")
    return num_crops


def _mean_of_mirrors(logits: tf.Tensor, in_mirror: Sequence[int]) -> tf.Tensor:
    """Returns the mean over crops [views, crops, C]. The second half of the crops are mirrored."""
    straight, turned = tf.split(logits, 2, axis=1)
    return tf.reduce_mean(tf.concat([straight, tf.gather(turned, in_mirror, axis=2)], axis=1), axis=1)


def centres(views: tf.Tensor, size: int, shown: str) -> tf.Tensor:
    """Returns the single crop of each view, uint8[views, size, size, C]."""
    if shown == "whole":
        return _resized(views, tf.constant([size, size]))
    return _squares(views, size, 1, shown)[:, 0]


def _crops_of(views: tf.Tensor, spec: keras.KerasTensor, num_crops: Crops, flow_rule: str, shown: str) -> tf.Tensor:
    """Returns the crops of the views of one input, uint8[views, crops, H, W, C]."""
    size = spec.shape[1]
    if num_crops == "full":
        cut = _whole(views, size, shown)[:, None]
    elif shown == "whole":
        cut = centres(views, size, shown)[:, None]
    else:
        cut = _squares(views, size, num_crops, shown)
    if num_crops not in (10, "full"):
        return cut
    mirror = partial(mirror_flow, rule=flow_rule) if spec.name == "flow" else mirrored
    return tf.concat([cut, mirror(cut)], axis=1)


def _whole(views: tf.Tensor, size: int, shown: str) -> tf.Tensor:
    """Returns whole views, in the size at which a square of `size` shows as much of them as in training."""
    if shown == "pixels":
        return views
    sides = tf.shape(views)[1:3]
    scale = tf.cast(size, tf.float32) / tf.cast(most_of(sides), tf.float32)
    return _resized(views, tf.maximum(size, tf.cast(tf.round(scale * tf.cast(sides, tf.float32)), tf.int32)))


def _resized(views: tf.Tensor, sides: tf.Tensor) -> tf.Tensor:
    smaller = tf.cast(tf.round(tf.image.resize(views, sides)), tf.uint8)
    return tf.ensure_shape(smaller, [None, None, None, views.shape[-1]])


def ordered_inputs(model: keras.Model) -> list[keras.KerasTensor]:
    """Returns the inputs of a network, frames before flow."""
    return sorted(model.inputs, key=lambda each: str(each.name) == "flow")


def mirrored(images: tf.Tensor) -> tf.Tensor:
    """Returns [..., H, W, C] with left and right exchanged."""
    return tf.reverse(images, [-2])  # A slice [::-1] takes sixteen times as long.


def _images(crops: tf.Tensor) -> tf.Tensor:
    """Returns crops [views, crops, H, W, C] as [views * crops, H, W, C]."""
    sides = [known or tf.shape(crops)[axis] for axis, known in enumerate(crops.shape[2:], start=2)]
    return tf.reshape(crops, [-1, *sides])


def _squares(frames: tf.Tensor, size: int, num_crops: int, shown: str) -> tf.Tensor:
    """Returns the centre of each view, or its corners and centre: uint8[views, 1 or 5, size, size, C]."""
    places = [(0.5, 0.5)] if num_crops == 1 else [(0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)]
    sides = tf.shape(frames)[1:3]
    side = most_of(sides) if shown == "most" else tf.constant(size)
    corners = tf.cast(tf.cast(sides - side, tf.float32) * tf.constant(places, tf.float32), tf.int32)
    box = tf.stack([-1, side, side, -1])
    crops = []
    # All corners at once, and one operation for each crop: tracing takes a part of the time to the first answer.
    for start in tf.unstack(tf.pad(corners, [[0, 0], [1, 1]])):
        # Cut first and resized afterwards, as in training. In the other order, positions would be rounded differently.
        crop = tf.slice(frames, start, box)
        crop = _resized(crop, tf.constant([size, size])) if shown == "most" else crop
        crops.append(tf.ensure_shape(crop, [None, size, size, frames.shape[-1]]))
    return tf.stack(crops, axis=1)
