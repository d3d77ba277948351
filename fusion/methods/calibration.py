"""Calibrates each stream by a temperature, which corrects its over- or underconfidence (Guo et al., 2017)."""

from collections.abc import Sequence

import numpy as np

from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Parameters, Rule, named
from fusion.methods.fixed import sigmoid, softmax
from streams.last_layer.likelihood import log_softmax, losses


def calibrated(evidence: Evidence) -> Rule:
    """Divides each stream's logits by the temperature that calibrates them, then averages the probabilities."""
    found = temperatures(evidence)
    return Rule.of(mean_at_temperatures, f"temperatures {named(evidence, found)}", temperatures=found)


def mean_at_temperatures(evidence: Evidence, parameters: Parameters) -> np.ndarray:
    """Returns the mean of the streams' probabilities, each at its temperature."""
    share = sigmoid if evidence.is_multi_label else softmax
    at = parameters["temperatures"]
    mean: np.ndarray = np.mean([share(logits / each) for logits, each in zip(evidence.logits, at, strict=True)], axis=0)
    return mean


def temperatures(evidence: Evidence) -> list[float]:
    """Returns for each stream the temperature that maximises the likelihood of the labels."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float, logits: np.ndarray) -> float:
        return negative_log_likelihood(logits / np.exp(log_temperature), evidence.labels)

    return [
        float(np.exp(minimize_scalar(loss, bounds=(-4, 8), args=(logits,), method="bounded").x))
        for logits in evidence.logits
    ]


def log_shares(evidence: Evidence, at: Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns each stream's log-probabilities at its temperature, [S, V, C]; scaled logits for multi-label data."""
    scaled = np.stack([logits / each for logits, each in zip(evidence.logits, at, strict=True)])
    return scaled if evidence.is_multi_label else log_softmax(scaled)


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean negative log-likelihood over videos (and over classes, for multi-label data)."""
    return float(losses(logits, labels).mean())
