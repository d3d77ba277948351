"""Fuses streams by recurrent networks over their features, view by view in the order of time."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Rule
from fusion.methods.fusenet import trained

if TYPE_CHECKING:
    import keras

_UNITS, _DROPOUT, _EPOCHS, _BATCH = 128, 0.5, 100, 32


def recurrent(evidence: Evidence, kind: str, *, attention: bool) -> Rule:
    """Trains an LSTM or a GRU on the streams' features, side by side in time.

    Its states are averaged over time, or with `attention` by learned weights.
    """
    if not evidence.features:
        raise LookupError("the features of each view were not kept. Pass --features.")
    build = partial(_network, num_classes=evidence.view_logits[0].shape[2], kind=kind, attention=attention)
    fit = {"epochs": _EPOCHS, "batch_size": _BATCH, "patience": 15}
    network, epochs = trained(build, _sequences(evidence), evidence, **fit)
    return Rule(lambda unseen: np.asarray(network(_sequences(unseen), training=False)), f"{epochs} epochs")


def _sequences(evidence: Evidence) -> np.ndarray:
    """Returns the features of all streams, concatenated: float32[V, views, D]."""
    return np.concatenate(evidence.features, axis=2).astype(np.float32)


def _network(inputs: np.ndarray, num_classes: int, kind: str, *, attention: bool) -> "keras.Model":
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
    return keras.Model(begin, layers.Dense(num_classes)(layers.Dropout(_DROPOUT)(summary)))


SEQUENCES: Mapping[str, Callable[[Evidence], Rule]] = {
    kind + ("-attention" if attention else ""): partial(recurrent, kind=kind, attention=attention)
    for kind in ("lstm", "gru")
    for attention in (False, True)
}
