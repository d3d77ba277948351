"""Learns how much each stream is worth, in each class, from labelled videos.

The score of a class is a weighted sum over streams of two things: the logarithm of a stream's probability, which is how
probabilities are multiplied, and its root, which is closer to how they are averaged. In a product one stream can rule a
class out; a mean forgives. Real streams are fused best somewhere in between.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from fusion.methods.calibration import log_shares, temperatures
from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Parameters, Rule, named, quality
from fusion.methods.fixed import mean_logits, sigmoid, softmax
from streams.last_layer.likelihood import losses

# How strongly the weights of streams are drawn to those of a plain sum of logits, and the weights of single classes to
# those of their stream, as if so many videos spoke for it: from the plain sum itself to nearly free weights.
_PULLS = (
    *((of_stream, np.inf) for of_stream in (np.inf, 100.0, 10.0, 0.1)),
    *((0.1, of_class) for of_class in (1000.0, 300.0, 100.0, 30.0, 3.0)),
)
# Roots are multiplied by this, so that they vary as much as logarithms do.
ROOTS = 8.0
# How much the loss curves along the weight of a stream, and that of a class times their number: a guess that shortens
# the search.
_CURVE = 0.3


def class_weighted(evidence: Evidence) -> Rule:
    """Learns two weights per stream and one per stream and class, drawn towards a plain sum of logits.

    After the adaptive fusion of multi-stream networks (Wu et al., 2015). Cross-validation over groups chooses how
    strongly; where no weights are better than none, it remains the plain sum.
    """
    place = _best(evidence)
    found, (_, of_class) = next(islice(_path(evidence), place, None)), _PULLS[place]
    classes = "alike in all classes" if np.isinf(of_class) else f"classes drawn together by {of_class:g}"
    said = f"mean weights {named(evidence, found['weights'].mean(axis=1))}; {classes if place else 'a plain sum'}"
    return Rule.of(sum_by_class, said, **found)


def sum_by_class(evidence: Evidence, parameters: Parameters) -> np.ndarray:
    """Returns the sum over streams of log-probabilities, weighted class by class, and of weighted roots."""
    logs, roots = np.split(_inputs(evidence, parameters["temperatures"]), 2)
    total: np.ndarray = (logs * parameters["weights"][:, None]).sum(axis=0)
    # Files of earlier versions know no roots.
    return total + np.tensordot(parameters["roots"], roots, 1) if "roots" in parameters else total


def _inputs(evidence: Evidence, at: Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns the log-probabilities of all streams, and then the roots of their probabilities: [2S, V, C]."""
    logs = log_shares(evidence, at)
    shares = -np.logaddexp(0, -logs) if evidence.is_multi_label else logs
    return np.concatenate([logs, ROOTS * np.exp(shares / 2)])


def _best(evidence: Evidence) -> int:
    """Returns which of the pulls is best for held-out groups; the strongest of equally good ones."""
    merits = np.zeros(len(_PULLS))
    for rows, others in evidence.folds(3):
        unseen = evidence.rows(others)
        merits += [quality(sum_by_class(unseen, found), unseen) for found in _path(evidence.rows(rows))]
    return int(merits.argmax())


def _path(evidence: Evidence) -> Iterator[Parameters]:
    """Yields what each pull leads to, the strongest first: each search begins where the one before it ended."""
    from scipy.optimize import minimize

    # All streams have the temperature of their plain sum: what each is worth is for the weights to say.
    together = Evidence(("sum",), (mean_logits(evidence)[:, None],), evidence.labels, evidence.groups)
    at = np.repeat(temperatures(together), len(evidence.streams))
    inputs, labels = _inputs(evidence, at).astype(np.float32), evidence.labels
    (_, num_videos, num_classes), count = inputs.shape, len(at)
    plain = np.repeat([1 / count, 0.0], count)
    sizes = [2 * count, count * num_classes]
    curves = np.repeat([_CURVE, _CURVE / num_classes], sizes)
    off = np.zeros(sum(sizes))  # How far the weights are off those that they are drawn to.
    for pulls in _PULLS:
        # Weights are searched in steps along which the loss curves about alike; with an infinite pull they stay.
        steps = (np.repeat(pulls, sizes) / num_videos + curves) ** -0.5
        costs = 1 - curves * steps**2

        def loss(taken: np.ndarray, steps: np.ndarray = steps, costs: np.ndarray = costs) -> tuple[float, np.ndarray]:
            found, slope = _loss(inputs, labels, _weights(plain, steps * taken))
            slopes = np.concatenate([slope.sum(axis=1), slope[:count].ravel()])
            return found + float(costs @ taken**2) / 2, steps * slopes + costs * taken

        start = np.divide(off, steps, out=np.zeros_like(off), where=steps > 0)
        off = steps * minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 40, "ftol": 1e-5}).x
        weights = _weights(plain, off)
        yield {"temperatures": at, "weights": weights[:count], "roots": weights[count:, 0]}


def _weights(plain: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Returns the weights of all inputs, [2S, C]: those of streams, and what classes add to those of logarithms."""
    of_classes = off[len(plain) :].reshape(len(plain) // 2, -1)
    weights = np.repeat((plain + off[: len(plain)])[:, None], of_classes.shape[1], axis=1)
    weights[: len(of_classes)] += of_classes
    return weights


def _loss(inputs: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Returns how unlikely the labels of a video are, the mean over videos, and the slope of that along the weights."""
    sums = sum(each * weight for each, weight in zip(inputs, weights.astype(np.float32), strict=True))
    if labels.ndim == 2:
        found, excess = labels.shape[1] * losses(sums, labels).mean(), sigmoid(sums) - labels
    else:
        found, excess = losses(sums, labels).mean(), softmax(sums)
        excess[np.arange(len(labels)), labels] -= 1
    slope = [np.einsum("vc,vc->c", each, excess) for each in inputs]
    return float(found), np.stack(slope).astype(np.float64) / len(labels)
