"""Two data sets at once: batches of both, one shared network, and of it what the first data set needs is saved."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from data.catalog import DataSet, Video
from data.prepare import flow_description, ready_dataset
from pipelines.clips import train_batches
from pipelines.drawing import Drawing
from pipelines.inputs import Input
from streams.command import Ingredients
from streams.multitask import both_batches, of_first_task, with_second_task

if TYPE_CHECKING:
    from temporal.train import TemporalConfig


def with_second_dataset(
    alone: Ingredients,
    dataset: DataSet,
    training: Sequence[Video],
    clip: Input,
    drawing: Drawing,
    *,
    config: "TemporalConfig",
) -> Ingredients:
    """Returns ingredients of which half of every batch is of the second data set, all of it as in the paper (Sec. 6).

    What is saved never scores the second data set, so that none of its videos is a test video here.
    """
    if config.and_dataset == dataset.name:
        raise ValueError(f"{dataset.name} cannot be its own second data set. Name another one with --and-dataset.")
    second = ready_dataset(config.and_dataset, config.and_root)
    _check_same_flow(dataset, second, clip)
    num_first, num_second = len(dataset.classes), len(second.classes)

    def batches(start_step: int) -> tf.data.Dataset:
        halves = [
            train_batches(
                each,
                videos,
                clip,
                batch_size=config.batch_size // 2,
                crop_size=config.crop_size,
                seed=config.seed,
                start_step=start_step,
                drawing=drawing,
            )
            for each, videos in ((dataset, training), (second, tuple(second.videos.values())))
        ]
        return both_batches(halves[0], halves[1], num_first)

    return dataclasses.replace(
        alone,
        network=lambda: with_second_task(alone.network(), num_second),
        batches=batches,
        videos=None,
        broken=None,
        tasks=(num_first, num_second),
        saved=of_first_task,
    )


def _check_same_flow(first: DataSet, second: DataSet, clip: Input) -> None:
    """Refuses flow whose levels mean different motion."""
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
