"""Shows and records a training: a bar, a line per epoch, history.csv, config.json, curves.png and TensorBoard."""

import csv
import io
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from commands.files import replacing, write_text
from commands.running import origin
from commands.waiting import Now
from pipelines.clip_stream import Tensors
from pipelines.source import plainly
from streams.config import TrainConfig
from streams.recipes.chosen import departures
from streams.runs.model_file import ModelCard
from streams.runs.run_folder import CHOSEN_BY, Run, first_versions
from streams.training.devices import num_threads
from streams.training.progress import Course

# The seconds between two readings of the metrics of an unfinished epoch: reading them makes a GPU wait.
_LOOK = 0.5
# TensorFlow does not install TensorBoard.
HAS_TENSORBOARD = find_spec("tensorboard") is not None
_TITLES = {"loss": "loss", "accuracy": "frame accuracy", "learning_rate": "learning rate"}


class _Bar(Progress):
    """A bar with the metrics on a second line, because a usual terminal has no room for both on one."""

    def get_renderables(self) -> Iterator[RenderableType]:
        """Yields the bar and the line below it."""
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            yield Text(task.fields["now"])


class Display(keras.callbacks.Callback):
    """Shows the progress of a training, its metrics, and the share of time in which it waits for batches.

    Batches may be fetched ahead, and a step may ask for its batch late, while its graph is built. So waiting is counted
    from the moment when the step has begun and its batch has been requested, until the batch comes.
    """

    def __init__(self, course: Course):
        super().__init__()
        self.course, self.chosen_by = course, CHOSEN_BY[course.config.protocol]
        console = Console()
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self.bar = _Bar(*columns, console=console, disable=not console.is_terminal, transient=True)
        total = course.epochs * course.steps_per_epoch
        self.began, self.asked, self.came = deque[float](), deque[float](), deque[float]()
        self.task = self.bar.add_task("Training", total=total, completed=course.progress.step, now="builds its graph")

    def watched(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Returns the same batches, and records when each is requested and when it comes."""
        # Each stream has its own lists: threads of the stream before may still be fetching.
        asked, came = self.asked, self.came = deque[float](), deque[float]()
        self.began = deque[float]()
        # In a pair, the first part is requested first.
        numbers = tf.data.Dataset.range(np.iinfo(np.int64).max).map(plainly(lambda number: _noted(asked, number)))
        return tf.data.Dataset.zip(numbers, batches).map(plainly(lambda _, batch: _noted(came, batch)))

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Starts the clock of an epoch."""
        Now.doing = f"Training: epoch {epoch + 1} of {self.course.epochs}"
        self.epoch, self.first_step, self.waited = epoch + 1, self.course.progress.step, 0.0
        self.epoch_began = self.looked = time.monotonic()

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Records when the step begins, and moves the bar from time to time."""
        now = time.monotonic()
        if not self.bar.disable and batch > 0 and now - self.looked >= _LOOK:
            self._move_bar(now)
        self.began.append(time.monotonic())

    def _move_bar(self, now: float) -> None:
        self.looked = now
        self._measure()
        self._move(self.speed)

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Stops the clock, because validation is not training."""
        self._measure()
        if not self.bar.disable:
            self._move(f"now its {self.chosen_by}")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Prints the line of an epoch."""
        row, chosen = self.course.progress.history[-1], ""
        if "val_loss" in row:
            chosen = f"; {self.chosen_by} {_words(row['val_loss'], row['val_accuracy'])}"
        else:
            self._measure()
        line = f"Epoch {self.epoch}/{self.course.epochs}: {_words(row['loss'], row['accuracy'])}{chosen}; {self.speed}"
        self.bar.console.print(line, highlight=False, soft_wrap=True)

    def _measure(self) -> None:
        """Measures the speed of the epoch so far, and the share of its time in which steps waited for their batches."""
        seconds = max(1e-9, time.monotonic() - self.epoch_began)
        while self.began and self.came:
            self.waited += max(0.0, self.came.popleft() - max(self.began.popleft(), self.asked.popleft()))
        clips = (self.course.progress.step - self.first_step) * self.course.config.batch_size
        self.numbers = {"clips_per_second": clips / seconds, "share_of_time_waiting_for_input": self.waited / seconds}
        self.speed = f"{clips / seconds:.0f} clips/s, {self.waited / seconds:.0%} waiting for input"

    def _move(self, words: str) -> None:
        """Moves the bar to the present step, and shows the metrics."""
        loss, accuracy = (float(mean.result()) for mean in self.model.training_means)
        self.bar.update(
            self.task,
            completed=self.course.progress.step,
            description=f"Epoch {self.epoch}/{self.course.epochs}",
            now=f"{_words(loss, accuracy)}; {words}",
            refresh=True,
        )


def _words(loss: float, accuracy: float) -> str:
    return f"loss {loss:.3f}, frame accuracy {accuracy:.1%}"


def _noted(times: deque[float], values: Tensors) -> Tensors:
    """Returns the same values, inside a graph, after adding the time to a list."""
    # TensorFlow's own clock is refused in deterministic mode.
    with tf.control_dependencies([tf.numpy_function(lambda: times.append(time.monotonic()), [], [])]):
        return tf.nest.map_structure(tf.identity, values)


class TensorBoard(keras.callbacks.Callback):
    """Writes event files for TensorBoard: metrics per epoch, the first batch, and on request the weights."""

    def __init__(self, course: Course, display: Display, sheets: Mapping[str, tf.Tensor]):
        super().__init__()
        self.course, self.display, self.sheets = course, display, dict(sheets)
        self.writer: tf.summary.SummaryWriter | None = None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Adds the metrics of an epoch, and the histograms of the weights if requested."""
        if self.writer is None:  # Only now have older files in the folder been removed.
            self.writer = tf.summary.create_file_writer(str(self.course.run.tensorboard))
        with self.writer.as_default(step=epoch + 1):
            while self.sheets:
                name, sheet = self.sheets.popitem()
                tf.summary.image(f"first batch of {name}", sheet, step=0)
            for name, value in {**self.course.progress.history[-1], **self.display.numbers}.items():
                tf.summary.scalar(name, value)
            for weight in self.model.trainable_weights if self.course.config.histograms else ():
                tf.summary.histogram(weight.path, weight.value)
        self.writer.flush()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Closes the event file, and removes the names of this machine and this process from its name."""
        if self.writer is not None:
            self.writer = self.writer.close()  # A training that continues within an epoch starts a new file.
            for number, path in enumerate(sorted(self.course.run.tensorboard.glob("events.out.tfevents.*")), 1):
                path.replace(path.with_name(f"events.out.tfevents.{number:04d}"))


def write_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Writes one row per epoch. Nothing in it depends on the clock, so equal trainings have equal files."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["epoch", *history[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"epoch": epoch, **row} for epoch, row in enumerate(history, start=1))
    write_text(path, text.getvalue())


def draw_curves(path: Path, history: Sequence[Mapping[str, float]], best: int, protocol: str) -> None:
    """Draws loss, accuracy and rate over the epochs, and marks the epoch that is kept."""
    from matplotlib import figure, ticker  # These imports take a second, and only a finished training needs them.

    page = figure.Figure(figsize=(4.2 * len(_TITLES), 3.4), layout="constrained")
    page.suptitle(", ".join(path.parent.parts[-3:]), x=0.01, ha="left", weight="bold")  # Data set, stream and split.
    epochs, marker = range(1, len(history) + 1), "." if len(history) < 15 else ""
    for axes, (name, title) in zip(page.subplots(1, len(_TITLES)), _TITLES.items(), strict=True):
        # If the test list selects the epoch, the legend says so.
        for column, label in ((name, "training"), (f"val_{name}", CHOSEN_BY[protocol])):
            if column in history[0]:
                axes.plot(epochs, [row[column] for row in history], marker=marker, label=label)
        axes.axvline(best, linestyle=":", color="0.4", label=f"epoch {best} is kept")
        axes.set(xlabel="epoch", title=title, xlim=(0.5, len(history) + 0.5))
        axes.xaxis.get_major_locator().set_params(integer=True)
        if "accuracy" in name:
            axes.yaxis.set_major_formatter(ticker.PercentFormatter(1))
        axes.grid(axis="y", color="0.92")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize="small", frameon=False)
    with replacing(path) as temporary:
        page.savefig(temporary, dpi=120)


def described_training(config: TrainConfig, run: Run, card: ModelCard, *, begun: bool = False) -> dict[str, object]:
    """Returns all on which the result depends, for config.json."""
    options = config.identity()
    devices = tf.config.list_physical_devices("GPU")
    graphics = {str(tf.config.experimental.get_device_details(each).get("device_name", "GPU")) for each in devices}
    # The modules' own versions: the metadata may be under another package name, such as tensorflow-cpu.
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}
    return {
        "stream": card.stream,
        "options": options,
        "recipe_says": departures(config.recipe, card.stream, options) if config.recipe else {},
        "data_hash": run.data_hash,
        "chosen_by": card.chosen,
        **({"origin": card.origin} if card.origin else {}),
        "threads": num_threads(),
        "versions": first_versions(run, versions) if begun else versions,
        "made": {**origin(), "graphics": ", ".join(sorted(graphics))},
    }
