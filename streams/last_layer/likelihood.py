"""Computes likelihoods of labels under logits, for one label per video or for several."""

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Returns log-probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def log_shares(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns log-probabilities [..., C]. If labels are zeros and ones [V, C], returns the logits unchanged."""
    return logits if labels.ndim == 2 else log_softmax(logits)


def losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the negative log-likelihood of each video's labels, [V]. With several labels, averages over classes."""
    if labels.ndim == 2:
        several: np.ndarray = np.mean(np.logaddexp(0, logits) - labels * logits, axis=1)
        return several
    single: np.ndarray = -log_softmax(logits)[np.arange(len(labels)), labels]
    return single
