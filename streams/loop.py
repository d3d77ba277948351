"""What happens around the steps of `fit`: checkpoints, records, early stop, and stopping when asked to."""

import time
from typing import Any

import keras

from commands.running import write_json
from streams.config import TrainConfig
from streams.display import Display
from streams.interruption import Stop, StoppedError
from streams.records import TensorBoard, write_history
from streams.resume import Checkpoints, Progress
from streams.runs import Run
from streams.schedules import Rate, best_epoch, plateau_factor, should_stop


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
        self.progress = Progress()
        self.stop = Stop()
        self.board: TensorBoard | None = None
        self.display: Display | None = None
        self.sums: list[Any] = []  # Behind the numbers of an epoch that was left in its middle.

    def start(self, model: keras.Model, description: dict[str, Any]) -> None:
        """Sets the model to where an earlier training left off, or clears the place for a new one."""
        if self.config.resume and not self.config.again:
            self.progress = self.checkpoints.restore(model)
        if self.progress.step == 0 and self.checkpoints.writes:
            self.run.clear()
        if self.progress.step % self.steps_per_epoch:
            self.sums = [variable.numpy() for metric in model.metrics for variable in metric.variables]
        self._set_rate()
        if self.checkpoints.writes:
            write_json(self.run.config, description)
            self.board = TensorBoard(self.run.tensorboard, histograms=self.config.histograms)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Gives an epoch that was left in its middle its numbers back, which Keras has just set to zero."""
        self.first_step, self.saved_at = self.progress.step, time.monotonic()
        variables = [variable for metric in self.model.metrics for variable in metric.variables]
        for variable, value in zip(variables, self.sums, strict=False):
            variable.assign(value)
        self.sums = []

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Saves now and then inside long epochs, and when asked to stop."""
        self.progress.step = self.first_step + batch
        if self.stop.requested:
            self.checkpoints.save(self.model, self.progress)
            raise StoppedError(self._stopped_words())
        if time.monotonic() - self.saved_at > 60 * self.config.checkpoint_minutes:
            self.checkpoints.save(self.model, self.progress)
            self.saved_at = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes down what the epoch brought, and decides whether it is the best and whether to go on."""
        self.progress.step = (epoch + 1) * self.steps_per_epoch
        row = {name: float(value) for name, value in (logs or {}).items()}
        row["learning_rate"] = float(self.rate(self.progress.step - 1))
        history = self.progress.history
        history.append(row)
        if "val_loss" in row and best_epoch(history) == len(history):
            self.checkpoints.save_best(self.model, self.progress)
        self.checkpoints.save(self.model, self.progress)
        self._set_rate()
        self._show(row)
        if should_stop(history, self.config.patience):
            self.model.stop_training = True
        elif self.stop.requested and epoch + 1 < self.params["epochs"]:
            raise StoppedError(self._stopped_words())

    def _show(self, row: dict[str, float]) -> None:
        if self.display and self.board:
            self.display.end_epoch(row)
            self.board.add_epoch(len(self.progress.history), {**row, **self.display.numbers()}, self.model)
            write_history(self.run.history, self.progress.history)

    def _set_rate(self) -> None:
        if self.config.schedule == "plateau":
            self.rate.factor.assign(plateau_factor(self.progress.history, self.config.plateau))

    def _stopped_words(self) -> str:
        return f"Stopped and saved after step {self.progress.step}. The same command goes on from there."
