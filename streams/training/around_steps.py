"""What happens around the steps of `fit`: checkpoints, an even course of the numbers, and stopping when asked to."""

import math
import time
from typing import TypeAlias

import keras
import numpy as np

from streams.training.devices import Together
from streams.training.display import Display
from streams.training.progress import Checkpoints, Course, sums_of
from streams.training.records import Records
from streams.training.schedules import best_epoch, plateau_factor, should_stop
from streams.training.stopping import Stop, StoppedError, same_command

Logs: TypeAlias = dict[str, float] | None

# XLA drops the check inside a step, so the loss is looked at now and then, which makes a GPU wait.
_STEPS_BETWEEN_LOOKS = 50


class Keeper(keras.callbacks.Callback):
    """Keeps the progress of a training true and safe.

    All of it happens before a step or after an epoch, never after a step: Keras would wait for a GPU to finish
    each step to tell us its numbers.
    """

    def __init__(
        self,
        course: Course,
        checkpoints: Checkpoints,
        together: Together,
        stop: Stop,
        display: Display,
        records: Records,
    ):
        super().__init__()
        self.course, self.checkpoints, self.together, self.stop = course, checkpoints, together, stop
        self.display, self.records = display, records
        self.sums: list[np.ndarray] = []  # Behind the numbers of an epoch that was left before its end.
        self.first_step, self.saved_at = 0, time.monotonic()  # Where this call of `fit` began, and when it last saved.

    def on_train_begin(self, logs: Logs = None) -> None:
        """Keeps the numbers of an epoch that was left before its end, which Keras sets to zero next."""
        if self.course.step_of_epoch:
            self.sums = [variable.numpy() for variable in sums_of(self.model)]

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Gives an epoch that was left before its end its numbers back."""
        self.first_step, self.saved_at = self.course.progress.step, time.monotonic()
        self._give_numbers_back()

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Saves now and then inside long epochs, and when asked to stop."""
        course = self.course
        course.progress.step = self.first_step + batch
        if course.progress.step % _STEPS_BETWEEN_LOOKS == 0:
            self._look_at_loss()
        if course.progress.step % self.together.every:
            return
        due = time.monotonic() - self.saved_at > 60 * course.config.checkpoint_minutes
        stop, save = self.together.any(self.stop.requested, due)
        if stop:
            self._stop()
        if save:
            self._save()
            self.saved_at = time.monotonic()

    def on_test_begin(self, logs: Logs = None) -> None:
        """Keeps the numbers of the epoch, which Keras sets to zero next."""
        self.course.progress.step = (self.course.epoch + 1) * self.course.steps_per_epoch
        self.sums = [variable.numpy() for variable in sums_of(self.model)]
        self.course.validating = True

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Leaves validation when asked to stop; it is done from its beginning when the training goes on."""
        if batch % self.together.every == 0 and self.together.any(self.stop.requested)[0]:
            self._give_numbers_back()
            self.course.validating = False
            self._stop()

    def on_test_end(self, logs: Logs = None) -> None:
        """Forgets the numbers from before: the epoch has them."""
        self.sums, self.course.validating = [], False

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Adds the epoch to the history, and saves it and, if it is the best so far, its weights."""
        course, row = self.course, {name: float(value) for name, value in (logs or {}).items()}
        course.progress.step = (epoch + 1) * course.steps_per_epoch
        self._check_finite(row["loss"])
        course.validating = "val_loss" in row
        self._check_finite(row.get("val_loss", 0.0))
        course.validating = False
        history = course.progress.history
        history.append({**row, "learning_rate": float(course.rate(course.progress.step - 1))})
        if "val_loss" in row and best_epoch(history) == len(history):
            self._take_place()
            self.checkpoints.save_best(self.model, course.progress)
        self._save()

    def _save(self) -> None:
        self._look_at_loss()
        self._take_place()
        self.checkpoints.save(self.model, self.course.progress)
        self.course.saved_step = self.course.progress.step

    def _take_place(self) -> None:
        """Replaces what lay here, now that there is something to keep."""
        if self.checkpoints.writes:
            self.records.begin(anew=self.course.saved_step == 0)

    def _stop(self) -> None:
        if self.course.progress.step > 0:
            self._save()
        self.together.take_leave()
        asked = "" if self.stop.requested else ", as another machine was asked to,"
        raise StoppedError(f"Stopped{asked} {_what_is_kept(self.course)}")

    def _look_at_loss(self) -> None:
        if self.course.config.jit:
            self._check_finite(float(self.model.mean_loss.result()))

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError
        self.course.finite_step = self.course.progress.step

    def _give_numbers_back(self) -> None:
        for variable, value in zip(sums_of(self.model), self.sums, strict=False):
            variable.assign(value)
        self.sums = []


class Steering(keras.callbacks.Callback):
    """Lowers the rate at plateaus, where the schedule asks for it, and ends a training that gets no better."""

    def __init__(self, course: Course):
        super().__init__()
        self.course = course

    def on_train_begin(self, logs: Logs = None) -> None:
        """Sets the rate to what the history asks for."""
        if self.course.config.schedule == "plateau":
            self.course.rate.factor.assign(plateau_factor(self.course.progress.history, self.course.config.plateau))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Looks at the longer history."""
        self.on_train_begin()
        if should_stop(self.course.progress.history, self.course.config.patience):
            self.model.stop_training = True


def _what_is_kept(course: Course) -> str:
    """Returns what a stop leaves, and what to type next."""
    config, run = course.config, course.run
    if course.progress.step > 0:
        return f"and saved after step {course.progress.step}. {same_command(config)} goes on from there."
    # Stages before this one are done, and --again would do them anew.
    is_later = len(config.stage) - len(run.later) > 1
    starts = same_command(config, begun=is_later)
    return f"before the first step: nothing was changed in {run.folder}. {starts} starts with that step."
