"""Defines the options for training on a second data set together with the first, and opens its videos."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from commands.options import option
from data.catalog import DataSet
from data.ready import ready_dataset
from streams.command import Data
from streams.config import WrongTogether


@dataclass(frozen=True, kw_only=True)
class SecondDataSet:
    """The options that name a second data set and choose among its classes."""

    and_dataset: str = option(
        "", "a second data set to train on at once, with its own scores and loss (multi-task)", metavar="NAME"
    )
    and_root: Path | None = option(None, "its folder, instead of datasets/<data set>", metavar="FOLDER")
    and_joined: bool = option(False, "one list of classes and one loss for both data sets, instead of one each")
    and_without: tuple[str, ...] = option(
        (),
        "a class of it to leave out, such as one that the first data set has too; can be repeated",
        repeat=True,
        metavar="NAME",
    )


# Options that can't be used with two data sets: a condition, and the advice.
TWO_AT_ONCE: WrongTogether = (
    (
        lambda config: config.and_dataset and config.batch_size % 2,
        "Two data sets share a batch, so its size must be even. Received {batch_size}.",
    ),
    (
        lambda config: config.and_dataset and config.keeps_features,
        "Training on two data sets at once needs clips, not kept features. Drop --train last-layer.",
    ),
)


def second_lists(config: SecondDataSet, first: str) -> Data:
    """Returns the second data set without the classes to leave out, and all of its videos."""
    if config.and_dataset == first:
        raise ValueError(f"{first} cannot be its own second data set. Name another one with --and-dataset.")
    dataset = without_classes(ready_dataset(config.and_dataset, config.and_root), config.and_without)
    return dataset, (tuple(dataset.videos.values()),)


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
