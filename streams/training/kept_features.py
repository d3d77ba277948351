"""Features of a frozen network, computed once and kept, on which its last layer is trained in seconds."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf
from keras import layers
from rich.progress import track

from commands.files import replacing
from data.catalog import Video
from pipelines.clip_stream import WHOLE, Clips, ClipStream, Shard
from pipelines.drawing import Draw
from pipelines.unreadable import readable_views
from streams.config import TrainConfig
from streams.networks.scoring import score_videos
from streams.runs.run_folder import Run
from streams.training.devices import part_of_batches
from streams.training.fit import Learner, building

# Evenly spaced views of each video, of which a pass over the videos draws one each.
NUM_VIEWS = 5

Views = Iterable[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]  # Of each video in turn, as `scoring.score_videos` takes them.


@dataclass(frozen=True)
class FeatureStream(Clips):
    """Features in place of clips: of each video that a step draws, those of one random view."""

    clips: ClipStream
    features: np.ndarray  # float32[videos, views, D].
    labels: np.ndarray
    held_out: tuple[np.ndarray, np.ndarray] | None

    @property
    def steps_per_epoch(self) -> int:
        """How many whole batches one pass over the videos makes."""
        return self.clips.steps_per_epoch

    def batches(self, step: int = 0, shard: Shard = WHOLE) -> tf.data.Dataset:
        """Builds an endless dataset of `(features, labels)` from `step` on."""
        found = feature_batches(self.features, self.labels, self.clips.rows, seed=self.clips.seed, start_step=step)
        return part_of_batches(found, shard)

    def validation(self) -> tf.data.Dataset | None:
        """Builds batches of all views of the held-out videos."""
        if self.held_out is None:
            return None
        features, labels = self.held_out
        flat = features.reshape(-1, features.shape[-1]), np.repeat(labels, NUM_VIEWS, axis=0)
        return tf.data.Dataset.from_tensor_slices(flat).batch(self.clips.batch_size)

    def names(self, step: int) -> Sequence[str]:
        """Returns the names of the videos in the batch of a step."""
        return self.clips.names(step)


def on_features(learner: Learner, clips: ClipStream, config: TrainConfig) -> tuple[Learner, FeatureStream]:
    """Returns the last layer alone and the features that it learns from; the whole network is saved.

    The frozen layers make the features of centred crops, unless a file has them from before.
    """
    network, card = learner.network, learner.card
    folder = Run.of(config.runs, card.data_set, card.stream, card.split).folder / "features"

    def features_of(videos: Sequence[Video], part: str) -> tuple[np.ndarray, np.ndarray]:
        views = readable_views(clips.dataset, videos, clips.clip, num_views=NUM_VIEWS)
        named = [video.name for video in videos], views
        return cached_features(network, named, folder / f"{part}.h5", keep=not config.dry_run)

    features, labels = features_of(clips.videos, "train")
    held_out = features_of(clips.held_out, "validation") if clips.held_out else None
    with building(config, network.distribute_strategy):
        head, whole = with_fresh_head(network)
    return Learner(head, card, saved=whole), FeatureStream(clips, features, labels, held_out)


def cached_features(
    network: keras.Model, named_views: tuple[Sequence[str], Views], path: Path, *, keep: bool = True
) -> tuple[np.ndarray, np.ndarray]:
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


def with_fresh_head(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Returns a fresh last layer, with the dropout before it, as a network from features to logits, and the whole."""
    features, dropout = network.get_layer("features").output, network.get_layer("dropout")
    head = layers.Dense(network.get_layer("logits").units, name="logits", dtype="float32")
    inputs = keras.Input(features.shape[1:], name="features")
    alone = keras.Model(inputs, head(layers.Dropout(dropout.rate)(inputs)), name=f"{network.name}_head")
    return alone, keras.Model(network.input, head(dropout.output), name=network.name)


def _key(network: keras.Model, names: Sequence[str]) -> str:
    """Returns what changes whenever the features do, or their order."""
    digest = hashlib.sha256("\n".join(names).encode())
    for layer in network.layers:
        if layer.name != "logits":
            for weight in layer.get_weights():
                digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
