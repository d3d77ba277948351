"""The input of every fusion method: the scores of all streams for the same videos, with labels and groups."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from streams.runs.score_file import Scores

# Labels are int[V] for single-label data sets, and zeros and ones uint8[V, C] for multi-label ones.

# Advice for scores that are not finite.
_OF_MODEL = (
    "The learning rate of this network was probably too high. Train it again with a lower --learning-rate, then pass "
    "--rescore."
)
_OF_FILE = (
    "They come from a score file. Score these videos again with the tool that wrote it, or leave them out of every "
    "file."
)


@dataclass(frozen=True)
class Evidence:
    """View logits of each stream, [V, views, C], with the labels and the groups of the videos."""

    streams: tuple[str, ...]
    view_logits: tuple[np.ndarray, ...]
    labels: np.ndarray
    groups: np.ndarray
    features: tuple[np.ndarray, ...] = ()  # Features of each stream per view, [V, views, D], if they were kept.
    joint: np.ndarray | None = None  # Logits of a network of both streams, [V, views, C], if there is one.

    @classmethod
    def of(
        cls,
        streams: Sequence[Scores],
        groups: Sequence[str],
        features: Sequence[Scores] = (),
        joint: Scores | None = None,
    ) -> "Evidence":
        """Builds evidence from the scores of several streams; raises ValueError if their videos differ."""
        every = [*streams, *([joint] if joint else [])]
        check_same_videos(every)
        for scores in every:
            check_finite(scores)
        return cls(
            tuple(scores.stream for scores in streams),
            tuple(scores.view_logits.astype(np.float64) for scores in streams),
            streams[0].labels,
            np.asarray(groups),
            tuple(each.view_logits for each in features),
            joint.view_logits.astype(np.float64) if joint else None,
        )

    @property
    def logits(self) -> list[np.ndarray]:
        """The logits of each stream per video, averaged over its views: [V, C]."""
        return [views.mean(axis=1) for views in self.view_logits]

    @property
    def num_videos(self) -> int:
        """The number of videos."""
        return len(self.labels)

    @property
    def is_multi_label(self) -> bool:
        """Tells whether a video may have several labels, or none."""
        return self.labels.ndim == 2

    def rows(self, chosen: np.ndarray) -> "Evidence":
        """Returns the evidence for some of the videos."""
        views = tuple(logits[chosen] for logits in self.view_logits)
        features = tuple(each[chosen] for each in self.features)
        joint = None if self.joint is None else self.joint[chosen]
        return Evidence(self.streams, views, self.labels[chosen], self.groups[chosen], features, joint)

    def folds(self, most: int = 5) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields `(rows to fit on, rows to evaluate on)`; a group is never in both."""
        from sklearn.model_selection import GroupKFold

        count = min(most, len(set(self.groups)))
        if count < 2:
            raise ValueError(f"Folds by group need at least 2 groups. Received {count} for {self.num_videos} videos.")
        yield from GroupKFold(count).split(np.zeros(self.num_videos), groups=self.groups)


def check_same_videos(streams: Sequence[Scores]) -> None:
    """Raises ValueError unless all streams have scores for the same videos, classes, split and part."""
    first = streams[0]
    for other in streams[1:]:
        for name in ("data_set", "split", "part", "classes", "videos"):
            ours, theirs = getattr(first, name), getattr(other, name)
            if ours != theirs:
                raise ValueError(
                    f"The streams must agree on their {name.replace('_', ' ')}. "
                    f"{first.stream} and {other.stream} differ: {first_difference(ours, theirs)}. "
                    "Score both again with --rescore."
                )
        if not np.array_equal(first.labels, other.labels):
            place = int(np.argmax((first.labels != other.labels).reshape(len(first.labels), -1).any(axis=1)))
            raise ValueError(
                f"The streams must have the same labels. {first.stream} and {other.stream} differ for "
                f"{first.videos[place]}. Score both again with --rescore."
            )


def check_finite(scores: Scores) -> None:
    """Raises ValueError if a score is NaN or infinite; the message names the first such video."""
    bad = ~np.isfinite(scores.view_logits).all(axis=(1, 2))
    if bad.any():
        raise ValueError(
            f"{bad.sum()} of {len(bad)} videos have {scores.stream} scores that are not finite; the first is "
            f"{scores.videos[int(bad.argmax())]}. {_OF_MODEL if scores.model_hash else _OF_FILE}"
        )


def first_difference(ours: object, theirs: object, noun: str = "place") -> str:
    """Describes the difference between two values; between two tuples, also their first different entry, a `noun`."""
    if not (isinstance(ours, tuple) and isinstance(theirs, tuple)):
        return f"{ours} against {theirs}"
    lengths = f"{len(ours)} against {len(theirs)}, first at " if len(ours) != len(theirs) else ""
    for place, (our, their) in enumerate(zip(ours, theirs, strict=False)):
        if our != their:
            return f"{lengths}{noun} {place}, {our} against {their}"
    return f"{lengths}{noun} {min(len(ours), len(theirs))}, which only one of them has"
