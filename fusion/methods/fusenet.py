"""Fuses streams by a small network on their scores. It learns from videos on which the streams were not trained."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from commands.running import quiet_tensorflow
from fusion.methods.calibration import log_shares, temperatures
from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Parameters, Rule

if TYPE_CHECKING:
    import keras

_UNITS, _DROPOUT, _EPOCHS, _BATCH = 128, 0.5, 200, 64


def fusenet(evidence: Evidence) -> Rule:
    """Trains a network with one hidden layer on the streams' log-probabilities.

    At first the network returns their sum, so its hidden layer only learns a correction of it.
    """
    at = temperatures(evidence)
    rows = log_shares(evidence, at).transpose(1, 0, 2).astype(np.float32)
    fit = {"epochs": _EPOCHS, "batch_size": _BATCH, "patience": 10}
    network, epochs = trained(_network, rows, evidence, weight_decay=1e-2, **fit)
    gamma, beta, mean, variance, hidden, hidden_bias, kernel, bias = network.get_weights()
    # After training, normalisation is only a scale and an offset, so it is merged into the weights.
    scale = gamma / np.sqrt(variance + network.get_layer("normalised").epsilon)
    hidden_bias = hidden_bias + (beta - mean * scale) @ hidden
    weights = {"hidden": hidden * scale[:, None], "hidden_bias": hidden_bias, "kernel": kernel, "bias": bias}
    return Rule.of(sum_and_more, f"{epochs} epochs", temperatures=at, **weights)


def sum_and_more(evidence: Evidence, parameters: Parameters) -> np.ndarray:
    """Returns the logits of the network: the sum of the log-probabilities, plus the correction by the hidden layer."""
    logs = log_shares(evidence, parameters["temperatures"])
    flat = logs.transpose(1, 0, 2).reshape(logs.shape[1], -1)
    hidden = np.maximum(flat @ parameters["hidden"] + parameters["hidden_bias"], 0.0)
    logits: np.ndarray = logs.sum(axis=0) + hidden @ parameters["kernel"] + parameters["bias"]
    return logits


def trained(
    build: Callable[[np.ndarray], "keras.Model"],
    inputs: np.ndarray,
    evidence: Evidence,
    *,
    epochs: int,
    batch_size: int,
    patience: int,
    weight_decay: float | None = None,
) -> tuple["keras.Model", int]:
    """Builds a network for these inputs and trains it. Held-out groups choose the number of epochs."""
    quiet_tensorflow()
    import keras

    seen, unseen = next(evidence.folds())
    keras.utils.set_random_seed(0)
    network, losses = build(inputs[seen]), keras.losses
    loss = losses.BinaryCrossentropy if evidence.is_multi_label else losses.SparseCategoricalCrossentropy
    # Many steps run in one call, because one step of so small a network takes less time than its call.
    network.compile(
        keras.optimizers.Adam(1e-3, weight_decay=weight_decay), loss(from_logits=True), steps_per_execution=16
    )
    history = network.fit(
        inputs[seen],
        evidence.labels[seen],
        validation_data=(inputs[unseen], evidence.labels[unseen]),
        epochs=epochs,
        batch_size=batch_size,
        callbacks=[keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)],
        verbose=0,
    )
    return network, int(np.argmin(history.history["val_loss"])) + 1


def _network(rows: np.ndarray) -> "keras.Model":
    import keras
    from keras import layers, ops

    inputs = keras.Input(rows.shape[1:])
    x = layers.Flatten()(inputs)
    x = layers.BatchNormalization(name="normalised")(x)
    x = layers.Dense(_UNITS, activation="relu")(x)
    x = layers.Dropout(_DROPOUT)(x)
    added = layers.Dense(rows.shape[2], kernel_initializer="zeros")(x)
    return keras.Model(inputs, ops.sum(inputs, axis=1) + added)
