"""A rehearsal: everything is built and a few steps are taken, to learn what a training would cost; nothing stays."""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from streams.config import TrainConfig
from streams.ingredients import Ingredients
from streams.interruption import StoppedError
from streams.memory import peak_memory
from streams.runs import Run
from streams.training import train

# The first step builds the graph, the second one finds its memory, the third one is as all that follow, and the
# fourth one tells by its beginning when that one ended.
_STEPS = 4


class Stopwatch(keras.callbacks.Callback):
    """When each step began and how long validation took."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[float] = []
        self.validation = 0.0

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the time once the step before is done, which a GPU is still at until it is asked for a number."""
        self.model.optimizer.iterations.numpy()
        self.steps.append(time.monotonic())

    def on_test_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Starts with the second batch: the first one builds its graph."""
        self.validation_began = time.monotonic()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Notes what the last batch took."""
        self.validation = time.monotonic() - self.validation_began


def rehearse(
    stages: Callable[[Run], Sequence[tuple[TrainConfig, Run]]],
    ingredients: Callable[[TrainConfig], Ingredients],
    *,
    steps_per_epoch: int,
    strategy: tf.distribute.Strategy,
) -> dict[str, float]:
    """Takes a few steps of training and of validation in every stage, and returns what all of them would take."""
    costs = []
    work: dict[str, Any] = {"steps_per_epoch": steps_per_epoch, "strategy": strategy}
    with tempfile.TemporaryDirectory(prefix="rehearsal.") as folder:
        for config, place in stages(Run(Path(folder))):
            try:
                cost = _cost_of(ingredients(config), config=config, run=place, **work)
            except StoppedError:
                raise StoppedError("The rehearsal was stopped. Nothing was kept.") from None
            print(f"Rehearsed: {cost.step:.3f} s a step, {cost.steps} steps in {cost.epochs} epochs.", flush=True)
            costs.append(cost)
    minutes, steps = sum(cost.seconds for cost in costs) / 60, sum(cost.steps for cost in costs)
    memory = peak_memory()
    held = ", ".join(f"{size:.1f} GB by the {name.split('_')[0]}" for name, size in memory.items()) or "not known here"
    parts = f" in {len(costs)} stages" if len(costs) > 1 else ""
    print(f"The training would take about {minutes:.0f} minutes{parts}. Held at most: {held}. Nothing was kept.")
    return {"minutes": minutes, "steps": steps, "seconds_per_step": _mean_step(costs), **memory}


@dataclass(frozen=True)
class Cost:
    """What a training, or a stage of one, would take."""

    epochs: int
    steps: int
    step: float  # Seconds.
    validation: float  # Seconds an epoch.

    @property
    def seconds(self) -> float:
        """All in all."""
        return self.steps * self.step + self.epochs * self.validation


def _cost_of(
    ingredients: Ingredients, *, steps_per_epoch: int, config: TrainConfig, run: Run, strategy: tf.distribute.Strategy
) -> Cost:
    """Takes a few steps in a folder that will be gone."""
    epochs, in_epoch = config.extent(steps_per_epoch)
    validation = ingredients.validation
    batches = 0 if validation is None else max(0, int(validation.cardinality()))
    few = dataclasses.replace(ingredients, validation=None if validation is None else validation.take(2))
    short = dataclasses.replace(config, steps=None, epochs=1, again=False, resume=False)
    watch = Stopwatch()
    train(few, steps_per_epoch=_STEPS, config=short, run=run, strategy=strategy, watch=watch)
    return Cost(epochs, epochs * in_epoch, watch.steps[-1] - watch.steps[-2], batches * watch.validation)


def _mean_step(costs: Sequence[Cost]) -> float:
    return sum(cost.steps * cost.step for cost in costs) / sum(cost.steps for cost in costs)
