"""Rehearses a training (--dry-run): takes a few steps, estimates the cost of the whole, and keeps nothing."""

import dataclasses
import time
from collections.abc import Sequence

import keras
import tensorflow as tf

from pipelines.clip_stream import WHOLE, Clips, Shard, Tensors
from streams.config import TrainConfig
from streams.runs.costs import Cost
from streams.runs.run_folder import Run
from streams.training.around_steps import StoppedError
from streams.training.devices import peak_memory
from streams.training.fit import Learner, train

# The first step builds the graph, and the second one asks for memory. The third one takes as long as all that follow,
# from its beginning to that of the fourth.
_STEPS = 4


class Stopwatch(keras.callbacks.Callback):
    """Notes when each step began and how long validation took."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[float] = []
        self.validation = 0.0

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the time once the step before is done: asking for a number makes Python wait for the GPU."""
        self.model.optimizer.iterations.numpy()
        self.steps.append(time.monotonic())

    def on_test_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notes when the present batch began; the last one counts, as the first one builds the graph."""
        self.validation_began = time.monotonic()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Notes how long the last batch took."""
        self.validation = time.monotonic() - self.validation_began


def rehearse(learner: Learner, clips: Clips, config: TrainConfig, run: Run) -> Cost:
    """Takes a few steps of a training and of its validation, and returns what all of it would cost."""
    epochs, in_epoch = config.extent(clips.steps_per_epoch)
    short = dataclasses.replace(config, steps=None, epochs=1, again=False, resume=False)
    watch, few = Stopwatch(), _FewClips(clips)
    try:
        train(learner, few, short, run, watch)
    except StoppedError:
        raise StoppedError("The rehearsal was stopped. Nothing was kept.") from None
    step, validation = watch.steps[-1] - watch.steps[-2], few.num_batches * watch.validation
    cost = Cost(epochs, epochs * in_epoch, step, validation, peak_memory())
    print(f"Rehearsed: {cost.step:.3f} s a step, {cost.steps} steps in {cost.epochs} epochs.", flush=True)
    return cost


class _FewClips(Clips):
    """The clips of a training, with a few batches an epoch."""

    steps_per_epoch = _STEPS

    def __init__(self, clips: Clips):
        self.clips, self.tasks, self.skipped = clips, clips.tasks, clips.skipped
        self.num_batches = 0  # How many the whole validation has.

    def batches(self, step: int = 0, shard: Shard = WHOLE) -> tf.data.Dataset:
        """Builds the batches of the training."""
        return self.clips.batches(step, shard)

    def validation(self) -> tf.data.Dataset | None:
        """Builds two batches of validation, and counts how many there would be."""
        whole = self.clips.validation()
        self.num_batches = 0 if whole is None else max(0, int(whole.cardinality()))
        return None if whole is None else whole.take(2)

    def names(self, step: int) -> Sequence[str]:
        """Returns the names of the videos in the batch of a step."""
        return self.clips.names(step)

    def broken(self, step: int) -> str:
        """Returns which file of a batch can't be read."""
        return self.clips.broken(step)

    def cut(self, clips: Tensors, labels: tf.Tensor) -> tuple[Tensors, tf.Tensor]:
        """Makes clips of what batches hold."""
        return self.clips.cut(clips, labels)
