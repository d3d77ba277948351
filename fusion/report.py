"""What came out of an evaluation, as numbers and names that JSON can hold; fusion/page.py shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fusion import measures
from fusion.evidence import Evidence
from streams.scores import Scores


def build_report(streams: Sequence[Scores], fused: Mapping[str, np.ndarray], evidence: Evidence) -> dict[str, Any]:
    """Returns all that is known of the streams and of every way in which they were fused, [V, C] by method."""
    first, labels, groups = streams[0], evidence.labels, evidence.groups
    results = dict(zip(evidence.streams, evidence.logits, strict=True)) | dict(fused)
    report: dict[str, Any] = {
        "data_set": first.data_set,
        "split": first.split,
        "num_videos": len(first.videos),
        "num_groups": len(set(groups)),
        "classes": list(first.classes),
        "streams": {scores.stream: _origin(scores) for scores in streams},
        "methods": list(fused),
        "video_accuracy": {name: measures.video_accuracy(scores, labels) for name, scores in results.items()},
        "interval": {name: measures.accuracy_interval(scores, labels, groups) for name, scores in results.items()},
        "top5": {name: measures.top_accuracy(scores, labels, 5) for name, scores in results.items()},
        "frame_accuracy": {scores.stream: measures.frame_accuracy(scores.view_logits, labels) for scores in streams},
        "agreement": measures.agreement([scores.logits for scores in streams], labels),
    }
    per_class = {name: measures.class_accuracy(scores, labels) for name, scores in results.items()}
    report["mean_class_accuracy"] = {name: float(np.nanmean(shares)) for name, shares in per_class.items()}
    report["class_accuracy"] = {
        name: [None if np.isnan(share) else float(share) for share in shares] for name, shares in per_class.items()
    }
    report["confusion"] = {name: measures.confusion(scores, labels).tolist() for name, scores in results.items()}
    report["videos"] = list(first.videos)
    report["labels"] = labels.tolist()
    report["decisions"] = {name: scores.argmax(axis=1).tolist() for name, scores in results.items()}
    return report


def _origin(scores: Scores) -> dict[str, str]:
    return {"protocol": scores.protocol, "selection": scores.selection, "model_hash": scores.model_hash}
