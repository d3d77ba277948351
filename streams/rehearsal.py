"""A rehearsal: everything is built and a few steps are taken, to learn what a training would cost; nothing stays."""

import dataclasses
import resource
import sys
import tempfile
import time
from pathlib import Path

import keras
import tensorflow as tf

from streams.config import TrainConfig
from streams.ingredients import Ingredients
from streams.runs import Run
from streams.training import train

# The first step builds the graph, the second one finds its memory, and the third one is as all that follow.
_STEPS = 3


class Stopwatch(keras.callbacks.Callback):
    """When each step began and how long validation took."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[float] = []
        self.validation = 0.0

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the time."""
        self.steps.append(time.monotonic())

    def on_test_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Starts with the second batch: the first one builds its graph."""
        self.validation_began = time.monotonic()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Notes what the last batch took."""
        self.validation = time.monotonic() - self.validation_began


def rehearse(
    ingredients: Ingredients, *, steps_per_epoch: int, config: TrainConfig, strategy: tf.distribute.Strategy
) -> dict[str, float]:
    """Takes a few steps of training and of validation, and returns what the whole training would take."""
    epochs = config.epochs if config.steps is None else -(-config.steps // steps_per_epoch)
    validation = ingredients.validation
    batches = 0 if validation is None else max(0, int(validation.cardinality()))
    few = dataclasses.replace(ingredients, validation=None if validation is None else validation.take(2))
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="rehearsal.") as folder:
        short = dataclasses.replace(config, steps=None, epochs=1, again=False, resume=False)
        train(few, steps_per_epoch=_STEPS, config=short, run=Run(Path(folder)), strategy=strategy, watch=watch)
    step = watch.steps[-1] - watch.steps[-2]
    minutes = epochs * (steps_per_epoch * step + batches * watch.validation) / 60
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30
    print(
        f"Rehearsed: {step:.3f} s a step, {epochs} epochs of {steps_per_epoch} steps take about {minutes:.0f} minutes; "
        f"the process held {peak:.1f} GB at most. Nothing was kept."
    )
    return {"seconds_per_step": step, "minutes": minutes, "steps": epochs * steps_per_epoch, "peak_gigabytes": peak}
