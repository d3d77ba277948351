"""Fuses streams by recurrent networks, which read the features of all views in the order of time."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Parameters, Rule
from fusion.methods.fixed import sigmoid, softmax
from fusion.methods.fusenet import trained

if TYPE_CHECKING:
    import keras

_UNITS, _DROPOUT, _EPOCHS, _BATCH = 128, 0.5, 100, 32
# The least standard deviation that Keras' Normalization divides by, and the most numbers of a network worth saving.
_EPSILON, _MOST_KEPT = 1e-7, 8_000_000


def recurrent(evidence: Evidence, kind: str, *, attention: bool) -> Rule:
    """Trains an LSTM or a GRU on the features of all streams, concatenated at each moment.

    Its states are averaged over time; with `attention`, learned weights take the average.
    """
    if not evidence.features:
        raise LookupError("the features of each view were not kept. Pass --features.")
    build = partial(_network, num_classes=evidence.view_logits[0].shape[2], kind=kind, attention=attention)
    fit = {"epochs": _EPOCHS, "batch_size": _BATCH, "patience": 15}
    network, epochs = trained(build, _sequences(evidence), evidence, **fit)
    parameters = _learned(network)
    rule = Rule.of(partial(states_to_scores, kind=kind), f"{epochs} epochs", **parameters)
    if sum(value.size for value in parameters.values()) > _MOST_KEPT:
        return rule._replace(parameters=None)
    return rule


def states_to_scores(evidence: Evidence, parameters: Parameters, kind: str) -> np.ndarray:
    """Returns the scores of a trained recurrent network, computed as Keras does."""
    if not evidence.features:
        raise LookupError(f"{kind} fuses the features of views, which are not here.")
    inputs = (_sequences(evidence) - parameters["mean"]) / np.maximum(np.sqrt(parameters["variance"]), _EPSILON)
    states = {"lstm": _lstm, "gru": _gru}[kind](inputs, parameters)
    if "attention" in parameters:
        hidden = np.tanh(states @ parameters["attention"] + parameters["attention_bias"])
        weights = softmax((hidden @ parameters["weigh"] + parameters["weigh_bias"])[..., 0])
        summary = (weights[..., None] * states).sum(axis=1)
    else:
        summary = states.mean(axis=1)
    scores: np.ndarray = summary @ parameters["kernel"] + parameters["bias"]
    return scores


def _lstm(inputs: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Returns the state after each view, [V, views, units]."""
    through = inputs @ parameters["input"] + parameters["input_bias"]
    state = memory = np.zeros((len(inputs), _UNITS))
    states = []
    for each in through.transpose(1, 0, 2):
        enter, keep, new, leave = np.split(each + state @ parameters["recurrent"], 4, axis=1)
        memory = sigmoid(keep) * memory + sigmoid(enter) * np.tanh(new)
        state = sigmoid(leave) * np.tanh(memory)
        states.append(state)
    return np.stack(states, axis=1)


def _gru(inputs: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Returns the state after each view, [V, views, units]. The reset gate acts after the recurrent kernel."""
    bias, recurrent_bias = parameters["input_bias"]
    through = inputs @ parameters["input"] + bias
    state = np.zeros((len(inputs), _UNITS))
    states = []
    for each in through.transpose(1, 0, 2):
        again = state @ parameters["recurrent"] + recurrent_bias
        (update, reset, new), (old_update, old_reset, old) = (np.split(part, 3, axis=1) for part in (each, again))
        gate = sigmoid(update + old_update)
        state = gate * state + (1 - gate) * np.tanh(new + sigmoid(reset + old_reset) * old)
        states.append(state)
    return np.stack(states, axis=1)


def _learned(network: "keras.Model") -> dict[str, np.ndarray]:
    """Returns the weights of a network by their purpose."""
    scale, layer, last = (network.get_layer(name) for name in ("scale", "states", "scores"))
    found = dict(zip(("input", "recurrent", "input_bias"), layer.get_weights(), strict=True))
    found |= {"mean": np.asarray(scale.mean).ravel(), "variance": np.asarray(scale.variance).ravel()}
    found |= dict(zip(("kernel", "bias"), last.get_weights(), strict=True))
    for name in ("attention", "weigh"):
        if name in {each.name for each in network.layers}:
            found |= dict(zip((name, f"{name}_bias"), network.get_layer(name).get_weights(), strict=True))
    return found


def _sequences(evidence: Evidence) -> np.ndarray:
    """Returns the features of all streams, concatenated: float32[V, views, D]."""
    return np.concatenate(evidence.features, axis=2).astype(np.float32)


def _network(inputs: np.ndarray, num_classes: int, kind: str, *, attention: bool) -> "keras.Model":
    import keras
    from keras import layers, ops

    begin = keras.Input(inputs.shape[1:])
    scale = layers.Normalization(name="scale")
    scale.adapt(inputs)
    layer = {"lstm": layers.LSTM, "gru": layers.GRU}[kind]
    states = layer(_UNITS, return_sequences=True, name="states")(layers.Dropout(_DROPOUT)(scale(begin)))
    if attention:
        hidden = ops.tanh(layers.Dense(_UNITS, name="attention")(states))
        weights = ops.softmax(layers.Dense(1, name="weigh")(hidden), axis=1)
        summary = ops.sum(weights * states, axis=1)
    else:
        summary = ops.mean(states, axis=1)
    return keras.Model(begin, layers.Dense(num_classes, name="scores")(layers.Dropout(_DROPOUT)(summary)))


SEQUENCES: Mapping[str, Callable[[Evidence], Rule]] = {
    kind + ("-attention" if attention else ""): partial(recurrent, kind=kind, attention=attention)
    for kind in ("lstm", "gru")
    for attention in (False, True)
}
