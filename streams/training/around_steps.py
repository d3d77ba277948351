"""Does the work around the steps of `fit`: checkpoints, the rate after a plateau, and stopping on request."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import TypeAlias

import keras

from commands.files import write_json
from streams.config import TrainConfig
from streams.training.machines import this_part
from streams.training.progress import Course
from streams.training.records import write_history
from streams.training.schedules import best_epoch, plateau_factor

Logs: TypeAlias = dict[str, float] | None

# The number of steps between two checks of the loss.
_STEPS_BETWEEN_LOOKS = 50


class Stop:
    """Records whether somebody asked the training to stop."""

    requested = False


class StoppedError(KeyboardInterrupt):
    """A training was asked to stop, has saved its progress, and says how to go on."""


@contextlib.contextmanager
def listening_for_stop() -> Iterator[Stop]:
    """Yields a `Stop` that the first Ctrl-C or SIGTERM sets; a second one interrupts at once."""
    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True
        print("\nStopping after this step. Stop once more to end at once and lose what is not saved.", flush=True)

    may_listen = threading.current_thread() is threading.main_thread()
    previous = {each: signal.signal(each, ask) for each in (signal.SIGINT, signal.SIGTERM) if may_listen}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def same_command(config: TrainConfig, *, begun: bool = True) -> str:
    """Returns the subject of a sentence: the command that continues or starts a training."""
    where = " on every machine" if this_part()[1] > 1 else ""
    return f"The same command{where}{' without --again' if config.again and begun else ''}"


class Keeper(keras.callbacks.Callback):
    """Keeps track of a training, and saves it.

    It works before a step or after an epoch, but never after a step: then Keras would wait for the GPU after each step
    to report the metrics.
    """

    def __init__(self, course: Course, stop: Stop, described: Mapping[str, object]):
        super().__init__()
        self.course, self.stop = course, stop
        self.described = described  # The content of config.json until the training is finished.

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Sets the rate after plateaus. Resets the metrics, unless the epoch is continued."""
        course = self.course
        self.first_step, self.saved_at = course.progress.step, time.monotonic()
        if course.config.schedule == "plateau":
            course.rate.factor.assign(plateau_factor(course.progress.history, course.config.plateau))
        if not course.step_of_epoch:
            for mean in self.model.training_means:
                mean.reset_state()

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Saves from time to time within long epochs, and when asked to stop."""
        step = self.course.progress.step = self.first_step + batch
        if step % self.course.together.every:
            return
        due = batch > 0 and time.monotonic() - self.saved_at > 60 * self.course.config.checkpoint_minutes
        stop, save = self.course.together.any(self.stop.requested, due)
        if stop:
            self._stop()
        if save:
            self._save()
            self.saved_at = time.monotonic()

    def on_test_begin(self, logs: Logs = None) -> None:
        """Switches from the metrics of training to those of validation."""
        self.course.progress.step = (self.course.epoch + 1) * self.course.steps_per_epoch
        self.model.validating = True

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Leaves validation when asked to stop. A continued training repeats all of it."""
        if batch % self.course.together.every == 0 and self.course.together.any(self.stop.requested)[0]:
            self.model.validating = False
            self._stop()

    def on_test_end(self, logs: Logs = None) -> None:
        """Switches back to the metrics of training."""
        self.model.validating = False

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Adds the epoch to the history, saves it, and ends a training that does not improve any more."""
        course, history = self.course, self.course.progress.history
        course.progress.step = (epoch + 1) * course.steps_per_epoch
        row = {name: float(value) for name, value in (logs or {}).items()}
        history.append({**row, "learning_rate": float(course.rate(course.progress.step - 1))})
        self._save(is_best="val_loss" in row and best_epoch(history) == len(history))
        if course.together.is_chief:
            write_history(course.run.history, history)
        self.model.stop_training = course.is_done

    def _save(self, *, is_best: bool = False) -> None:
        course = self.course
        if course.together.is_chief and course.saved_step == 0:
            # Earlier files are deleted only now, when there is something to save.
            course.run.clear(with_later=course.config.again)
            write_json(course.run.config, self.described)
        course.progress.seconds = time.monotonic() - course.began
        course.checkpoints.save(self.model, course.progress, is_best=is_best)
        course.saved_step = course.progress.step

    def _stop(self) -> None:
        if self.course.progress.step > 0:
            self._save()
        self.course.together.take_leave()
        asked = "" if self.stop.requested else ", as another machine was asked to,"
        raise StoppedError(f"Stopped{asked} {_what_is_kept(self.course)}")


class KeeperOfCompiled(Keeper):
    """Ends a training whose loss is not finite, for steps compiled by XLA, which drops the check inside a step.

    It checks the loss before each checkpoint and every few steps, because each check makes a GPU wait.
    """

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Checks the loss every few steps."""
        self.course.progress.step = self.first_step + batch
        if self.course.progress.step % _STEPS_BETWEEN_LOOKS == 0:
            self._look_at_loss()
        super().on_train_batch_begin(batch, logs)

    def on_test_begin(self, logs: Logs = None) -> None:
        """Checks the loss of the epoch."""
        self.course.progress.step = (self.course.epoch + 1) * self.course.steps_per_epoch
        self._look_at_loss()
        super().on_test_begin(logs)

    def on_test_end(self, logs: Logs = None) -> None:
        """Checks the loss of validation."""
        self._look_at_loss()
        super().on_test_end(logs)

    def _save(self, *, is_best: bool = False) -> None:
        self._look_at_loss()
        super()._save(is_best=is_best)

    def _look_at_loss(self) -> None:
        loss, _ = self.model.validation_means if self.model.validating else self.model.training_means
        if not math.isfinite(float(loss.result())):
            raise FloatingPointError
        self.course.finite_step = self.course.progress.step


def _what_is_kept(course: Course) -> str:
    """Returns what a stop saved, and what to type next."""
    config, run = course.config, course.run
    if course.progress.step > 0:
        return f"and saved after step {course.progress.step}. {same_command(config)} goes on from there."
    # Earlier stages are finished, and --again would repeat them.
    is_later = len(config.stage) - len(run.later) > 1
    starts = same_command(config, begun=is_later)
    return f"before the first step: nothing was changed in {run.folder}. {starts} starts with that step."
