"""Classes that change in a mirror, such as left and right: pairs of them, and clips whose labels follow the mirror."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import tensorflow as tf

from pipelines.clip_stream import ClipStream
from pipelines.source import Example


@dataclass(frozen=True)
class MirroredClasses(ClipStream):
    """Clips that change their class when they are mirrored: to the class that their video shows in a mirror."""

    in_mirror: tuple[int, ...] = ()  # For each class, the class that it becomes in a mirror.

    @classmethod
    def of(cls, clips: ClipStream, in_mirror: tuple[int, ...]) -> "MirroredClasses":
        """Returns these clips with labels that follow the mirror."""
        same = {each.name: getattr(clips, each.name) for each in fields(ClipStream)}
        return cls(**same, in_mirror=in_mirror)

    def plan(self, step: int | tf.Tensor) -> Example:
        """Returns the numbers that make the batch of a step."""
        example = super().plan(step)
        labels, is_mirrored = example["label"], example["randoms"][:, 4] < 0.5
        if len(labels.shape) > 1:
            is_mirrored = is_mirrored[:, None]
            turned = tf.gather(labels, self.in_mirror, axis=1)
        else:
            turned = tf.gather(tf.constant(self.in_mirror, labels.dtype), labels)
        return example | {"label": tf.where(is_mirrored, turned, labels)}


def classes_in_mirror(words: Sequence[str], classes: Sequence[str]) -> tuple[int, ...]:
    """Returns for each class its class in a mirror. Words are pairs A:B, or files with one pair per line."""
    found = list(range(len(classes)))
    for pair in [pair for word in words for pair in _pairs_in(word)]:
        one, _, other = (part.strip() for part in pair.partition(":"))
        for name in (one, other):
            if name not in classes:
                raise ValueError(
                    f"--mirror-classes {pair}: there is no class {name!r}. Write A:B, two of {', '.join(classes)}."
                )
        if one == other or {found[classes.index(one)], found[classes.index(other)]} != {
            classes.index(one),
            classes.index(other),
        }:
            raise ValueError(f"--mirror-classes {pair}: a class is one other class in a mirror. Name each in one pair.")
        found[classes.index(one)], found[classes.index(other)] = classes.index(other), classes.index(one)
    return tuple(found)


def _pairs_in(word: str) -> list[str]:
    path = Path(word)
    if path.is_file():
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if ":" not in word:
        raise ValueError(f"--mirror-classes {word}: there is no such file, and a pair of classes is written A:B.")
    return [word]
