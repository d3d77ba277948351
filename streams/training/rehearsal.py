"""A rehearsal: everything is built and a few steps are taken, to learn what a training would cost; nothing stays."""

import dataclasses
import time
from collections.abc import Sequence

import keras
import tensorflow as tf

from pipelines.clip_stream import WHOLE, Clips, Shard, Tensors
from streams.config import TrainConfig
from streams.runs.costs import Cost
from streams.runs.run_folder import Run
from streams.training.fit import Learner, train
from streams.training.memory import peak_memory
from streams.training.stopping import StoppedError

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
    """The clips of a training, of which an epoch has a few batches only."""

    steps_per_epoch = _STEPS

    def __init__(self, clips: Clips):
        self.clips, self.tasks, self.skipped = clips, clips.tasks, clips.skipped
        self.num_batches = 0  # Of the whole validation.

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

    def cut(self, clips: Tensors) -> Tensors:
        """Makes clips of what batches hold."""
        return self.clips.cut(clips)
