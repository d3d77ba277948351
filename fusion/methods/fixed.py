"""Fusion methods that learn nothing: each turns the logits of all streams into one score per video and class."""

from collections.abc import Sequence

import numpy as np

from fusion.methods.evidence import Evidence


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Returns an independent probability for each class."""
    shares: np.ndarray = np.exp(-np.logaddexp(0.0, -logits))
    return shares


def probabilities(evidence: Evidence) -> list[np.ndarray]:
    """Returns each stream's probabilities: softmax, or sigmoid for multi-label data."""
    return [(sigmoid if evidence.is_multi_label else softmax)(logits) for logits in evidence.logits]


def average(evidence: Evidence) -> np.ndarray:
    """Returns the mean of the streams' probabilities, after each stream's logits are averaged over views."""
    return weighted(evidence, [1.0] * len(evidence.streams))


def average_views(evidence: Evidence) -> np.ndarray:
    """Returns the mean of the probabilities over views and streams; the softmax comes before any mean, as in the paper.

    `average` first averages the logits over the views of a video, and then takes the softmax.
    """
    share = sigmoid if evidence.is_multi_label else softmax
    mean: np.ndarray = np.mean([share(views).mean(axis=1) for views in evidence.view_logits], axis=0)
    return mean


def weighted(evidence: Evidence, weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns the weighted mean of the streams' probabilities; the weights need not sum to one."""
    mean: np.ndarray = np.tensordot(np.asarray(weights) / np.sum(weights), np.stack(probabilities(evidence)), axes=1)
    return mean


def mean_logits(evidence: Evidence) -> np.ndarray:
    """Returns the mean of the streams' logits. A confident stream counts for more than in a mean of probabilities."""
    mean: np.ndarray = np.mean(evidence.logits, axis=0)
    return mean


def conv(evidence: Evidence) -> np.ndarray:
    """Returns the logits of a network of both streams that was trained end to end."""
    if evidence.joint is None:
        raise LookupError(
            "there is no network of both streams for this data set and split. Train one with ./run train both, or name "
            "one with --two-stream FILE."
        )
    mean: np.ndarray = evidence.joint.mean(axis=1)
    return mean


def vote(evidence: Evidence) -> np.ndarray:
    """Returns the share of views that vote for each class. Each stream counts the same, however many views it has."""
    shares = []
    for views in evidence.view_logits:
        named = views > 0 if evidence.is_multi_label else views == views.max(axis=2, keepdims=True)
        shares.append((named / np.maximum(named.sum(axis=2, keepdims=True), 1)).mean(axis=1))
    # Ties are frequent. The mean probability breaks them; it is scaled down so that it can't overrule a vote.
    result: np.ndarray = np.mean(shares, axis=0) + 1e-6 * average(evidence)
    return result
