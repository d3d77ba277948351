"""What a training writes down for people to look at: history.csv, TensorBoard logs, curves.png."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import keras
import tensorflow as tf

from commands.files import replacing, write_json, write_text
from streams.runs.run_folder import CHOSEN_BY
from streams.training.course import Course
from streams.training.display import Display


def write_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Writes one row an epoch. Nothing in it depends on the clock, so that equal trainings have equal files."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["epoch", *history[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"epoch": epoch, **row} for epoch, row in enumerate(history, start=1))
    write_text(path, text.getvalue())


def draw_curves(path: Path, history: Sequence[Mapping[str, float]], best: int) -> None:
    """Draws loss, accuracy and rate over the epochs, and the chosen epoch."""
    from matplotlib.figure import Figure  # Takes a second to import; only a finished training needs it.

    # The run's options lie beside; a training that chooses by the test list says so.
    chosen_by = CHOSEN_BY[json.loads(path.with_name("config.json").read_text())["options"]["protocol"]]
    titles = {"loss": "loss", "accuracy": "frame accuracy", "learning_rate": "learning rate"}
    titles = {name: title for name, title in titles.items() if name in history[0]}
    figure = Figure(figsize=(4 * len(titles), 3), layout="constrained")
    epochs = range(1, len(history) + 1)
    for axes, (name, title) in zip(figure.subplots(1, len(titles), squeeze=False)[0], titles.items(), strict=True):
        for prefix, label in (("", "training"), ("val_", chosen_by)):
            if prefix + name in history[0]:
                axes.plot(epochs, [row[prefix + name] for row in history], marker=".", label=label)
        axes.axvline(best, linestyle=":", color="grey", label=f"epoch {best} is kept")
        axes.set(xlabel="epoch", title=title, xlim=(0.5, len(history) + 0.5))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


class TensorBoard:
    """Event files for TensorBoard: numbers an epoch, the inputs at the start, the weights on request.

    TensorBoard is not among what TensorFlow installs; without it, this is said once and nothing is written.
    """

    def __init__(self, folder: Path, *, histograms: bool):
        self.writer = tf.summary.create_file_writer(str(folder)) if find_spec("tensorboard") else None
        self.histograms = histograms
        if self.writer is None:
            print("No logs for TensorBoard, which is not installed: pip install tensorboard")

    def add_inputs(self, name: str, sheet: tf.Tensor) -> None:
        """Shows a contact sheet of the first batch: [1, H, W, 1 or 3]."""
        if self.writer is None:
            return
        with self.writer.as_default():
            tf.summary.image(f"first batch of {name}", sheet, step=0)

    def add_epoch(self, epoch: int, numbers: Mapping[str, float], model: keras.Model) -> None:
        """Adds the numbers of an epoch, and the histograms of the weights where they are wanted."""
        if self.writer is None:
            return
        with self.writer.as_default():
            for name, value in numbers.items():
                tf.summary.scalar(name, value, step=epoch)
            for weight in model.trainable_weights if self.histograms else ():
                tf.summary.histogram(weight.path, weight.value, step=epoch)
        self.writer.flush()


class Records(keras.callbacks.Callback):
    """Writes what people look at while a training runs, once there is something to keep."""

    def __init__(
        self, course: Course, display: Display, description: Mapping[str, object], sheets: Mapping[str, tf.Tensor]
    ):
        super().__init__()
        self.course, self.display, self.sheets = course, display, sheets
        self.description = description  # What config.json says until the training is done.
        self.board: TensorBoard | None = None

    def begin(self, *, anew: bool) -> None:
        """Replaces what lay here if a training starts anew, and writes down its options."""
        if self.board:
            return
        run, config = self.course.run, self.course.config
        if anew:
            run.clear(with_later=config.again)
        write_json(run.config, self.description)
        self.board = TensorBoard(run.tensorboard, histograms=config.histograms)
        for name, sheet in self.sheets.items():
            self.board.add_inputs(name, sheet)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Adds the numbers of an epoch."""
        if self.board:
            history = self.course.progress.history
            self.board.add_epoch(len(history), {**history[-1], **self.display.numbers()}, self.model)
            write_history(self.course.run.history, history)
