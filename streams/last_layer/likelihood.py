"""How likely logits make what is true, for one label a video or for several."""

import numpy as np


def log_shares(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns logarithms of probabilities [..., C]; logits as they are if labels are zeros and ones [V, C]."""
    if labels.ndim == 2:
        return logits
    shifted = logits - logits.max(axis=-1, keepdims=True)
    shares: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shares


def losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns how unlikely each video's labels are, [V]: the mean over classes if labels are several."""
    if labels.ndim == 2:
        several: np.ndarray = np.mean(np.logaddexp(0, logits) - labels * logits, axis=1)
        return several
    single: np.ndarray = -log_shares(logits, labels)[np.arange(len(labels)), labels]
    return single
