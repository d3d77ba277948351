"""Fuses streams by linear classifiers on their concatenated scores."""

import numpy as np

from commands.running import in_one_thread
from fusion.methods.calibration import log_shares, temperatures
from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Parameters, Rule, best_by_folds
from fusion.methods.fixed import probabilities

# The guessed share of videos whose hinge loss is not zero, which sets its curvature. A good guess shortens the search.
_CURVE = 0.3
# The score of a class without training videos: lower than any other.
_NEVER = -100.0


def svm(evidence: Evidence) -> Rule:
    """Fits the paper's linear SVM to concatenated, L2-normalised softmax scores. C is cross-validated over groups."""
    return _svm(evidence, best_by_folds(evidence, (0.01, 0.1, 1.0, 10.0), _svm))


def stacking(evidence: Evidence) -> Rule:
    """Fits a logistic regression to the concatenated log-probabilities of the calibrated streams."""
    return _stacking(evidence, best_by_folds(evidence, (0.001, 0.01, 0.1), _stacking))


def _svm(evidence: Evidence, value: float) -> Rule:
    present, shown = _present(evidence)
    machines = _machines(_normalised(evidence), np.where(shown, 1.0, -1.0), value)
    kernel, bias = _of_all_classes(evidence, present, machines[:-1], machines[-1])
    return Rule.of(decide_by_shares, f"C = {value:g}", kernel=kernel, bias=bias)


def decide_by_shares(evidence: Evidence, parameters: Parameters) -> np.ndarray:
    """Returns the decision values of the SVM."""
    decisions: np.ndarray = _normalised(evidence) @ parameters["kernel"] + parameters["bias"]
    return decisions


def _stacking(evidence: Evidence, value: float) -> Rule:
    at = temperatures(evidence)
    inputs = np.concatenate(log_shares(evidence, at), axis=1)
    mean, scale = inputs.mean(axis=0), inputs.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    kernel, bias = _of_all_classes(evidence, *_regression((inputs - mean) / scale, evidence, value))
    kernel = kernel / scale[:, None]
    return Rule.of(decide_by_logs, f"C = {value:g}", temperatures=at, kernel=kernel, bias=bias - mean @ kernel)


def decide_by_logs(evidence: Evidence, parameters: Parameters) -> np.ndarray:
    """Returns the logits of the logistic regression."""
    inputs = np.concatenate(log_shares(evidence, parameters["temperatures"]), axis=1)
    logits: np.ndarray = inputs @ parameters["kernel"] + parameters["bias"]
    return logits


def _normalised(evidence: Evidence) -> np.ndarray:
    shares = probabilities(evidence)
    return np.concatenate([each / np.linalg.norm(each, axis=1, keepdims=True) for each in shares], axis=1)


def _machines(inputs: np.ndarray, signs: np.ndarray, strength: float) -> np.ndarray:
    """Returns one linear SVM per column of signs: its weights, and its offset in the last row, [D + 1, C].

    They minimise the squared hinge loss, as in liblinear, which regularises offsets too. All classes are solved at
    once: a step is then two matrix products, and takes a fifth of the time of solving one class after the other.
    """
    from scipy.optimize import minimize

    columns = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    # The steps are along the axes of the inputs, and shorter where the loss curves more.
    spread, axes = np.linalg.eigh(columns.T @ columns)
    axes /= np.sqrt(1 + _CURVE * strength * np.maximum(spread, 0))
    size = (axes**2).sum(axis=0)[:, None]
    turned, signs = (columns @ axes).astype(np.float32), signs.astype(np.float32)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        steps = flat.reshape(len(size), -1)
        short = np.maximum(1 - signs * (turned @ steps.astype(np.float32)), 0)
        found = (size * steps**2).sum() / 2 + strength * (short**2).sum(dtype=np.float64)
        return float(found), (size * steps - 2 * strength * (turned.T @ (signs * short))).ravel()

    start = np.zeros(len(size) * signs.shape[1])
    flat = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-6}).x
    weights: np.ndarray = axes @ flat.reshape(len(size), -1)
    return weights


def _regression(inputs: np.ndarray, evidence: Evidence, value: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the classes that a logistic regression can learn, and its weights and offsets for them."""
    from sklearn.linear_model import LogisticRegression

    present, shown = _present(evidence)
    classifier = LogisticRegression(C=value, tol=1e-3, max_iter=300)
    singles = inputs.astype(np.float32)  # Two thirds of the time, and no decision differs on published scores.
    weights, offsets = [], []
    for target in shown.T if evidence.is_multi_label else [shown.argmax(axis=1)]:
        with in_one_thread():
            classifier.fit(singles, target)
        weights.append(np.array(classifier.coef_))
        offsets.append(np.array(classifier.intercept_))
    rows, constants = np.concatenate(weights), np.concatenate(offsets)
    if len(rows) == 1:  # With two classes, scikit-learn returns only the score of the second.
        rows, constants = np.concatenate([-rows, rows]), np.concatenate([-constants, constants])
    return present, rows.T, constants


def _present(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Returns the classes that can be learned, and the videos that show each of them: bool[V, present]."""
    labels = evidence.labels
    if evidence.is_multi_label:
        present = np.flatnonzero((labels.min(axis=0) == 0) & (labels.max(axis=0) == 1))
        shown = labels[:, present] > 0
    else:
        present = np.unique(labels)
        shown = labels[:, None] == present
    if len(present) < 2:
        raise ValueError(f"This method needs training videos of at least 2 classes. Received {len(present)}.")
    return present, shown


def _of_all_classes(
    evidence: Evidence, present: np.ndarray, weights: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns weights [D, C] and offsets [C] for all classes; those without training videos rank last."""
    num_classes = evidence.view_logits[0].shape[2]
    kernel, bias = np.zeros((len(weights), num_classes)), np.full(num_classes, _NEVER)
    kernel[:, present], bias[present] = weights, offsets
    return kernel, bias
