"""Measures how sure an answer is, and sets the threshold below which answers count as unsure."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fusion.methods.fixed import softmax

# The share of known videos whose answers must stay above the threshold.
KEPT = 0.95


def maximum(logits: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the highest probability, after averaging the probabilities of the streams."""
    sure: np.ndarray = np.mean([softmax(each) for each in logits], axis=0).max(axis=1)
    return sure


def energy(logits: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the logarithm of the sum of the exponentials of the logits, summed over streams (Liu et al., 2020)."""
    total = np.sum(logits, axis=0)
    highest = total.max(axis=1)
    sure: np.ndarray = highest + np.log(np.exp(total - highest[:, None]).sum(axis=1))
    return sure


def agreement(logits: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the probability that all streams name the same class, if each draws one by its probabilities."""
    same: np.ndarray = np.prod([softmax(each) for each in logits], axis=0).sum(axis=1)
    return same


# Each function turns the logits of all streams, [V, C] each, into one number per video: the higher, the surer.
MEASURES: Mapping[str, Callable[[Sequence[np.ndarray]], np.ndarray]] = {
    "maximum": maximum,
    "energy": energy,
    "agreement": agreement,
}


def area_under_roc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Returns the area under the ROC curve: the probability that a known video is surer than an unknown one."""
    order = np.sort(unknown)
    below, up_to = (np.searchsorted(order, known, side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(unknown)))


def false_alarms(known: np.ndarray, unknown: np.ndarray, kept: float = KEPT) -> float:
    """Returns the share of unknown videos above the threshold that this share of the known videos passes."""
    return float((unknown >= np.quantile(known, 1 - kept)).mean())


def threshold(known: np.ndarray, unknown: np.ndarray | None) -> float:
    """Returns the threshold: answers that are less sure count as unsure.

    KEPT of the known videos are above it. If there are unknown videos, it is the point where the share of known videos
    above it, plus the share of unknown videos below it, is the greatest.
    """
    if unknown is None or not len(unknown):
        return float(np.quantile(known, 1 - KEPT))
    values = np.unique(np.concatenate([known, unknown]))
    answered, caught = ((each[:, None] >= values).mean(axis=0) for each in (known, unknown))
    return float(values[int(np.argmax(answered - caught))])


def calibrating_temperature(shares: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature that calibrates probabilities, [V, C], so that they say how often answers are right."""
    from scipy.optimize import minimize_scalar

    logs, rows = np.log(np.maximum(shares, 1e-12)), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        # One more observation, of a temperature near 1. Without it, a few videos that are all right would ask for 0.
        likely = np.log(np.maximum(softmax(logs / np.exp(log_temperature))[rows, labels], 1e-12))
        return float(-likely.mean() + log_temperature**2 / len(labels))

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 4), method="bounded").x))


def confidence(shares: np.ndarray, temperature: float) -> np.ndarray:
    """Returns the calibrated confidence of answers with these probabilities, [..., C]."""
    sure: np.ndarray = softmax(np.log(np.maximum(shares, 1e-12)) / temperature).max(axis=-1)
    return sure
