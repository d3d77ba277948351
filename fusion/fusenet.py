"""A small network on the scores of all streams, trained on scores that the streams did not learn from."""

from typing import Any

import numpy as np

from commands.quiet import quiet_tensorflow
from fusion.calibration import log_shares, temperatures
from fusion.evidence import Evidence
from fusion.rules import Rule

_UNITS, _DROPOUT, _EPOCHS, _BATCH = 128, 0.5, 200, 64


def fusenet(evidence: Evidence) -> Rule:
    """Trains a network with one hidden layer on the streams' log-probabilities.

    It begins as their sum: the hidden layer only learns what has to be added. How long it trains is chosen on groups
    that are kept apart.
    """
    quiet_tensorflow()
    import keras

    at = temperatures(evidence)
    inputs, labels = log_shares(evidence, at), evidence.labels
    seen, unseen = next(evidence.folds())
    stop = keras.callbacks.EarlyStopping(patience=20, restore_best_weights=True)
    keras.utils.set_random_seed(0)
    network = _network(*inputs.shape[::2], several_labels=evidence.is_multi_label)
    history = network.fit(
        _rows(inputs[:, seen]),
        labels[seen],
        validation_data=(_rows(inputs[:, unseen]), labels[unseen]),
        epochs=_EPOCHS,
        batch_size=_BATCH,
        callbacks=[stop],
        verbose=0,
    )
    epochs = int(np.argmin(history.history["val_loss"])) + 1

    def combine(others: Evidence) -> np.ndarray:
        return np.asarray(network(_rows(log_shares(others, at)), training=False))

    return Rule(combine, f"{epochs} epochs")


def _rows(inputs: np.ndarray) -> np.ndarray:
    return inputs.transpose(1, 0, 2).astype(np.float32)


def _network(num_streams: int, num_classes: int, *, several_labels: bool) -> Any:
    import keras
    from keras import layers, ops

    inputs = keras.Input((num_streams, num_classes))
    x = layers.Flatten()(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Dense(_UNITS, activation="relu")(x)
    x = layers.Dropout(_DROPOUT)(x)
    added = layers.Dense(num_classes, kernel_initializer="zeros")(x)
    network = keras.Model(inputs, ops.sum(inputs, axis=1) + added)
    lost = (keras.losses.BinaryCrossentropy if several_labels else keras.losses.SparseCategoricalCrossentropy)(
        from_logits=True
    )
    network.compile(keras.optimizers.AdamW(1e-3, weight_decay=1e-2), lost)
    return network
