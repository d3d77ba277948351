"""Trains from scratch the small network that convolves motion over time; see networks/motion_in_time.py.

It learns from kept features in seconds, so it needs no checkpoints. Against overfitting to few videos, labels are
smoothed and mixed, moments are shifted, and the last weights are averaged.
"""

import keras
import numpy as np

from streams.networks.motion_in_time import CHANNELS, MANY_CELLS

RATE, SMOOTHING, MIXING = 3e-3, 0.1, 0.2
LEAST_STEPS = 200  # The least steps of a training, however few the videos.
MANY_VIDEOS = 1_000  # With this many videos, batches are larger, and the epochs alone give enough steps.


def train_moments(network: keras.Model, moments: np.ndarray, labels: np.ndarray, *, epochs: int, seed: int) -> None:
    """Trains a network of `motion_in_time.moments_network` on moments [V, D]; labels are rows of shares [V, C]."""
    keras.utils.set_random_seed(seed)
    generator, many = np.random.default_rng(seed), len(moments) > MANY_VIDEOS
    batch_size = min(64 if many else 32, len(moments))
    in_epoch = max(1, len(moments) // batch_size)
    steps = max(epochs * in_epoch, 0 if many else LEAST_STEPS)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, 0.01, warmup_target=RATE, warmup_steps=max(1, steps // 10)
    )
    optimizer = keras.optimizers.AdamW(
        rate, weight_decay=1e-4, use_ema=True, ema_momentum=0.99 if many else 0.95, ema_overwrite_frequency=None
    )
    one_each = bool((labels.sum(axis=1) == 1).all())
    loss = keras.losses.CategoricalCrossentropy if one_each else keras.losses.BinaryCrossentropy
    network.compile(optimizer, loss(from_logits=True, label_smoothing=SMOOTHING))
    order = np.array([], np.int64)
    for _ in range(steps):
        if len(order) < batch_size:
            order = generator.permutation(len(moments))
        rows, order = order[:batch_size], order[batch_size:]
        network.train_on_batch(*_mixed(_shifted(moments[rows], generator), labels[rows], generator))
    optimizer.finalize_variable_values(network.trainable_variables)


def predicted(network: keras.Model, values: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Returns the outputs of a network for values [V, D], without the graph that `predict` builds for each network."""
    starts = range(0, len(values), batch_size)
    parts = [np.asarray(network(values[start : start + batch_size], training=False)) for start in starts]
    return np.concatenate(parts)


def _shifted(moments: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Shifts each video by at most one moment; the empty place repeats its neighbour."""
    count = moments.shape[1] // (MANY_CELLS**2 * CHANNELS)
    shifts = generator.integers(-1, 2, (len(moments), 1))
    places = np.clip(np.arange(count) + shifts, 0, count - 1)
    apart = moments.reshape(len(moments), count, -1)
    return apart[np.arange(len(moments))[:, None], places].reshape(moments.shape)


def _mixed(moments: np.ndarray, labels: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mixes each video with another, and the labels alike (Zhang et al., 2018)."""
    shares = generator.beta(MIXING, MIXING, (len(moments), 1)).astype(np.float32)
    others = generator.permutation(len(moments))
    return shares * moments + (1 - shares) * moments[others], shares * labels + (1 - shares) * labels[others]
