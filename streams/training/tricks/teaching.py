"""Distillation (Hinton et al. 2015): a network learns from the answers of other networks, its teachers.

A teacher may use flow while the taught network uses frames. Then it recognises motion without flow.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from data.catalog import DataSet, Video
from data.optical_flow.levels import RULES
from data.ready import flow_description
from pipelines.clip_stream import WHOLE, Clips, ClipStream, Shard, Tensors
from pipelines.inputs import Input
from streams.config import TrainConfig
from streams.runs.model_file import ModelCard, check_unseen, load_model

# Divides all logits before they are compared. So small probabilities count too: they tell which classes look alike.
TEMPERATURE = 4.0


@dataclass(frozen=True)
class Teacher:
    """A saved network that answers, and for each of its inputs the name of its clips in a batch."""

    network: keras.Model
    card: ModelCard
    names: Mapping[str, str]

    def scores(self, clips: Mapping[str, tf.Tensor], score: Callable[..., tf.Tensor]) -> tf.Tensor:
        """Returns its logits. `score` is the trainee's function from a network and examples to logits."""
        shown = {kind: clips[name] for kind, name in self.names.items()}
        return score(self.network, shown if len(shown) > 1 else next(iter(shown.values())), training=False)


@dataclass(frozen=True)
class Taught(Clips):
    """Clips for a network and for its teachers: the same moments of the same videos, cut and mirrored alike."""

    clips: ClipStream
    shown: Mapping[str, ClipStream]  # The streams of clips for teachers, by name.

    @property
    def videos(self) -> Sequence[Video]:  # type: ignore[override]
        """The videos for training."""
        return self.clips.videos

    @property
    def own(self) -> str:
        """The name of the clips for the taught network."""
        return "flow" if self.clips.clip.is_flow else "rgb"

    @property
    def parts(self) -> Mapping[str, ClipStream]:
        """All streams of clips by name."""
        return {self.own: self.clips, **self.shown}

    def changed(self, change: Callable[[ClipStream], ClipStream]) -> "Taught":
        """Returns these clips with a change to those for the taught network."""
        return dataclasses.replace(self, clips=change(self.clips))

    @property
    def steps_per_epoch(self) -> int:
        """The number of whole batches in one pass over the videos."""
        return self.clips.steps_per_epoch

    def batches(self, step: int = 0, shard: Shard = WHOLE) -> tf.data.Dataset:
        """Builds an endless dataset of `({name: clips}, labels)` from `step` on."""
        names = list(self.parts)

        def joined(*batches: tuple[Tensors, tf.Tensor]) -> tuple[dict[str, Tensors], tf.Tensor]:
            return {name: clips for name, (clips, _) in zip(names, batches, strict=True)}, batches[0][1]

        return tf.data.Dataset.zip(*(each.batches(step, shard) for each in self.parts.values())).map(joined)

    def validation(self) -> tf.data.Dataset | None:
        """Builds the validation batches, without those for teachers."""
        return self.clips.validation()

    def names(self, step: int) -> Sequence[str]:
        """Returns the names of the videos in the batch of a step."""
        return self.clips.names(step)

    def broken(self, step: int) -> str:
        """Returns a message about an unreadable file of a step's batch and its repair, or "" if all can be read."""
        return next((said for each in self.parts.values() if (said := each.broken(step))), "")

    def cut(self, clips: Tensors, labels: tf.Tensor) -> tuple[Tensors, tf.Tensor]:
        """Cuts clips out of the batches' contents, where the network runs."""
        return {name: each.cut(clips[name], labels)[0] for name, each in self.parts.items()}, labels


def with_teachers(clips: Clips, config: TrainConfig, card: ModelCard) -> tuple[Taught, list[Teacher], ModelCard]:
    """Returns clips for a network and its teachers, the teachers, and a card that includes their training data."""
    assert isinstance(clips, ClipStream)
    shown: dict[str, ClipStream] = {}
    teachers = []
    for number, name in enumerate(config.teacher, 1):
        path = Path(name) if name.endswith(".keras") else Path(name) / "model.keras"
        network, found = load_model(path)
        _check(found, path, card, clips.dataset)
        names = {}
        for part in found.parts.values():
            clip = Input(part.input_kind, part.length, clips.clip.segments, part.stride)
            kind = "flow" if clip.is_flow else "rgb"
            names[kind] = f"teacher {number} {kind}"
            size = next(each.shape[1] for each in network.inputs if each.name == kind)
            on_device = clips.on_device and part.shown != "whole"
            shown[names[kind]] = dataclasses.replace(
                clips, clip=clip, crop_size=size, shown=part.shown, on_device=on_device, held_out=()
            )
        teachers.append(Teacher(network, found, names))
        card = card.having_learnt(found.lessons)
        print(f"Teacher: {path}, which looks at {found.input_kind}.", flush=True)
    return Taught(clips, shown), teachers, card


def lesson(logits: tf.Tensor, answers: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns for each clip the distance between the probabilities of logits and the mean of the teachers' ones."""
    wanted = tf.add_n([tf.nn.softmax(each / TEMPERATURE) for each in answers]) / len(answers)
    logs = tf.nn.log_softmax(logits / TEMPERATURE)
    distance = tf.reduce_sum(wanted * (tf.math.log(tf.maximum(wanted, 1e-12)) - logs), axis=-1)
    return TEMPERATURE**2 * distance  # Then gradients are as large as those of the other loss (Hinton, Sec. 2).


def _check(found: ModelCard, path: Path, card: ModelCard, dataset: DataSet) -> None:
    """Raises ValueError for a teacher with other classes or flow, or one that was trained on test videos."""
    if card.multi_label:
        raise ValueError("--teacher is for videos of one class each. Drop it.")
    if found.classes != card.classes:
        raise ValueError(
            f"The teacher {path} has {len(found.classes)} classes ({', '.join(found.classes[:3])} ...), but these "
            f"videos have {len(card.classes)} ({', '.join(card.classes[:3])} ...). Name a model of the same classes."
        )
    check_unseen(found, path, data_set=card.data_set, split=card.split, selection=card.selection)
    if found.flow:
        ours, theirs = flow_description(dataset.root), found.flow
        alike = ours["bound"] == theirs["bound"] and RULES[ours["rule"]] == RULES[str(theirs["rule"])]
        if not alike:
            raise ValueError(
                f"The flow of {dataset.name} has bound {ours['bound']} and rule {ours['rule']!r}, but the teacher "
                f"{path} needs {theirs['bound']} and {theirs['rule']!r}. Prepare flow as it needs it, or name another."
            )
