"""What happens around the steps of `fit`: checkpoints, records, early stop, and stopping when asked to."""

import math
import time
from typing import Any

import keras
import tensorflow as tf

from commands.running import write_json
from pipelines.drawing import Skipped
from streams.config import TrainConfig
from streams.display import Display
from streams.interruption import Stop, StoppedError, same_command
from streams.machines import Together
from streams.records import TensorBoard, write_history
from streams.resume import Checkpoints, Progress, sums_of
from streams.runs import Run, first_versions
from streams.schedules import Rate, best_epoch, plateau_factor, should_stop

# XLA drops the check inside a step, so the loss is looked at now and then, which makes a GPU wait.
_STEPS_BETWEEN_LOOKS = 50


class Loop(keras.callbacks.Callback):
    """Keeps the progress of a training true and safe.

    All of it happens before a step or after an epoch, never after a step: Keras would wait for a GPU to finish
    each step to tell us its numbers.
    """

    def __init__(self, config: TrainConfig, run: Run, *, rate: Rate, steps_per_epoch: int, writes: bool):
        super().__init__()
        self.config, self.run, self.rate = config, run, rate
        self.steps_per_epoch = steps_per_epoch
        self.checkpoints = Checkpoints(run.checkpoints, writes=writes)
        self.together = Together(tf.distribute.get_strategy())
        self.progress = Progress()
        self.stop = Stop()
        self.description: dict[str, Any] = {}  # What config.json says until the training is done.
        self.board: TensorBoard | None = None
        self.display: Display | None = None
        self.sheets: dict[str, Any] = {}  # What the first batch looks like, by the name of the input.
        self.sums: list[Any] = []  # Behind the numbers of an epoch that was left before its end.
        self.first_step, self.saved_at = 0, time.monotonic()  # Where this call of `fit` began, and when it last saved.
        self.saved_step = self.finite_step = 0  # The last ones that were saved, and whose loss was looked at.
        self.validating = False

    def start(self, model: keras.Model, skipped: Skipped | None) -> None:
        """Sets the model to where an earlier training left off, and what was skipped to what it had skipped."""
        if self.config.resume and not self.config.again:
            self.progress = self.checkpoints.restore(model, self.together.check_step)
        else:
            self.together.check_step(0)
        if skipped is not None:
            skipped |= self.progress.skipped
            self.progress.skipped = skipped
        self.saved_step = self.finite_step = self.progress.step
        if self.progress.step > 0:
            self.description["versions"] = first_versions(self.run, self.description["versions"])
        if self.progress.step != self._full_epochs():
            self.sums = [variable.numpy() for variable in sums_of(model)]
        self._set_rate()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Gives an epoch that was left before its end its numbers back, which Keras has just set to zero."""
        self.first_step, self.saved_at = self.progress.step, time.monotonic()
        self._give_numbers_back()

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Saves now and then inside long epochs, and when asked to stop."""
        self.progress.step = self.first_step + batch
        if self.progress.step % _STEPS_BETWEEN_LOOKS == 0:
            self._look_at_loss()
        if self.progress.step % self.together.every:
            return
        due = time.monotonic() - self.saved_at > 60 * self.config.checkpoint_minutes
        stop, save = self.together.any(self.stop.requested, due)
        if stop:
            self._stop()
        if save:
            self._save()
            self.saved_at = time.monotonic()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Keeps the numbers of the epoch, which Keras sets to zero next."""
        self.progress.step = self._full_epochs() + self.steps_per_epoch
        self.sums = [variable.numpy() for variable in sums_of(self.model)]
        self.validating = True

    def on_test_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Leaves validation when asked to stop; it is done from its beginning when the training goes on."""
        if batch % self.together.every == 0 and self.together.any(self.stop.requested)[0]:
            self._give_numbers_back()
            self.validating = False
            self._stop()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Forgets the numbers from before: the epoch has them."""
        self.sums, self.validating = [], False

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes down what the epoch brought, and decides whether it is the best and whether to go on."""
        self.progress.step = (epoch + 1) * self.steps_per_epoch
        row = {name: float(value) for name, value in (logs or {}).items()}
        self._check_finite(row["loss"])
        self.validating = "val_loss" in row
        self._check_finite(row.get("val_loss", 0.0))
        self.validating = False
        row["learning_rate"] = float(self.rate(self.progress.step - 1))
        history = self.progress.history
        history.append(row)
        if "val_loss" in row and best_epoch(history) == len(history):
            self._take_place()
            self.checkpoints.save_best(self.model, self.progress)
        self._save()
        self._set_rate()
        self._show(row)
        if should_stop(history, self.config.patience):
            self.model.stop_training = True

    def is_done(self, epochs: int) -> bool:
        """Tells whether all epochs are through, or as many as were of use."""
        history = self.progress.history
        return len(history) >= epochs or should_stop(history, self.config.patience)

    def _save(self) -> None:
        self._look_at_loss()
        self._take_place()
        self.checkpoints.save(self.model, self.progress)
        self.saved_step = self.progress.step

    def _take_place(self) -> None:
        """Replaces what lay here, now that there is something to keep."""
        if self.board or not self.checkpoints.writes:
            return
        if self.saved_step == 0:
            self.run.clear(with_later=self.config.again)
        write_json(self.run.config, self.description)
        self.board = TensorBoard(self.run.tensorboard, histograms=self.config.histograms)
        for name, sheet in self.sheets.items():
            self.board.add_inputs(name, sheet)

    def _stop(self) -> None:
        if self.progress.step > 0:
            self._save()
        self.together.take_leave()
        asked = "" if self.stop.requested else ", as another machine was asked to,"
        raise StoppedError(f"Stopped{asked} {self._what_is_kept()}")

    def _what_is_kept(self) -> str:
        """Returns what a stop leaves, and what to type next."""
        if self.progress.step > 0:
            return f"and saved after step {self.progress.step}. {same_command(self.config)} goes on from there."
        # Stages before this one are done, and --again would do them anew.
        is_later = len(self.config.stage) - len(self.run.later) > 1
        starts = same_command(self.config, begun=is_later)
        return f"before the first step: nothing was changed in {self.run.folder}. {starts} starts with that step."

    def _look_at_loss(self) -> None:
        if self.config.jit:
            self._check_finite(float(self.model.mean_loss.result()))

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError
        self.finite_step = self.progress.step

    def _give_numbers_back(self) -> None:
        for variable, value in zip(sums_of(self.model), self.sums, strict=False):
            variable.assign(value)
        self.sums = []

    def _full_epochs(self) -> int:
        """Returns the steps of the epochs that are through, validation included."""
        return len(self.progress.history) * self.steps_per_epoch

    def _show(self, row: dict[str, float]) -> None:
        if self.display and self.board:
            self.display.end_epoch(row)
            self.board.add_epoch(len(self.progress.history), {**row, **self.display.numbers()}, self.model)
            write_history(self.run.history, self.progress.history)

    def _set_rate(self) -> None:
        if self.config.schedule == "plateau":
            self.rate.factor.assign(plateau_factor(self.progress.history, self.config.plateau))
