"""Learns one weight per stream from labelled videos."""

import itertools
from collections.abc import Sequence

import numpy as np

from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Parameters, Rule, named, quality
from fusion.methods.fixed import probabilities, weighted
from streams.last_layer.mixing import choose_weights


def searched_weights(evidence: Evidence) -> Rule:
    """Searches a grid for the best weight of each stream. Among equally good weights it takes the most equal ones."""
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


def weighted_logits(evidence: Evidence) -> Rule:
    """Learns the weights of logits that maximise the likelihood of the labels. Takes one stream alone if as good."""
    weights = choose_weights(evidence.logits, evidence.labels, evidence.groups.tolist())
    return Rule.of(weighted_sum, f"weights of logits {named(evidence, weights)}", weights=weights)


def weighted_sum(evidence: Evidence, parameters: Parameters) -> np.ndarray:
    """Returns the weighted sum of the streams' logits."""
    return sum_of_logits(evidence, parameters["weights"])


def sum_of_logits(evidence: Evidence, weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns the weighted sum of the streams' logits. The larger the weights, the more confident is the sum."""
    total: np.ndarray = np.tensordot(np.asarray(weights, float), np.stack(evidence.logits), axes=1)
    return total
