"""Determines the learning rate of each step, the optimizer, and the best epoch of a training."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from streams.config import TrainConfig
from streams.training.tricks.layer_rates import with_layer_rates

_OPTIMIZERS = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop}
History = Sequence[Mapping[str, float]]  # One row per epoch.


class Rate(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of each step: a warm-up, then a schedule, times the `factor` that plateaus leave of it."""

    def __init__(self, config: TrainConfig, steps_per_epoch: int, total_steps: int):
        self.shape, self.total_steps, self.warmup_steps = config.schedule, total_steps, config.warmup * steps_per_epoch
        self.peak = config.learning_rate * config.batch_size / (config.rate_batch or config.batch_size)
        # Milestones have the same unit as the length of the training.
        self.milestones = [(1 if config.steps else steps_per_epoch) * each for each in config.milestones]
        self.factor = tf.Variable(1.0, trainable=False, name="plateau_factor")

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """Returns the rate of step `step`, counted from 0."""
        done = tf.cast(step, tf.float32)
        rate = self.peak * self.factor
        if self.shape == "cosine":
            share = (done - self.warmup_steps) / max(1.0, self.total_steps - self.warmup_steps)
            rate *= 0.5 + 0.5 * tf.cos(math.pi * tf.clip_by_value(share, 0.0, 1.0))
        for milestone in self.milestones if self.shape == "step" else ():
            rate *= tf.where(done < milestone, 1.0, 0.1)
        if self.warmup_steps:
            # The first step after the warm-up has the highest rate. So a warm-up of a single step has a lower rate too.
            rate *= tf.minimum(1.0, (done + 1) / (self.warmup_steps + 1))
        return rate

    def get_config(self) -> dict[str, object]:
        """Raises NotImplementedError, because models are saved without their optimizer."""
        raise NotImplementedError("A learning rate is not saved: a training makes its own from its options.")


def make_optimizer(config: TrainConfig, rate: Rate) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a training, with loss scaling where activations are float16."""
    settings: dict[str, Any] = {"learning_rate": rate, "weight_decay": config.weight_decay or None}
    if config.optimizer != "adam":
        settings["momentum"] = config.momentum
    kind, rates = _OPTIMIZERS[config.optimizer], (config.first_layer_rate, config.layer_decay)
    optimizer = kind(**settings) if rates == (1.0, 1.0) else with_layer_rates(kind, *rates, **settings)
    # Biases and normalisation set the scale of activations. Their decay would only work against the next step.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if config.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def best_epoch(history: History) -> int:
    """Returns the epoch, counted from 1, with the lowest validation loss; the last epoch if none is selected."""
    # The loss is used instead of the accuracy, because fusion needs calibrated scores.
    if not history or "val_loss" not in history[-1]:
        return len(history)
    return 1 + min(range(len(history)), key=lambda epoch: history[epoch]["val_loss"])


def plateau_factor(history: History, patience: int) -> float:
    """Returns the factor of the rate: a tenth for each time that `patience` epochs in a row brought no improvement.

    It follows from the history alone, so a resumed training needs nothing else.
    """
    factor, lowest, waited = 1.0, math.inf, 0
    for row in history:
        waited = 0 if row["val_loss"] < lowest else waited + 1
        lowest = min(lowest, row["val_loss"])
        if waited == patience:
            factor, waited = factor / 10, 0
    return factor
