"""Turns the views of a long video into a timeline: stretches of time with one class each, as text and as data."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusion.prediction.prediction import FUSED, Json, Prediction, fused

# The label of a stretch whose likeliest class stays below the threshold.
UNSURE = "unsure"


@dataclass(frozen=True)
class Stretch:
    """A stretch of time in which the same class is the most probable."""

    start: float  # Seconds.
    end: float
    label: str  # A class, or UNSURE.
    confidence: float  # The mean probability of the likeliest class.

    def as_dictionary(self) -> Json:
        """Returns the values that JSON and CSV output contain."""
        return {
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "class": self.label,
            "confidence": round(self.confidence, 6),
        }


@dataclass(frozen=True)
class Timeline:
    """The probabilities of each stream and of their fusion over time."""

    classes: tuple[str, ...]
    duration: float
    times: np.ndarray  # float[T], seconds.
    probabilities: dict[str, np.ndarray]  # float[T, C] each. The last one decides.
    below: float | None = None  # The threshold: a fused decision is unsure if its class is less probable.
    # Seconds from a moment to its decision, which uses no later view. None if views around the moment are averaged.
    delay: float | None = None

    @property
    def decided_by(self) -> str:
        """The name of the stream, or of the fusion, that decides."""
        return list(self.probabilities)[-1]

    def stretches(self, stream: str = "") -> list[Stretch]:
        """Returns the stretches of one stream, or of the decision if no stream is named."""
        name = stream or self.decided_by
        scores = self.probabilities[name]
        sure, found = scores.max(axis=1), scores.argmax(axis=1)
        if self.below is not None and name == FUSED:
            found = np.where(sure < self.below, len(self.classes), found)
        borders = np.flatnonzero(np.diff(found)) + 1
        between = (self.times[borders - 1] + self.times[borders]) / 2 if self.delay is None else self.times[borders]
        edges = [0.0 if self.delay is None else float(self.times[0]), *between.tolist(), self.duration]
        parts = np.split(np.arange(len(found)), borders)
        names = (*self.classes, UNSURE)
        return [
            Stretch(start, end, names[found[part[0]]], float(sure[part].mean()))
            for part, start, end in zip(parts, edges[:-1], edges[1:], strict=True)
        ]


def timeline(prediction: Prediction, window: float = 2.0, delay: float | None = None) -> Timeline:
    """Returns a prediction's probabilities over time, each the mean of the views within `window` seconds.

    The window is centred on each moment. With a `delay`, it ends that many seconds after the moment, and only views
    that are complete by then are averaged: these are the decisions that a live source would get.
    """
    doubt = prediction.fusion.doubt
    below = doubt.below if doubt else None
    longest = max(prediction.view_seconds, key=lambda name: len(prediction.view_seconds[name]))
    times = prediction.view_seconds[longest]
    if delay is None:
        smoothed = {
            name: _smoothed(prediction.view_seconds[name], logits, times, window)
            for name, logits in prediction.view_logits.items()
        }
    else:
        seen = {name: at + prediction.reach.get(name, 0.0) for name, at in prediction.view_seconds.items()}
        # Decisions start when each network has seen a view.
        times = seen[longest] - delay
        times = times[(times >= 0) & (times + delay >= max(at[0] for at in seen.values()) - 1e-6)]
        times = times[: int(np.searchsorted(times, prediction.duration))]
        if not len(times):
            raise ValueError(
                f"{prediction.video}: it ends before a decision with a delay of {1000 * delay:.0f} ms. Pass a shorter "
                "--delay, or leave it out."
            )
        smoothed = {
            name: _until(seen[name], logits, times + delay, window) for name, logits in prediction.view_logits.items()
        }
    shares = fused(smoothed, prediction.multi_label, prediction.fusion)
    return Timeline(prediction.classes, prediction.duration, times, shares, below, delay)


def as_text(stretches: Sequence[Stretch]) -> str:
    """Returns one line per stretch: start, end, class and confidence."""
    width = max(len(stretch.label) for stretch in stretches)
    return "\n".join(
        f"{clock(stretch.start)} to {clock(stretch.end)}  {stretch.label:<{width}}  {stretch.confidence:6.1%}"
        for stretch in stretches
    )


def clock(seconds: float) -> str:
    """Returns a moment as people read it: 0:07.5, 1:02:03.0."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest / 10:04.1f}" if hours else f"{minutes}:{rest / 10:04.1f}"


def _smoothed(at: np.ndarray, logits: np.ndarray, times: np.ndarray, window: float) -> np.ndarray:
    """Returns the mean of the views around each time, or the nearest view if there are none."""
    first = np.searchsorted(at, times - window / 2 - 1e-6)
    last = np.searchsorted(at, times + window / 2 + 1e-6)
    nearest = np.abs(at[None, :] - times[:, None]).argmin(axis=1) if len(at) < 2000 else np.searchsorted(at, times)
    nearest = np.minimum(nearest, len(at) - 1)
    return _means(logits, np.where(last > first, first, nearest), np.where(last > first, last, nearest + 1))


def _until(seen: np.ndarray, logits: np.ndarray, times: np.ndarray, window: float) -> np.ndarray:
    """Returns the mean of the views that were complete within the window before each time; at least of the last."""
    last = np.searchsorted(seen, times + 1e-6)
    first = np.searchsorted(seen, times - window + 1e-6)
    return _means(logits, np.minimum(first, last - 1), last)


def _means(logits: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    sums = np.concatenate([np.zeros((1, logits.shape[1])), np.cumsum(logits, axis=0, dtype=np.float64)])
    means: np.ndarray = (sums[last] - sums[first]) / (last - first)[:, None]
    return means
