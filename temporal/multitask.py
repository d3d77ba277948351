"""Two data sets at once: batches of both, one shared network, and of it what the first data set needs is saved."""

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from commands.options import option
from data.catalog import DataSet
from data.ready import flow_description, ready_dataset
from pipelines.inputs import Input
from streams.ingredients import Ingredients, Videos, batches_of, drawing_of

if TYPE_CHECKING:
    import tensorflow as tf

# Each data set, with its videos to train on and those to choose by.
_Halves: TypeAlias = tuple[tuple[DataSet, Videos, Videos], ...]


@dataclass(frozen=True, kw_only=True)
class SecondDataSet:
    """The options that name a second data set, and say what becomes of its classes."""

    and_dataset: str = option(
        "", "a second data set to learn at once, with scores and a loss of its own (multi-task)", metavar="NAME"
    )
    and_root: Path | None = option(None, "its folder, instead of datasets/<data set>", metavar="DIR")
    and_joined: bool = option(False, "one list of classes and one loss over both data sets, not one each")
    and_without: tuple[str, ...] = option(
        (),
        "a class of it to leave out, as one that the first data set has too; repeat it",
        repeat=True,
        metavar="CLASS",
    )


def second_dataset(config: Any) -> DataSet:
    """Returns the second data set, without the classes that it is to lack."""
    if config.and_dataset == config.dataset:
        raise ValueError(f"{config.dataset} cannot be its own second data set. Name another one with --and-dataset.")
    return without_classes(ready_dataset(config.and_dataset, config.and_root), config.and_without)


def with_second_dataset(
    alone: Ingredients, config: Any, dataset: DataSet, training: Videos, validation: Videos
) -> Ingredients:
    """Returns ingredients of which half of every batch is of the second data set, all of it as in the paper (Sec. 6).

    What is saved never scores the second data set, so that none of its videos is a test video here.
    """
    from pipelines.drawing import batch_videos
    from streams.multitask import both_batches, of_first_task, with_second_task

    (second,), clip = config.others, Input(config.input, config.length, config.segments)
    _check_alike(dataset, second, clip)
    num_first, num_second = len(dataset.classes), len(second.classes)
    # Both count the clips that they leave out together.
    drawing = dataclasses.replace(drawing_of(config), skipped=alone.skipped)
    halves: _Halves = ((dataset, training, validation), (second, tuple(second.videos.values()), ()))
    first_half, second_half = (
        partial(batches_of, each, videos, clip, config, drawing, share=2) for each, videos, _ in halves
    )
    drawn: dict[str, Any] = {"batch_size": config.batch_size // 2, "seed": config.seed, "drawing": drawing}

    def batches(start_step: int, shard: tuple[int, int] = (0, 1)) -> "tf.data.Dataset":
        place: dict[str, Any] = {"start_step": start_step, "shard": shard}
        return both_batches(first_half(**place), second_half(**place), num_first)

    return dataclasses.replace(
        alone,
        network=lambda: with_second_task(alone.network(), num_second),
        batches=batches,
        videos=lambda step: [name for _, videos, _ in halves for name in batch_videos(videos, step=step, **drawn)],
        broken=partial(_broken, halves, clip, {**drawn, "crop_size": config.crop_size}),
        card=alone.card.having_learnt([(second.name, 0, config.protocol)]),
        tasks=() if config.and_joined else (num_first, num_second),
        saved=of_first_task,
    )


def without_classes(dataset: DataSet, names: tuple[str, ...]) -> DataSet:
    """Returns a data set without some of its classes and their videos."""
    unknown = [name for name in names if name not in dataset.classes]
    if unknown:
        raise ValueError(
            f"{dataset.name} has no class {unknown[0]!r} to leave out. It has {', '.join(dataset.classes)}."
        )
    kept = [label for label, name in enumerate(dataset.classes) if name not in names]
    number_of = {label: number for number, label in enumerate(kept)}
    videos = {
        name: dataclasses.replace(video, labels=tuple(number_of[label] for label in video.labels))
        for name, video in dataset.videos.items()
        if all(label in number_of for label in video.labels)
    }
    return dataclasses.replace(
        dataset, classes=tuple(dataset.classes[label] for label in kept), videos=videos, splits={}
    )


def _broken(halves: _Halves, clip: Input, drawn: dict[str, Any], step: int) -> str:
    """Returns which file of a batch of both can't be read, and what to type; empty if all can be."""
    from pipelines.failures import explain_failure

    said = (
        explain_failure(dataset, videos, clip, step=step, validation=validation, **drawn)
        for dataset, videos, validation in halves
    )
    return next(filter(None, said), "")


def _check_alike(first: DataSet, second: DataSet, clip: Input) -> None:
    """Refuses data sets with several labels a video, and flow whose levels mean different motion."""
    if second.multi_label or first.multi_label:
        raise ValueError("Two data sets are learnt at once where every video has one label. Drop --and-dataset.")
    if clip.is_flow:
        ours, theirs = flow_description(first.root), flow_description(second.root)
        for key in ("bound", "rule"):
            if ours[key] != theirs[key]:
                raise ValueError(
                    f"Flow of {first.name} has {key} {ours[key]!r} and that of {second.name} {theirs[key]!r}. "
                    "Prepare both alike to learn them at once."
                )
