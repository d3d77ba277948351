"""Recurrent networks over the sequence of what both streams made of a video, view by view."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from commands.quiet import quiet_tensorflow
from fusion.evidence import Evidence
from fusion.rules import Rule

_UNITS, _DROPOUT, _EPOCHS, _BATCH = 128, 0.5, 100, 32


def recurrent(evidence: Evidence, kind: str, *, attention: bool) -> Rule:
    """Trains an LSTM or a GRU on the streams' features, side by side in time.

    Its states are averaged over time, or with `attention` weighed by how much each has to say. How long it trains is
    chosen on groups that are kept apart.
    """
    if not evidence.features:
        raise LookupError("what each stream made of each view is not kept. Pass --features.")
    quiet_tensorflow()
    import keras

    inputs = _sequences(evidence)
    seen, unseen = next(evidence.folds())
    keras.utils.set_random_seed(0)
    network = _network(inputs[seen], evidence, kind, attention=attention)
    history = network.fit(
        inputs[seen],
        evidence.labels[seen],
        validation_data=(inputs[unseen], evidence.labels[unseen]),
        epochs=_EPOCHS,
        batch_size=_BATCH,
        callbacks=[keras.callbacks.EarlyStopping(patience=15, restore_best_weights=True)],
        verbose=0,
    )

    def combine(others: Evidence) -> np.ndarray:
        return np.asarray(network(_sequences(others), training=False))

    return Rule(combine, f"{int(np.argmin(history.history['val_loss'])) + 1} epochs")


def _sequences(evidence: Evidence) -> np.ndarray:
    """Returns the features of all streams side by side: float32[V, views, D]."""
    return np.concatenate(evidence.features, axis=2).astype(np.float32)


def _network(inputs: np.ndarray, evidence: Evidence, kind: str, *, attention: bool) -> Any:
    import keras
    from keras import layers, ops

    begin = keras.Input(inputs.shape[1:])
    scale = layers.Normalization()
    scale.adapt(inputs)
    layer = {"lstm": layers.LSTM, "gru": layers.GRU}[kind]
    states = layer(_UNITS, return_sequences=True)(layers.Dropout(_DROPOUT)(scale(begin)))
    if attention:
        weights = ops.softmax(layers.Dense(1)(ops.tanh(layers.Dense(_UNITS)(states))), axis=1)
        summary = ops.sum(weights * states, axis=1)
    else:
        summary = ops.mean(states, axis=1)
    logits = layers.Dense(evidence.view_logits[0].shape[2])(layers.Dropout(_DROPOUT)(summary))
    network = keras.Model(begin, logits)
    losses = keras.losses
    loss = losses.BinaryCrossentropy if evidence.is_multi_label else losses.SparseCategoricalCrossentropy
    network.compile(keras.optimizers.Adam(1e-3), loss(from_logits=True))
    return network


SEQUENCES: Mapping[str, Callable[[Evidence], Rule]] = {
    kind + ("-attention" if attention else ""): partial(recurrent, kind=kind, attention=attention)
    for kind in ("lstm", "gru")
    for attention in (False, True)
}
