"""Learns weights for the streams from labelled videos: one per stream, or one per stream and class."""

import itertools
from collections.abc import Sequence

import numpy as np

from fusion.methods.calibration import log_shares, negative_log_likelihood, temperatures
from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Parameters, Rule, best_by_folds, named, quality
from fusion.methods.fixed import probabilities, sigmoid, softmax, weighted
from streams.last_layer.mixing import choose_weights


def searched_weights(evidence: Evidence) -> Rule:
    """Searches a grid for the best weight of each stream; among equally good weights it takes the most even."""
    steps, count = (20 if len(evidence.streams) == 2 else 10), len(evidence.streams)
    places = [
        np.array(parts) / steps for parts in itertools.product(range(steps + 1), repeat=count) if sum(parts) == steps
    ]

    shares = np.stack(probabilities(evidence))

    def merit(weights: np.ndarray) -> tuple[float, float]:
        return quality(np.tensordot(weights, shares, axes=1), evidence), -float(np.abs(weights - 1 / count).sum())

    best = max(places, key=merit)
    return Rule.of(weighted_shares, f"weights {named(evidence, best)}", weights=best)


def weighted_shares(evidence: Evidence, parameters: Parameters) -> np.ndarray:
    """Returns the weighted mean of the streams' probabilities."""
    return weighted(evidence, parameters["weights"])


def class_weighted(evidence: Evidence) -> Rule:
    """Learns a weight per stream and class, regularised towards one weight per stream.

    After the adaptive fusion of multi-stream networks (Wu et al., 2015). Cross-validation over groups chooses the
    strength of the regularisation.
    """
    return _class_weighted(evidence, best_by_folds(evidence, (1.0, 0.1, 0.01), _class_weighted))


def _class_weighted(evidence: Evidence, pull: float) -> Rule:
    at = temperatures(evidence)
    weights = _fit(log_shares(evidence, at), evidence.labels, pull)
    said = f"mean weights {named(evidence, weights.mean(axis=1))}; regularised by {pull:g}"
    return Rule.of(sum_by_class, said, temperatures=at, weights=weights)


def sum_by_class(evidence: Evidence, parameters: Parameters) -> np.ndarray:
    """Returns the sum of the streams' log-probabilities, weighted class by class."""
    return _sum(log_shares(evidence, parameters["temperatures"]), parameters["weights"])


def _sum(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the sum of scores [S, V, C] over the streams, with weights [S, C]."""
    total: np.ndarray = (inputs * weights[:, None]).sum(axis=0)
    return total


def _fit(inputs: np.ndarray, labels: np.ndarray, pull: float) -> np.ndarray:
    """Returns weights [S, C]: a free weight per stream, plus one per class that is regularised towards zero."""
    from scipy.optimize import minimize

    num_streams, num_videos, num_classes = inputs.shape
    truth = labels if labels.ndim == 2 else np.eye(num_classes)[labels]
    share = sigmoid if labels.ndim == 2 else softmax
    num_terms = truth.size if labels.ndim == 2 else num_videos

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        of_stream, of_class = flat[:num_streams], flat[num_streams:].reshape(num_streams, num_classes)
        sums = _sum(inputs, of_stream[:, None] + of_class)
        slope = (inputs * (share(sums) - truth)).sum(axis=1) / num_terms
        gradient = np.concatenate([slope.sum(axis=1), (slope + pull * of_class).ravel()])
        return negative_log_likelihood(sums, labels) + pull / 2 * float((of_class**2).sum()), gradient

    start = np.concatenate([np.full(num_streams, 1 / num_streams), np.zeros(num_streams * num_classes)])
    flat = minimize(loss, start, jac=True, method="L-BFGS-B").x
    weights: np.ndarray = flat[:num_streams, None] + flat[num_streams:].reshape(num_streams, num_classes)
    return weights


def weighted_logits(evidence: Evidence) -> Rule:
    """Weights the logits of each stream for the greatest likelihood of the labels; one stream alone if no worse."""
    weights = choose_weights(evidence.logits, evidence.labels, evidence.groups.tolist())
    return Rule.of(weighted_sum, f"weights of logits {named(evidence, weights)}", weights=weights)


def weighted_sum(evidence: Evidence, parameters: Parameters) -> np.ndarray:
    """Returns the weighted sum of the streams' logits."""
    return sum_of_logits(evidence, parameters["weights"])


def sum_of_logits(evidence: Evidence, weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns the weighted sum of the streams' logits; the size of the weights sets the confidence of the sum."""
    total: np.ndarray = np.tensordot(np.asarray(weights, float), np.stack(evidence.logits), axes=1)
    return total
