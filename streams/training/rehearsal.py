"""Rehearses a training (--dry-run): takes a few steps, estimates the cost of the whole, and saves nothing."""

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

# The first step builds the graph, and the second one allocates memory. The third one takes as long as all that follow,
# from its beginning to that of the fourth.
_STEPS = 4


class Stopwatch(keras.callbacks.Callback):
    """Records when each step began and how long validation took."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[float] = []
        self.validation = 0.0

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Records the time after the step before: reading a metric makes Python wait for the GPU."""
        self.model.optimizer.iterations.numpy()
        self.steps.append(time.monotonic())

    def on_test_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Records when the present batch began. Only the last one counts, because the first one builds the graph."""
        self.validation_began = time.monotonic()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Records how long the last batch took."""
        self.validation = time.monotonic() - self.validation_began


def rehearse(learner: Learner, clips: Clips, config: TrainConfig, run: Run) -> Cost:
    """Takes a few steps of a training and of its validation, and returns the cost of the whole."""
    epochs, in_epoch = config.extent(clips.steps_per_epoch)
    short = dataclasses.replace(config, steps=None, epochs=1, again=False, resume=False)
    watch, few = Stopwatch(), _FewClips(clips)
    try:
        train(learner, few, short, run, watch)
    except StoppedError:
        raise StoppedError("The rehearsal was stopped. Nothing was saved.") from None
    step, validation = watch.steps[-1] - watch.steps[-2], few.num_batches * watch.validation
    cost = Cost(epochs, epochs * in_epoch, step, validation, peak_memory())
    print(f"Rehearsed: {cost.step:.3f} s per step, {cost.steps} steps in {cost.epochs} epochs.", flush=True)
    return cost


class _FewClips(Clips):
    """The clips of a training, with only a few batches per epoch."""

    steps_per_epoch = _STEPS

    def __init__(self, clips: Clips):
        self.clips, self.tasks, self.skipped = clips, clips.tasks, clips.skipped
        self.num_batches = 0  # The number of batches of the whole validation.

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
        """Returns a message about an unreadable file of a batch."""
        return self.clips.broken(step)

    def cut(self, clips: Tensors, labels: tf.Tensor) -> tuple[Tensors, tf.Tensor]:
        """Cuts clips out of the batches' contents."""
        return self.clips.cut(clips, labels)
