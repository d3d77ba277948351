"""Features of a frozen network, computed once and kept, on which its last layer is trained in seconds."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf
from keras import layers
from rich.progress import track

from commands.running import replacing
from pipelines.drawing import Draw
from streams.config import TrainConfig
from streams.ingredients import Ingredients
from streams.machines import part_of_batches
from streams.runs import Run
from streams.scoring import score_videos

# Evenly spaced views of each video, of which a pass over the videos draws one each.
NUM_VIEWS = 5

Views = Iterable[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]  # Of each video in turn, as `scoring.score_videos` takes them.


def on_features(
    ingredients: Ingredients,
    config: TrainConfig,
    views_of: Callable[..., Views],
    draw: Draw,
    training: Sequence[Any],
    validation: Sequence[Any],
) -> Ingredients:
    """Returns ingredients that train the last layer alone, on features of centred crops; the whole network is saved.

    `views_of(videos, num_views=N)` gives the views of videos in turn, `draw(step)` the rows of a batch's videos.
    """
    keras.utils.set_random_seed(config.seed)
    network, card = ingredients.network(), ingredients.card
    folder = Run.of(config.runs, card.data_set, card.stream, card.split).folder / "features"

    def features_of(videos: Sequence[Any], part: str) -> tuple[np.ndarray, np.ndarray]:
        names = [video.name for video in videos]
        views = views_of(videos, num_views=NUM_VIEWS)
        return cached_features(network, (names, views), folder / f"{part}.h5", keep=not config.dry_run)

    features, labels = features_of(training, "train")
    held_out = None
    if validation:
        values, their_labels = features_of(validation, "validation")
        flat = values.reshape(-1, values.shape[-1]), np.repeat(their_labels, NUM_VIEWS, axis=0)
        held_out = tf.data.Dataset.from_tensor_slices(flat).batch(config.batch_size)

    def batches(start_step: int, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        return part_of_batches(feature_batches(features, labels, draw, seed=config.seed, start_step=start_step), shard)

    return dataclasses.replace(
        ingredients,
        network=lambda: head_of(network),
        batches=batches,
        validation=held_out,
        broken=None,  # Files are read before the training, and named there.
        saved=lambda head: with_head(network, head),
    )


def cached_features(
    network: keras.Model, named_views: tuple[Sequence[str], Views], path: Path, *, keep: bool = True
) -> Any:
    """Returns `(float32[videos, views, D], labels)` from a file, or computes and keeps them where it has others."""
    names, views = named_views
    key = _key(network, names)
    if path.exists():
        with h5py.File(path) as file:
            if file.attrs["key"] == key:
                return file["features"][()], file["labels"][()]
    backbone = keras.Model(network.input, network.get_layer("features").output)
    found = score_videos(backbone, track(views, "Features", len(names)), num_crops=1)
    features, labels = (np.stack(each) for each in zip(*found, strict=True))
    if not keep:
        return features, labels
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["key"] = key
        file["features"], file["labels"] = features, labels
    return features, labels


def feature_batches(
    features: np.ndarray, labels: np.ndarray, draw: Draw, *, seed: int, start_step: int
) -> tf.data.Dataset:
    """Builds an endless dataset of `(features, labels)`: one random view of each video that a step draws."""
    values, targets, num_views = tf.constant(features), tf.constant(labels), features.shape[1]

    def load(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows, seeds = draw(step), tf.stack([tf.cast(seed, tf.int64), step])
        drawn = tf.random.stateless_uniform(rows.shape, seeds, 0, num_views, tf.int32)
        return tf.gather_nd(values, tf.stack([rows, drawn], axis=1)), tf.gather(targets, rows)

    return tf.data.Dataset.range(start_step, 2**62).map(load).prefetch(2)


def head_of(network: keras.Model) -> keras.Model:
    """Returns a fresh last layer of a network, with the dropout before it, as a network from features to logits."""
    logits, dropout = network.get_layer("logits"), network.get_layer("dropout")
    inputs = keras.Input(network.get_layer("features").output.shape[1:], name="features")
    scores = layers.Dense(logits.units, name="logits", dtype="float32")(layers.Dropout(dropout.rate)(inputs))
    return keras.Model(inputs, scores, name=f"{network.name}_head")


def with_head(network: keras.Model, head: keras.Model) -> keras.Model:
    """Returns the network with the last layer that was trained apart from it."""
    network.get_layer("logits").set_weights(head.get_layer("logits").get_weights())
    return network


def _key(network: keras.Model, names: Sequence[str]) -> str:
    """Returns what changes whenever the features do, or their order."""
    digest = hashlib.sha256("\n".join(names).encode())
    for layer in network.layers:
        if layer.name != "logits":
            for weight in layer.get_weights():
                digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
