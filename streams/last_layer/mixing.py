"""Weights the logits of several sources. The weights are learned from logits for held-out videos."""

from collections.abc import Sequence

import numpy as np

from streams.last_layer.likelihood import log_shares, losses

# The strength of the regularisation that makes weights alike.
PULL = 0.03
# The strength of the regularisation that keeps the scale of logits near 1. Without it, the scale would grow without
# limit if all of a few videos are right.
PRIOR = 1.0


def choose_weights(held_out: Sequence[np.ndarray], labels: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Returns a weight for the logits of each source, given its logits for held-out videos.

    They maximise the likelihood of the labels. The best source alone is used unless the mixture is better by one
    standard error over groups: a mixture without benefit should not cost anything.
    """
    from scipy.optimize import minimize  # Takes a quarter of a second to import, and only learning needs it.

    heat = np.array([_inverse_temperature(logits, labels) for logits in held_out])
    calibrated = [scale * logits for scale, logits in zip(heat, held_out, strict=True)]
    alone = int(np.argmin([losses(logits, labels).mean() for logits in calibrated]))
    shares = np.stack([log_shares(logits, labels) for logits in calibrated])

    def loss(weights: np.ndarray) -> float:
        mixed = losses(np.tensordot(weights, shares, 1), labels).mean()
        return float(mixed + PULL * ((weights - weights.mean()) ** 2).sum()) + _unlikely(weights.sum(), len(labels))

    weights = minimize(loss, np.full(len(shares), 1 / len(shares)), method="L-BFGS-B", bounds=[(0, 20)] * len(shares)).x
    gain = losses(calibrated[alone], labels) - losses(np.tensordot(weights, shares, 1), labels)
    # If a source is worse than chance level, all weights would be 0, and the first class would always win.
    if gain.mean() <= standard_error(gain, groups) or not weights.any():
        weights = np.eye(len(shares))[alone]
    chosen: np.ndarray = np.where(weights < 0.01 * weights.max(), 0.0, weights) * heat
    return chosen


def _inverse_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    scales = np.geomspace(0.05, 20, 61)
    found = [losses(scale * logits, labels).mean() + _unlikely(scale, len(labels)) for scale in scales]
    return float(scales[int(np.argmin(found))])


def _unlikely(scale: float, num_videos: int) -> float:
    """Returns the penalty of a scale: its logarithm has a normal prior, which weighs as much as one video."""
    return float(PRIOR * np.log(max(scale, 1e-9)) ** 2 / num_videos)


def standard_error(values: np.ndarray, groups: Sequence[str] | np.ndarray) -> float:
    """Returns the standard error of a mean of values that are correlated within groups."""
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(member, values - values.mean())
    return float(np.sqrt((sums**2).sum() * len(sums) / max(1, len(sums) - 1)) / len(values))
