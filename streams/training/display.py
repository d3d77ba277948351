"""What a training shows while it runs: a bar on a terminal, and a line for each epoch everywhere."""

import contextlib
import time
from collections import deque
from collections.abc import Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from streams.runs.run_folder import CHOSEN_BY
from streams.training.progress import Course

# Seconds between looks at the numbers of an unfinished epoch: reading them makes a GPU wait.
_LOOK = 0.5


class Waiting:
    """The seconds that were spent waiting for the batches of a data set.

    Batches may be fetched ahead, and a step may be long in asking for one while its graph is built: what is waited
    for is the time from when both the step had begun and its batch was asked for, until that came.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._asked: deque[float] = deque()
        self._came: deque[float] = deque()
        self._began: float | None = None

    def watch(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Returns the same batches, watched, from a step on that is still to begin."""
        # Lists of its own for each stream: threads of the one before may still be fetching.
        asked, came = self._asked, self._came = deque[float](), deque[float]()
        self._began = None

        def noted_in(times: deque[float]) -> tf.Tensor:
            def note() -> np.int64:
                times.append(time.monotonic())
                return np.int64(0)

            # TensorFlow's own clock is refused in deterministic mode.
            return tf.numpy_function(note, [], tf.int64)

        def pass_on(_: tf.Tensor, batch: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            with tf.control_dependencies([noted_in(came)]):
                return tf.nest.map_structure(tf.identity, batch)

        # A pair is asked for its first part first.
        asking = tf.data.Dataset.range(np.iinfo(np.int64).max).map(lambda _: noted_in(asked))
        return tf.data.Dataset.zip(asking, batches).map(pass_on)

    def begin_step(self) -> None:
        """Says that a step begins; the one before it is done with its batch by then."""
        self.end_step()
        self._began = time.monotonic()

    def end_step(self) -> None:
        """Adds what the last step waited, where no other step follows at once."""
        if self._began is not None and self._came:
            self.seconds += max(0.0, self._came.popleft() - max(self._began, self._asked.popleft()))
        self._began = None


class _Bar(Progress):
    """A bar with a line of its own for the numbers, which would leave no room for it on a usual terminal."""

    def get_renderables(self) -> Iterator[RenderableType]:
        """Yields the bar and the line below it."""
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            yield Text(task.fields["now"])


class Display(keras.callbacks.Callback):
    """Shows how far the training is, how well it goes and what it waits for."""

    def __init__(self, course: Course):
        super().__init__()
        self.course, self.waiting = course, Waiting()
        self.chosen_by = CHOSEN_BY[course.config.protocol]
        self.first_step = course.step_of_epoch  # Of the epoch, if a training goes on in the middle of one.
        self.speed, self.waited = 0.0, 0.0
        console = Console()
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self.bar = _Bar(*columns, console=console, disable=not console.is_terminal, transient=True)
        total = course.epochs * course.steps_per_epoch
        self.task = self.bar.add_task("Training", total=total, completed=course.progress.step, now="builds its graph")

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Shows the bar."""
        self.bar.start()
        try:
            yield
        finally:
            self.bar.stop()

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
        self._measure(self.course.steps_per_epoch - self.first_step)
        if not self.bar.disable:
            self._move(self.course.steps_per_epoch, f"now its {self.chosen_by}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Prints the line of an epoch."""
        row = logs or {}
        chosen = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
        validation = f"; {self.chosen_by} {_words(chosen)}" if chosen else ""
        if not chosen:
            self.waiting.end_step()
            self._measure(self.course.steps_per_epoch - self.first_step)
        self.first_step = 0
        line = f"Epoch {self.epoch + 1}/{self.course.epochs}: {_words(row)}{validation}; {self._speed_words()}"
        self.bar.console.print(line, highlight=False, soft_wrap=True)

    def numbers(self) -> dict[str, float]:
        """Returns the speed of the epoch that just ended."""
        return {"clips_per_second": self.speed, "share_of_time_waiting_for_input": self.waited}

    def _move(self, steps: int, words: str) -> None:
        """Moves the bar to a step of the epoch, and says how the epoch goes."""
        numbers = {name: float(value) for name, value in self.model.get_metrics_result().items()}
        self.bar.update(
            self.task,
            completed=self.epoch * self.course.steps_per_epoch + steps,
            description=f"Epoch {self.epoch + 1}/{self.course.epochs}",
            now=f"{_words(numbers)}; {words}",
            refresh=True,
        )

    def _measure(self, steps: int) -> None:
        seconds = max(1e-9, time.monotonic() - self.began)
        self.speed = steps * self.course.config.batch_size / seconds
        self.waited = (self.waiting.seconds - self.waited_before) / seconds

    def _speed_words(self) -> str:
        return f"{self.speed:.0f} clips/s, {self.waited:.0%} waiting for input"


def _words(numbers: Mapping[str, float]) -> str:
    return f"loss {numbers['loss']:.3f}, frame accuracy {numbers['accuracy']:.1%}"
