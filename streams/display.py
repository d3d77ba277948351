"""What a training shows while it runs: a bar on a terminal, and a line for each epoch everywhere."""

import time
from collections.abc import Iterator
from typing import Any

import keras
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from streams.waiting import Waiting

# Seconds between looks at the numbers of an unfinished epoch: reading them makes a GPU wait.
_LOOK = 0.5


class _Bar(Progress):
    """A bar with a line of its own for the numbers, which would leave no room for it on a usual terminal."""

    def get_renderables(self) -> Iterator[RenderableType]:
        """Yields the bar and the line below it."""
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            yield Text(task.fields["now"])


class Display(keras.callbacks.Callback):
    """Shows how far the training is, how well it goes and what it waits for."""

    def __init__(self, *, epochs: int, steps_per_epoch: int, batch_size: int, waiting: Waiting, chosen_by: str):
        super().__init__()
        self.chosen_by = chosen_by
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.waiting = waiting
        self.first_step = 0  # Of the epoch, where a training goes on in the middle of one.
        self.speed, self.waited = 0.0, 0.0
        console = Console()
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self.bar = _Bar(*columns, console=console, disable=not console.is_terminal, transient=True)

    def start(self, done_steps: int, done_epochs: int) -> None:
        """Shows the bar."""
        self.first_step = done_steps - done_epochs * self.steps_per_epoch
        self.bar.start()
        self.task = self.bar.add_task(
            "Training", total=self.epochs * self.steps_per_epoch, completed=done_steps, now="builds its graph"
        )

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock of an epoch."""
        self.epoch = epoch
        self.began = self.looked = time.monotonic()
        self.waited_before = self.waiting.seconds

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Moves the bar."""
        self.waiting.begin_step()
        now = time.monotonic()
        if self.bar.disable or batch == 0 or now - self.looked < _LOOK:
            return
        self.looked = now
        self._measure(batch)
        self._move(self.first_step + batch, self._speed_words())

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Stops the clock: validation is no training."""
        self.waiting.end_step()
        self._measure(self.steps_per_epoch - self.first_step)
        if not self.bar.disable:
            self._move(self.steps_per_epoch, f"now its {self.chosen_by}")

    def end_epoch(self, row: dict[str, float]) -> None:
        """Prints the line of an epoch."""
        chosen = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
        validation = f"; {self.chosen_by} {_words(chosen)}" if chosen else ""
        if not chosen:
            self.waiting.end_step()
            self._measure(self.steps_per_epoch - self.first_step)
        self.first_step = 0
        line = f"Epoch {self.epoch + 1}/{self.epochs}: {_words(row)}{validation}; {self._speed_words()}"
        self.bar.console.print(line, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        """Takes the bar away."""
        self.bar.stop()

    def numbers(self) -> dict[str, float]:
        """Returns the speed of the epoch that just ended."""
        return {"clips_per_second": self.speed, "share_of_time_waiting_for_input": self.waited}

    def _move(self, steps: int, words: str) -> None:
        """Moves the bar to a step of the epoch, and says how the epoch goes."""
        numbers = {name: float(value) for name, value in self.model.get_metrics_result().items()}
        self.bar.update(
            self.task,
            completed=self.epoch * self.steps_per_epoch + steps,
            description=f"Epoch {self.epoch + 1}/{self.epochs}",
            now=f"{_words(numbers)}; {words}",
            refresh=True,
        )

    def _measure(self, steps: int) -> None:
        seconds = max(1e-9, time.monotonic() - self.began)
        self.speed = steps * self.batch_size / seconds
        self.waited = (self.waiting.seconds - self.waited_before) / seconds

    def _speed_words(self) -> str:
        return f"{self.speed:.0f} clips/s, {self.waited:.0%} waiting for input"


def _words(numbers: dict[str, Any]) -> str:
    return f"loss {numbers['loss']:.3f}, frame accuracy {numbers['accuracy']:.1%}"
