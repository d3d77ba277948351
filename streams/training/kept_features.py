"""Computes the features of a frozen network once and keeps them, so that its last layer is trained in seconds."""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf
from keras import layers
from rich.progress import track

from commands.waiting import Now
from data.catalog import Video
from pipelines.clip_stream import WHOLE, Clips, ClipStream, Shard
from pipelines.sampling import Draw
from pipelines.source import OPTIONS, plainly
from pipelines.unreadable import readable_views
from streams.config import TrainConfig
from streams.networks.scoring import score_videos
from streams.runs.run_folder import Run
from streams.training.fit import Learner, building
from streams.training.machines import part_of_batches

# The number of evenly spaced views of each video. A pass over the videos draws one of them for each video.
NUM_VIEWS = 5
Views = Iterable[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]  # For each video, in the form of `scoring.score_videos`.
# The number of videos between two flushes of the file of features.
_FLUSHED_EVERY = 50


@dataclass(frozen=True)
class FeatureStream(Clips):
    """Features instead of clips. A step takes one random view of each video that it draws."""

    clips: ClipStream
    features: np.ndarray  # float32[videos, views, D].
    labels: np.ndarray
    held_out: tuple[np.ndarray, np.ndarray] | None

    @property
    def videos(self) -> Sequence[Video]:  # type: ignore[override]
        """The videos for training."""
        return self.clips.videos

    @property
    def steps_per_epoch(self) -> int:
        """The number of whole batches in one pass over the videos."""
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
        return tf.data.Dataset.from_tensor_slices(flat).batch(self.clips.batch_size).with_options(OPTIONS)

    def names(self, step: int) -> Sequence[str]:
        """Returns the names of the videos in the batch of a step."""
        return self.clips.names(step)


def on_features(learner: Learner, clips: ClipStream, config: TrainConfig, run: Run) -> tuple[Learner, FeatureStream]:
    """Returns the last layer as a separate network, which saves the whole one, and the features that it learns from."""
    network = learner.network
    features, labels = kept_features(network, clips, clips.videos, run, config)
    held_out = kept_features(network, clips, clips.held_out, run, config, "validation") if clips.held_out else None
    with building(config, network.distribute_strategy):
        head, whole = with_fresh_head(network)
    return Learner(head, learner.card, saved=whole), FeatureStream(clips, features, labels, held_out)


def kept_features(
    network: keras.Model, clips: ClipStream, videos: Sequence[Video], run: Run, config: TrainConfig, part: str = "train"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns `(float32[videos, views, D], labels)` of centred crops. A file keeps the finished ones."""
    num_views = 1 if clips.clip.is_spread else NUM_VIEWS

    def views_from(done: int) -> Views:
        return readable_views(clips.dataset, videos[done:], clips.clip, num_views=num_views)

    about, names = (run.data_hash, config.shown), [video.name for video in videos]
    path = None if config.dry_run else run.features(part)
    return cached_features(network, names, views_from, path, about=about, shown=config.shown)


def cached_features(
    network: keras.Model,
    names: Sequence[str],
    views_from: Callable[[int], Views],
    path: Path | None,
    *,
    about: Sequence[str] = (),
    shown: str = "pixels",
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the features of videos, and keeps them in a file. `views_from(n)` gives the views from video n on."""
    frozen = keras.Model(network.input, network.get_layer("features").output)
    key = _key(frozen, [*about, *names])
    rows, labels = _read(path, key) if path else ([], [])
    rest = len(names) - len(labels)
    if rest and labels:
        print(f"Going on from video {len(labels) + 1:,} of {len(names):,}; the others are kept.", flush=True)
    Now.doing = "Building the graph of the network, then computing features"
    found = score_videos(frozen, views_from(len(labels)), num_crops=1, shown=shown) if rest else ()
    with _growing(path, key) if path and rest else contextlib.nullcontext(None) as file:
        for row, label in track(found, "Features", total=rest) if rest else ():
            rows.append(row)
            Now.doing = f"Computing features: {len(rows):,} of {len(names):,} videos"
            labels.append(label)
            if file:
                _append(file, row, label)
    return np.stack(rows), np.stack(labels)


def _read(path: Path, key: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the content of a file if it has this key. Deletes a file that is damaged or has another key."""
    with contextlib.suppress(OSError, KeyError, ValueError), h5py.File(path) as file:
        if file.attrs["key"] == key and len(file["features"]) == len(file["labels"]):
            return list(file["features"][()]), list(file["labels"][()])
    path.unlink(missing_ok=True)
    return [], []


@contextlib.contextmanager
def _growing(path: Path, key: str) -> Iterator[h5py.File]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "a") as file:
        file.attrs["key"] = key
        yield file


def _append(file: h5py.File, row: np.ndarray, label: np.ndarray) -> None:
    """Adds a video to the file."""
    for name, values in (("features", row), ("labels", np.asarray(label))):
        if name not in file:
            file.create_dataset(name, (0, *values.shape), values.dtype, maxshape=(None, *values.shape))
        file[name].resize(len(file[name]) + 1, axis=0)
        file[name][-1] = values
    if len(file["labels"]) % _FLUSHED_EVERY == 0:
        file.flush()


def feature_batches(
    features: np.ndarray, labels: np.ndarray, draw: Draw, *, seed: int, start_step: int
) -> tf.data.Dataset:
    """Builds an endless dataset of `(features, labels)`, with one random view of each video that a step draws."""
    values, targets, num_views = tf.constant(features), tf.constant(labels), features.shape[1]

    def load(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows, seeds = draw(step), tf.stack([tf.cast(seed, tf.int64), step])
        drawn = tf.random.stateless_uniform(rows.shape, seeds, 0, num_views, tf.int32)
        return tf.gather_nd(values, tf.stack([rows, drawn], axis=1)), tf.gather(targets, rows)

    return tf.data.Dataset.range(start_step, 2**62).map(plainly(load)).prefetch(2).with_options(OPTIONS)


def with_fresh_head(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Returns a new last layer and its dropout, as a network from features to logits, and the whole network."""
    features, dropout = network.get_layer("features").output, network.get_layer("dropout")
    head = layers.Dense(network.get_layer("logits").units, name="logits", dtype="float32")
    inputs = keras.Input(features.shape[1:], name="features")
    alone = keras.Model(inputs, head(layers.Dropout(dropout.rate)(inputs)), name=f"{network.name}_head")
    return alone, keras.Model(network.input, head(dropout.output), name=network.name)


def _key(frozen: keras.Model, about: Sequence[str]) -> str:
    """Returns a hash that changes if the features or their order would change."""
    # Keras numbers layers without a name, and the numbers continue from one network to the next.
    structure = re.sub(r"_\d+\b", "", frozen.to_json())
    digest = hashlib.sha256("\n".join([*about, structure]).encode())
    for weight in frozen.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
