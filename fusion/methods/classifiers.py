"""Fuses streams by scikit-learn classifiers on their stacked scores."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fusion.methods.calibration import log_shares, temperatures
from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Rule, best_by_folds
from fusion.methods.fixed import probabilities

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


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
    decide = _fit(machine, _normalised(evidence), evidence)
    return Rule(lambda unseen: decide(_normalised(unseen)), f"C = {value:g}")


def _stacking(evidence: Evidence, value: float) -> Rule:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    at = temperatures(evidence)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=value, tol=1e-3, max_iter=300))
    decide = _fit(classifier, np.concatenate(log_shares(evidence, at), axis=1), evidence)
    return Rule(lambda unseen: decide(np.concatenate(log_shares(unseen, at), axis=1)), f"C = {value:g}")


def _normalised(evidence: Evidence) -> np.ndarray:
    shares = probabilities(evidence)
    return np.concatenate([each / np.linalg.norm(each, axis=1, keepdims=True) for each in shares], axis=1)


def _fit(classifier: "ClassifierMixin", inputs: np.ndarray, evidence: Evidence) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from features to a classifier's scores for every class; unseen classes rank last."""
    from sklearn.multiclass import OneVsRestClassifier

    labels, num_classes = evidence.labels, evidence.view_logits[0].shape[2]
    if evidence.is_multi_label:
        present = np.flatnonzero((labels.min(axis=0) == 0) & (labels.max(axis=0) == 1))
        classifier, labels = OneVsRestClassifier(classifier), labels[:, present]
    else:
        present = np.unique(labels)
    if len(present) < 2:
        raise ValueError(f"This method needs training videos of at least 2 classes. Received {len(present)}.")
    classifier.fit(inputs, labels)

    def decide(unseen: np.ndarray) -> np.ndarray:
        decisions = classifier.decision_function(unseen)
        if decisions.ndim == 1:  # With two classes, scikit-learn returns only the score of the second.
            decisions = np.stack([-decisions, decisions], axis=1)
        scores = np.full((len(unseen), num_classes), decisions.min() - 1.0)
        scores[:, present] = decisions
        return scores

    return decide
