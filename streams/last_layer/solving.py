"""Solves the last layer instead of training it: a regularised logistic regression on the features of frozen layers.

Features come in parts, such as what is seen and how it changes. Each part has its own regression, whose regularisation
is chosen by cross-validation over groups. Then the parts are weighted by their held-out logits, and their weighted sum
is again one dense layer. The problem is convex, so the result depends only on the features. Fusion may learn from the
held-out logits, because the weights that made them were not fitted to those videos.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import keras
import numpy as np
from rich.progress import track
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from commands.running import in_one_thread
from commands.waiting import Now
from streams.last_layer.likelihood import losses
from streams.last_layer.mixing import choose_weights
from streams.last_layer.moments import predicted, train_moments
from streams.networks.frames_in_time import parts_of

# The penalties on squared weights to try, for features whose mean squared norm is 1, from small to large weights.
PENALTIES = tuple(10.0 ** -(power / 2) for power in range(3, 12))
FOLDS = 5
# The most principal directions to keep. Few videos span even fewer.
RANK = 600
# Epochs of the convolution over time: in each fold, and at the end on all videos.
EPOCHS_OF_FOLDS, EPOCHS = 16, 24
# A logit that is practically certain.
_SURE = 10.0
_MOMENTS, _MOMENTS_NET = "moments", "moments_net"


@dataclass(frozen=True)
class Solution:
    """The result of cross-validation over groups for a network whose last layer was solved."""

    held_out: np.ndarray  # float32[V, C]: each video's logits from the folds that were not fitted to its group.
    weights: Mapping[str, float]  # Of the logits of each part.
    penalties: Mapping[str, float]  # Of each part that has a regression.


@dataclass(frozen=True)
class _Part:
    """The regression of one part."""

    kernel: np.ndarray
    bias: np.ndarray
    held_out: np.ndarray
    penalty: float


def solve_last_layer(
    network: keras.Model, features: np.ndarray, labels: np.ndarray, groups: Sequence[str], seed: int = 0
) -> Solution:
    """Sets the last layer of a network to the one that separates the classes best on held-out groups.

    `features` are those of its layer `features`, [V, D]. `labels` are int[V], or zeros and ones [V, C].
    """
    parts, num_classes = parts_of(network), network.output_shape[-1]
    edges = np.cumsum([0, *parts.values()])
    columns = {name: slice(*pair) for name, pair in zip(parts, pairwise(edges), strict=True)}
    folds = list(group_folds(labels, groups))
    convolved = _MOMENTS if _MOMENTS in parts else ""
    Now.doing = "Solving the last layer"
    solved, held_out = {}, {}
    for name in track(list(parts), "Solving the last layer"):
        if name == convolved:
            held_out[name] = _held_out_moments(network, features[:, columns[name]], labels, folds, seed)
        else:
            solved[name] = _solve_part(features[:, columns[name]], labels, folds, num_classes)
            held_out[name] = solved[name].held_out
    weights = dict(zip(parts, choose_weights(list(held_out.values()), labels, groups).tolist(), strict=True))
    kernel = np.concatenate([weights[name] * part.kernel for name, part in solved.items()])
    bias = np.sum([weights[name] * part.bias for name, part in solved.items()], axis=0)
    network.get_layer("linear_logits" if convolved else "logits").set_weights([kernel, bias])
    if convolved:
        _set_moments(network, features[:, columns[convolved]], labels, weights[convolved], seed)
    mixed = np.sum([weights[name] * logits for name, logits in held_out.items()], axis=0)
    return Solution(mixed.astype(np.float32), weights, {name: part.penalty for name, part in solved.items()})


def group_folds(labels: np.ndarray, groups: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the indices to fit on and to test on. No group is on both sides; all classes are, as far as possible."""
    first = labels if labels.ndim == 1 else labels.argmax(axis=1)
    most = int(np.bincount(first).max())  # There can't be more stratified folds than videos of the commonest class.
    if len(set(groups)) < 2:
        raise ValueError("The last layer is solved by folds over groups, which needs at least 2 groups. There is one.")
    if most < 2:
        raise ValueError("The last layer is solved by folds, which needs at least 2 training videos of one class.")
    count = min(FOLDS, len(set(groups)), most)
    with warnings.catch_warnings(action="ignore"):  # It warns about classes with fewer videos than folds.
        yield from StratifiedGroupKFold(count, shuffle=True, random_state=0).split(first, first, groups)


def _solve_part(
    features: np.ndarray, labels: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]], num_classes: int
) -> _Part:
    space = _Space.of(features)
    turned = space(features)
    held_out = np.zeros((len(PENALTIES), len(features), num_classes))
    for rows, others in folds:
        for place, (kernel, bias) in enumerate(regressions(turned[rows], labels[rows], num_classes, PENALTIES)):
            held_out[place, others] = turned[others] @ kernel + bias
    best = int(np.argmin([losses(logits, labels).mean() for logits in held_out]))
    *_, (kernel, bias) = regressions(turned, labels, num_classes, PENALTIES[: best + 1])
    whole = space.turn @ kernel * space.scale[:, None]
    return _Part(whole, bias - space.mean @ whole, held_out[best], PENALTIES[best])


def _held_out_moments(
    network: keras.Model,
    moments: np.ndarray,
    labels: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    seed: int,
) -> np.ndarray:
    """Returns each video's logits of the convolution over time, from the fold that was not fitted to its group."""
    convolution = network.get_layer(_MOMENTS_NET)
    found = np.zeros((len(moments), network.output_shape[-1]))
    for rows, others in folds:
        fresh = keras.models.clone_model(convolution)
        train_moments(fresh, moments[rows], _as_rows(labels, found.shape[1])[rows], epochs=EPOCHS_OF_FOLDS, seed=seed)
        found[others] = predicted(fresh, moments[others])
    return found


def _set_moments(network: keras.Model, moments: np.ndarray, labels: np.ndarray, weight: float, seed: int) -> None:
    """Trains the convolution over time on all videos, and weights its logits. With weight 0 it stays untrained."""
    convolution = network.get_layer(_MOMENTS_NET)
    if weight:
        fresh = keras.models.clone_model(convolution)
        train_moments(fresh, moments, _as_rows(labels, network.output_shape[-1]), epochs=EPOCHS, seed=seed)
        convolution.set_weights(fresh.get_weights())
    scores = convolution.get_layer("moments_logits")
    scores.set_weights([weight * each for each in scores.get_weights()])


def _as_rows(labels: np.ndarray, num_classes: int) -> np.ndarray:
    return (np.eye(num_classes)[labels] if labels.ndim == 1 else labels).astype(np.float32)


def rotated(features: np.ndarray) -> np.ndarray:
    """Returns standardised features in the principal directions of the videos. It does not use labels."""
    return _Space.of(features)(features)


@dataclass(frozen=True)
class _Space:
    """A map to standardised features in the principal directions of the videos. It does not use labels."""

    mean: np.ndarray
    scale: np.ndarray
    turn: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "_Space":
        mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
        # Features with hardly any variance would be scaled up to noise.
        scale = 1.0 / (deviation + 1e-3 * np.sqrt((deviation**2).mean()) + 1e-8)
        standard = (features - mean) * scale
        is_wide = standard.shape[0] < standard.shape[1]
        sizes, axes = np.linalg.eigh(standard @ standard.T if is_wide else standard.T @ standard)
        kept = [place for place in np.argsort(-sizes)[:RANK] if sizes[place] > 1e-7 * sizes.max()]
        turn = standard.T @ (axes[:, kept] / np.sqrt(sizes[kept])) if is_wide else axes[:, kept]
        along = standard @ turn
        return cls(mean, scale, turn / np.sqrt((along**2).sum(axis=1).mean()))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        turned: np.ndarray = ((features - self.mean) * self.scale) @ self.turn
        return turned


def regressions(
    features: np.ndarray, labels: np.ndarray, num_classes: int, penalties: Sequence[float]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields kernel and bias for each penalty. Each search starts from the result of the one before."""
    # If there are several labels, each has its own regression.
    targets = [labels] if labels.ndim == 1 else list(labels.T)
    models = [LogisticRegression(warm_start=True, max_iter=300) for _ in targets]
    for penalty in penalties:
        fits = [_fit(model, target, features, penalty) for model, target in zip(models, targets, strict=True)]
        if labels.ndim == 1:
            yield _of_classes(*fits[0], np.unique(labels), num_classes)
        else:
            yield np.hstack([weights for weights, _ in fits]), np.concatenate([offset for _, offset in fits])


def _fit(
    model: LogisticRegression, target: np.ndarray, features: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns weights [D, n] and offsets [n] of each class, or only of the second if there are two."""
    if len(np.unique(target)) < 2:  # There is only one class.
        return np.zeros((features.shape[1], 1)), np.array([_SURE if target[0] else -_SURE])
    model.set_params(C=1.0 / (penalty * len(features)))
    with in_one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # The search for the next penalty continues it.
        model.fit(features, target)
    return model.coef_.T, model.intercept_


def _of_classes(
    weights: np.ndarray, offsets: np.ndarray, seen: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weights and offsets of all classes. A class without videos practically never wins."""
    if len(seen) == 1:
        offsets = np.abs(offsets)  # Only one class is possible.
    if len(seen) == 2:
        weights, offsets = np.hstack([-weights, weights]) / 2, np.concatenate([-offsets, offsets]) / 2
    kernel, bias = np.zeros((len(weights), num_classes)), np.full(num_classes, -_SURE)
    kernel[:, seen], bias[seen] = weights, offsets
    return kernel, bias
