"""Learns from labelled videos a weight for each stream, and corrections of it for each class.

The score of a class is a weighted sum, over streams, of two terms: the logarithm of a stream's probability and its
square root. A sum of logarithms is a product of probabilities, in which one stream can rule a class out. A sum of roots
is closer to an average, which is more forgiving. Real streams are fused best somewhere in between.
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

# The strength of regularisation, as a number of videos that it counts like: it draws the weights of streams towards
# those of a plain sum of logits, and the weights of single classes towards those of their stream. The list goes from
# the plain sum itself to nearly free weights.
_PULLS = (
    *((of_stream, np.inf) for of_stream in (np.inf, 100.0, 10.0, 0.1)),
    *((0.1, of_class) for of_class in (1000.0, 300.0, 100.0, 30.0, 3.0)),
)
# The roots are multiplied by this, so that they vary about as much as the logarithms.
ROOTS = 8.0
# The guessed curvature of the loss along the weight of a stream, and along that of a class (times their number). A good
# guess shortens the search.
_CURVE = 0.3


def class_weighted(evidence: Evidence) -> Rule:
    """Learns two weights per stream and one per stream and class, regularised towards a plain sum of logits.

    It follows the adaptive fusion of multi-stream networks (Wu et al., 2015). Cross-validation over groups chooses the
    strength. If no weights are better than the plain sum, it stays the plain sum.
    """
    place = _best(evidence)
    found, (_, of_class) = next(islice(_path(evidence), place, None)), _PULLS[place]
    classes = "the same for all classes" if np.isinf(of_class) else f"class weights regularised with {of_class:g}"
    said = f"mean weights {named(evidence, found['weights'].mean(axis=1))}; {classes if place else 'a plain sum'}"
    return Rule.of(sum_by_class, said, **found)


def sum_by_class(evidence: Evidence, parameters: Parameters) -> np.ndarray:
    """Returns, for each class, the sum over streams of weighted log-probabilities and of weighted roots."""
    logs, roots = np.split(_inputs(evidence, parameters["temperatures"]), 2)
    total: np.ndarray = (logs * parameters["weights"][:, None]).sum(axis=0)
    # Files of earlier versions have no weights for the roots.
    return total + np.tensordot(parameters["roots"], roots, 1) if "roots" in parameters else total


def _inputs(evidence: Evidence, at: Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns the log-probabilities of all streams, followed by the roots of their probabilities: [2S, V, C]."""
    logs = log_shares(evidence, at)
    shares = -np.logaddexp(0, -logs) if evidence.is_multi_label else logs
    return np.concatenate([logs, ROOTS * np.exp(shares / 2)])


def _best(evidence: Evidence) -> int:
    """Returns the index of the strength that is best on held-out groups; the strongest of equally good ones."""
    merits = np.zeros(len(_PULLS))
    for rows, others in evidence.folds(3):
        unseen = evidence.rows(others)
        merits += [quality(sum_by_class(unseen, found), unseen) for found in _path(evidence.rows(rows))]
    return int(merits.argmax())


def _path(evidence: Evidence) -> Iterator[Parameters]:
    """Yields the parameters for each strength, from the strongest on. Each search begins where the last one ended."""
    from scipy.optimize import minimize

    # All streams share the temperature of their plain sum: the weights alone say what each stream is worth.
    together = Evidence(("sum",), (mean_logits(evidence)[:, None],), evidence.labels, evidence.groups)
    at = np.repeat(temperatures(together), len(evidence.streams))
    inputs, labels = _inputs(evidence, at).astype(np.float32), evidence.labels
    (_, num_videos, num_classes), count = inputs.shape, len(at)
    plain = np.repeat([1 / count, 0.0], count)
    sizes = [2 * count, count * num_classes]
    curves = np.repeat([_CURVE, _CURVE / num_classes], sizes)
    off = np.zeros(sum(sizes))  # The weights, minus those towards which they are regularised.
    for pulls in _PULLS:
        # The steps of the search are scaled so that the loss curves about equally along each. With infinite strength,
        # the weights don't move.
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
    """Returns the weights of all inputs, [2S, C]: those of the streams, plus the corrections for each class."""
    of_classes = off[len(plain) :].reshape(len(plain) // 2, -1)
    weights = np.repeat((plain + off[: len(plain)])[:, None], of_classes.shape[1], axis=1)
    weights[: len(of_classes)] += of_classes
    return weights


def _loss(inputs: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Returns the mean negative log-likelihood of the labels, and its gradient with respect to the weights."""
    sums = sum(each * weight for each, weight in zip(inputs, weights.astype(np.float32), strict=True))
    if labels.ndim == 2:
        found, excess = labels.shape[1] * losses(sums, labels).mean(), sigmoid(sums) - labels
    else:
        found, excess = losses(sums, labels).mean(), softmax(sums)
        excess[np.arange(len(labels)), labels] -= 1
    slope = [np.einsum("vc,vc->c", each, excess) for each in inputs]
    return float(found), np.stack(slope).astype(np.float64) / len(labels)
