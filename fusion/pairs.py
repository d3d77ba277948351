"""Batches of pairs for a network of both streams: a frame, and the flow around it, cut and mirrored alike.

Both are drawn from the same random numbers. A frame at the share u of its video's frames lies within the stack of L
fields that starts at the share u of its possible starts, so that one shows what the other moves.
"""

from typing import Any

import tensorflow as tf

from data.catalog import DataSet
from pipelines.failures import explain_failure
from pipelines.inputs import Input
from streams.ingredients import Videos, batches_of, drawing_of, validation_of

Inputs = tuple[Input, Input]  # Of frames, and of flow.
NAMES = ("rgb", "flow")


def pair_batches(
    dataset: DataSet, videos: Videos, inputs: Inputs, config: Any, *, start_step: int, shard: tuple[int, int] = (0, 1)
) -> tf.data.Dataset:
    """Builds an endless dataset of `({"rgb": clips, "flow": clips}, labels)`, of which batch k is always the same."""
    drawing = drawing_of(config)
    return _paired(
        batches_of(dataset, videos, clip, config, drawing, start_step=start_step, shard=shard) for clip in inputs
    )


def validation_pairs(dataset: DataSet, videos: Videos, inputs: Inputs, config: Any) -> tf.data.Dataset | None:
    """Builds the pairs that weights are chosen by, where there are videos for it."""
    if not videos:
        return None
    return _paired(validation_of(dataset, videos, clip, config) for clip in inputs)


def pair_failure(dataset: DataSet, videos: Videos, inputs: Inputs, **place: Any) -> str:
    """Returns which file of a batch can't be read, and what to type; empty if all can be."""
    return next(filter(None, (explain_failure(dataset, videos, clip, **place) for clip in inputs)), "")


def _paired(streams: Any) -> tf.data.Dataset:
    def join(*batches: tuple[tf.Tensor, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        return {name: clips for name, (clips, _) in zip(NAMES, batches, strict=True)}, batches[0][1]

    return tf.data.Dataset.zip(*streams).map(join)
