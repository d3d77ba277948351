"""Files that can't be read in mid-training: named, with the command that repairs them, or left out and counted."""

import logging
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from data.audit_files import AGAIN, OWN
from data.catalog import DataSet, in_words
from data.packed import damaged_member
from pipelines.source import Source, at_once

Example = dict[str, tf.Tensor]

_SKIP_OR_MEND = "Pass --skip-broken to train without such clips, or mend them"


def broken_file_message(dataset: DataSet, source: Source, paths: Iterable[str], *, are_skipped: bool = False) -> str:
    """Returns a sentence about the first of these files that can't be read, and what to type; empty if all can be."""
    advice = "No other clip of its batch could take its place" if are_skipped else _SKIP_OR_MEND
    for path in paths:
        reason = _reason(source, path)
        if reason:
            return f"{path} {reason}. {advice}. {remedy(dataset)}"
    return ""


def remedy(dataset: DataSet) -> str:
    """Returns what to do about files that can't be read: every one is looked at, as the broken one may be any."""
    if dataset.layout.name not in OWN:
        return AGAIN
    return f"Run: python data/doctor.py {in_words(dataset.name, dataset.root)} --full --fix"


def skipping(
    examples: tf.data.Dataset,
    load: Callable[[Example], tf.Tensor],
    names: tf.Tensor,
    batch_size: int,
    shape: tuple[int, ...],
    skipped: Counter[str],
) -> tf.data.Dataset:
    """Builds batches in which a clip that can't be read is replaced by another one of its batch, and counted."""

    def load_or_nothing(example: Example) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        # An error can't be caught in a graph, only dropped from a data set: so each clip is a data set of its own.
        one = tf.data.Dataset.from_tensors(example).map(load).ignore_errors()
        nothing = tf.zeros(shape, tf.uint8), False
        clip, is_good = one.reduce(nothing, lambda _, loaded: (tf.ensure_shape(loaded, shape), True))
        return clip, example["label"], is_good, tf.gather(names, example["row"])

    def replace(
        clips: tf.Tensor, labels: tf.Tensor, is_good: tf.Tensor, names: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        good = tf.where(is_good)[:, 0]
        tf.debugging.Assert(tf.size(good) > 0, ["No clip of this batch can be read:", names], summarize=8)

        def replaced() -> tuple[tf.Tensor, tf.Tensor]:
            num_counted = tf.numpy_function(count, [tf.boolean_mask(names, ~is_good)], tf.int64)
            with tf.control_dependencies([num_counted]):
                own = tf.range(batch_size, dtype=tf.int64)
                others = tf.gather(good, own % tf.size(good, tf.int64))
                places = tf.where(is_good, own, others)
            return tf.gather(clips, places), tf.gather(labels, places)

        clips, labels = tf.cond(tf.reduce_all(is_good), lambda: (clips, labels), replaced)
        return tf.ensure_shape(clips, (batch_size, *shape)), labels

    def count(names: np.ndarray) -> np.int64:
        for name in names:
            video = name.decode()
            if video not in skipped:
                logging.getLogger(__name__).warning("Skipped a clip of %s, which can't be read.", video)
            skipped[video] += 1
        return np.int64(len(names))

    loaded = examples.map(load_or_nothing, num_parallel_calls=at_once())
    return loaded.batch(batch_size, drop_remainder=True).map(replace)


def _reason(source: Source, path: str) -> str:
    if not Path(path).exists():
        return "is missing"
    try:
        if source.is_packed:
            damaged = damaged_member(Path(path))
            return f"is damaged in {damaged}" if damaged else ""
        source.image(tf.io.read_file(path))
    except (tf.errors.OpError, ValueError, zipfile.BadZipFile) as error:
        words = re.sub(r"\{\{.*?\}\} | \[Op:.*", "", str(getattr(error, "message", error)).splitlines()[0])
        return f"can't be decoded ({words})"
    return ""
