"""What came out of an evaluation, as numbers and names that JSON can hold; fusion/page.py shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fusion import measures
from fusion.combine import probabilities
from fusion.evidence import Evidence
from streams.scores import Scores

# Methods whose scores are probabilities, of which one can ask whether they are true.
_PROBABILITIES = ("average", "weighted", "calibrated")


def build_report(
    streams: Sequence[Scores], fused: Mapping[str, np.ndarray], evidence: Evidence, joint: Scores | None = None
) -> dict[str, Any]:
    """Returns all that is known of the streams and of every way in which they were fused, [V, C] by method."""
    first, labels, groups = streams[0], evidence.labels, evidence.groups
    results = dict(zip(evidence.streams, evidence.logits, strict=True)) | dict(fused)
    return {
        "data_set": first.data_set,
        "split": first.split,
        "num_videos": len(first.videos),
        "num_groups": len(set(groups)),
        "classes": list(first.classes),
        "streams": {scores.stream: _origin(scores) for scores in streams},
        "joint": {joint.stream: _origin(joint)} if joint else {},
        "methods": list(fused),
        "video_accuracy": {name: measures.video_accuracy(scores, labels) for name, scores in results.items()},
        "interval": {name: measures.accuracy_interval(scores, labels, groups) for name, scores in results.items()},
        "frame_accuracy": {scores.stream: measures.frame_accuracy(scores.view_logits, labels) for scores in streams},
        "top5": {name: measures.top_accuracy(scores, labels, 5) for name, scores in results.items()},
        **(_several_labels if evidence.is_multi_label else _one_label)(results, labels, groups),
        "agreement": measures.agreement(evidence.logits, labels),
        "reliability": _reliability(evidence, fused),
        "videos": list(first.videos),
        "labels": labels.tolist(),
        "decisions": {name: scores.argmax(axis=1).tolist() for name, scores in results.items()},
    }


def _one_label(results: Mapping[str, np.ndarray], labels: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """Returns what can be said where each video shows one class; classes without videos are left out of means."""
    of_class = {name: measures.class_accuracy(scores, labels) for name, scores in results.items()}
    return {
        "mean_class_accuracy": {name: float(np.nanmean(shares)) for name, shares in of_class.items()},
        "class_accuracy": {name: _with_gaps(shares) for name, shares in of_class.items()},
        "confusion": {name: measures.confusion(scores, labels).tolist() for name, scores in results.items()},
    }


def _several_labels(results: Mapping[str, np.ndarray], labels: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """Returns what can be said where a video shows several classes, or none."""
    of_class = {name: measures.class_precision(scores, labels) for name, scores in results.items()}
    return {
        "mean_average_precision": {name: float(np.nanmean(shares)) for name, shares in of_class.items()},
        "precision_interval": {
            name: measures.precision_interval(scores, labels, groups) for name, scores in results.items()
        },
        "class_precision": {name: _with_gaps(shares) for name, shares in of_class.items()},
    }


def _reliability(evidence: Evidence, fused: Mapping[str, np.ndarray]) -> dict[str, Any]:
    shares = dict(zip(evidence.streams, probabilities(evidence), strict=True))
    shares |= {name: scores for name, scores in fused.items() if name.partition(":")[0] in _PROBABILITIES}
    bins = {name: measures.reliability(of_method, evidence.labels) for name, of_method in shares.items()}
    return {name: {"bins": each, "error": measures.calibration_error(each)} for name, each in bins.items()}


def _with_gaps(values: np.ndarray) -> list[float | None]:
    """Returns numbers as JSON knows them: what is not a number becomes null."""
    return [None if np.isnan(value) else float(value) for value in values]


def _origin(scores: Scores) -> dict[str, str]:
    return {"protocol": scores.protocol, "selection": scores.selection, "model_hash": scores.model_hash}
