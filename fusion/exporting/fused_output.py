"""Builds the fused output of an exported model as layers, with the same results as fusion/methods."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from fusion.methods.class_weights import ROOTS
from fusion.methods.kept import PROBABILITIES, Fusion


def fused_output(fusion: Fusion, logits: Sequence[keras.KerasTensor], *, multi_label: bool) -> keras.KerasTensor:
    """Returns the probabilities of the classes for one clip, from the logits of each stream.

    `vote` counts views, but a clip is a single view. So the mean of the probabilities takes its place.
    """
    if fusion.uses_features:
        raise ValueError(
            f"{fusion.method} needs all views of a video in order, but an exported model sees a single clip. Name "
            "another --fusion."
        )
    share = ops.sigmoid if multi_label else ops.softmax
    learned = {name: np.asarray(value, np.float32) for name, value in fusion.parameters.items()}
    if "temperatures" in learned:
        logits = [each / float(heat) for each, heat in zip(logits, learned["temperatures"], strict=True)]
    weights = learned.get("weights", np.full(len(logits), 1 / len(logits), np.float32))
    if fusion.name in PROBABILITIES:
        shares = [share(each) for each in logits]
        return _sum(shares, weights / weights.sum())
    if fusion.name in ("logits", "weighted-logits"):
        return share(_sum(logits, weights))
    if fusion.name == "svm":
        shares = [share(each) for each in logits]
        unit = [each / ops.norm(each, axis=-1, keepdims=True) for each in shares]
        return share(_dense(ops.concatenate(unit, axis=-1), learned["kernel"], learned["bias"]) * fusion.sharpness)
    logs = list(logits) if multi_label else [ops.log_softmax(each) for each in logits]
    if fusion.name == "class-weighted":
        roots = [ops.sqrt(share(each)) * ROOTS for each in logits]
        return share(_sum(logs, weights) + _sum(roots, learned.get("roots", np.zeros(len(roots)))))
    joined = ops.concatenate(logs, axis=-1)
    if fusion.name == "stacking":
        return share(_dense(joined, learned["kernel"], learned["bias"]))
    hidden = ops.relu(_dense(joined, learned["hidden"], learned["hidden_bias"]))
    return share(_sum(logs, np.ones(len(logs))) + _dense(hidden, learned["kernel"], learned["bias"]))


def _sum(values: Sequence[keras.KerasTensor], weights: np.ndarray) -> keras.KerasTensor:
    """Returns a weighted sum. A weight is one number, or one number per class."""
    return sum(layers.Rescaling(weight.tolist())(each) for each, weight in zip(values, weights, strict=True))


def _dense(values: keras.KerasTensor, kernel: np.ndarray, bias: np.ndarray) -> keras.KerasTensor:
    layer = layers.Dense(kernel.shape[1], dtype="float32")
    found = layer(values)
    layer.set_weights([kernel, bias])
    return found
