"""The prediction for one video, as numbers. Networks and pixels are elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from commands.text import printable
from fusion.methods.doubting import confidence
from fusion.methods.fixed import sigmoid, softmax
from fusion.methods.kept import AVERAGE, Fusion

FUSED = "fused"
# The names of results in JSON. Users read them.
Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Prediction:
    """The logits of each stream for each view of one video, and all results that follow from them."""

    video: str
    classes: tuple[str, ...]
    view_logits: Mapping[str, np.ndarray]  # For each stream: float32[views, C].
    view_seconds: Mapping[str, np.ndarray]  # For each stream: the time of the middle of each view in the video.
    num_frames: int
    frame_rate: float
    # For each stream: the seconds from the middle of a view to its last frame.
    reach: Mapping[str, float] = field(default_factory=dict)
    multi_label: bool = False
    # For each stream: float32[views, D] from the centre crops, if the fusion uses them.
    view_features: Mapping[str, np.ndarray] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)  # The duration of each stage of the prediction.
    fusion: Fusion = AVERAGE
    notes: tuple[str, ...] = ()  # Remarks on this result, for instance that flow was not computed as in training.

    @property
    def duration(self) -> float:
        """The duration of the video in seconds."""
        return self.num_frames / self.frame_rate

    @property
    def probabilities(self) -> dict[str, np.ndarray]:
        """The probabilities of each stream, and of their fusion if there are several."""
        means = {name: logits.mean(axis=0) for name, logits in self.view_logits.items()}
        shares = {name: _shares(logits, self.multi_label) for name, logits in means.items()}
        if self.is_fused:
            views = {name: logits[None] for name, logits in self.view_logits.items()}
            features = {name: each[None] for name, each in self.view_features.items()}
            shares[FUSED] = self.fusion.probabilities(views, features, multi_label=self.multi_label)[0]
        return shares

    @property
    def is_fused(self) -> bool:
        """Tells whether several streams were fused."""
        return len(self.view_logits) > 1

    @property
    def is_unsure(self) -> bool:
        """Tells whether the top probability is below the threshold for unsure answers."""
        doubt = self.fusion.doubt
        return self.is_fused and doubt is not None and float(self.verdict.max()) < doubt.below

    @property
    def confidence(self) -> float | None:
        """The share of such sure answers that were right on held-out videos, or None if no evaluation measured it."""
        doubt = self.fusion.doubt
        return float(confidence(self.verdict, doubt.temperature)) if doubt and self.is_fused else None

    @property
    def verdict(self) -> np.ndarray:
        """The probabilities that decide: the fused ones, or those of the only stream."""
        return list(self.probabilities.values())[-1]

    def top(self, count: int = 5, stream: str = "") -> list[tuple[str, float]]:
        """Returns the most probable classes with their probabilities, best first; fused, or of one stream if named."""
        return best(self.probabilities[stream] if stream else self.verdict, self.classes, count)

    def as_dictionary(self, count: int = 5) -> Json:
        """Returns the prediction as values that JSON can hold."""
        return {
            "video": printable(self.video),
            "frames": self.num_frames,
            "frame_rate": round(self.frame_rate, 3),
            "top": {
                name: [{"class": label, "probability": round(score, 6)} for label, score in self.top(count, name)]
                for name in self.probabilities
            },
            "fusion": self.fusion.method if self.is_fused else None,
            "unsure": self.is_unsure,
            "confidence": None if self.confidence is None else round(self.confidence, 6),
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "notes": list(self.notes),
        }


def best(shares: np.ndarray, classes: Sequence[str], count: int) -> list[tuple[str, float]]:
    """Returns the most probable classes with their probabilities, best first."""
    order = np.argsort(-shares, kind="stable")[:count]
    return [(classes[index], float(shares[index])) for index in order]


def fused(
    logits: Mapping[str, np.ndarray], multi_label: bool = False, fusion: Fusion = AVERAGE
) -> dict[str, np.ndarray]:
    """Returns each stream's probabilities over the last axis, and those of their fusion.

    A fusion that uses features of a whole video can't be used for single moments. The average takes its place there.
    """
    fusion = AVERAGE if fusion.uses_features else fusion
    shares = {name: _shares(values, multi_label) for name, values in logits.items()}
    if len(shares) > 1:
        shape = next(iter(shares.values())).shape
        views = {name: np.asarray(values).reshape(-1, 1, shape[-1]) for name, values in logits.items()}
        shares[FUSED] = fusion.probabilities(views, multi_label=multi_label).reshape(shape)
    return shares


def _shares(logits: np.ndarray, multi_label: bool) -> np.ndarray:
    return (sigmoid if multi_label else softmax)(logits)
