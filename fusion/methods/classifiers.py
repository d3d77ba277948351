"""Fuses streams by scikit-learn classifiers on their stacked scores."""

from typing import TYPE_CHECKING

import numpy as np

from fusion.methods.calibration import log_shares, temperatures
from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Parameters, Rule, best_by_folds
from fusion.methods.fixed import probabilities

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

# The score of a class without training videos: below any other.
_NEVER = -100.0


def svm(evidence: Evidence) -> Rule:
    """Fits the paper's linear SVM to the stacked, L2-normalised softmax scores; C is cross-validated over groups."""
    return _svm(evidence, best_by_folds(evidence, (0.01, 0.1, 1.0, 10.0), _svm))


def stacking(evidence: Evidence) -> Rule:
    """Fits a logistic regression to the stacked log-probabilities of the calibrated streams."""
    return _stacking(evidence, best_by_folds(evidence, (0.001, 0.01, 0.1), _stacking))


def _svm(evidence: Evidence, value: float) -> Rule:
    from sklearn.svm import LinearSVC

    # With this tolerance, the dual solver makes the same decisions as the exact solution in a fifth of the time.
    machine = LinearSVC(C=value, dual=True, tol=1e-2, max_iter=5000, random_state=0)
    kernel, bias = _fit(machine, _normalised(evidence), evidence)
    return Rule.of(decide_by_shares, f"C = {value:g}", kernel=kernel, bias=bias)


def decide_by_shares(evidence: Evidence, parameters: Parameters) -> np.ndarray:
    """Returns the decisions of the SVM."""
    decisions: np.ndarray = _normalised(evidence) @ parameters["kernel"] + parameters["bias"]
    return decisions


def _stacking(evidence: Evidence, value: float) -> Rule:
    from sklearn.linear_model import LogisticRegression

    at = temperatures(evidence)
    inputs = np.concatenate(log_shares(evidence, at), axis=1)
    mean, scale = inputs.mean(axis=0), inputs.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    classifier = LogisticRegression(C=value, tol=1e-3, max_iter=300)
    kernel, bias = _fit(classifier, (inputs - mean) / scale, evidence)
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


def _fit(
    classifier: "LinearSVC | LogisticRegression", inputs: np.ndarray, evidence: Evidence
) -> tuple[np.ndarray, np.ndarray]:
    """Returns weights [D, C] and offsets [C] of the classifier; classes without training videos rank last."""
    labels, num_classes = evidence.labels, evidence.view_logits[0].shape[2]
    if evidence.is_multi_label:
        present = np.flatnonzero((labels.min(axis=0) == 0) & (labels.max(axis=0) == 1))
        targets = list(labels[:, present].T)
    else:
        present, targets = np.unique(labels), [labels]
    if len(present) < 2:
        raise ValueError(f"This method needs training videos of at least 2 classes. Received {len(present)}.")
    weights, offsets = [], []
    for target in targets:
        classifier.fit(inputs, target)
        weights.append(np.array(classifier.coef_))
        offsets.append(np.array(classifier.intercept_))
    rows, constants = np.concatenate(weights), np.concatenate(offsets)
    if len(rows) == 1:  # With two classes, scikit-learn returns only the score of the second.
        rows, constants = np.concatenate([-rows, rows]), np.concatenate([-constants, constants])
    kernel, bias = np.zeros((inputs.shape[1], num_classes)), np.full(num_classes, _NEVER)
    kernel[:, present], bias[present] = rows.T, constants
    return kernel, bias
