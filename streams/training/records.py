"""What a training writes down for people to look at, its first batch too: history.csv, TensorBoard, curves.png."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from commands.files import replacing, write_json, write_text
from pipelines.clip_stream import Clips, Tensors
from streams.config import TrainConfig
from streams.recipes.chosen import departures
from streams.runs.run_folder import CHOSEN_BY, Run, first_versions
from streams.training.devices import is_chief, num_threads
from streams.training.display import Display
from streams.training.memory import check_memory, clips_at_once, estimate_memory, layers_of, memory_words
from streams.training.progress import Course


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


def look_at_first_batch(
    model: keras.Model, clips: Clips, validation: tf.data.Dataset | None, course: Course, *, is_flow: bool
) -> dict[str, tf.Tensor]:
    """Says what goes in and what memory it needs, and returns a contact sheet of each input, on the first machine."""
    config, replicas = course.config, tf.distribute.get_strategy().num_replicas_in_sync
    fixed, per_clip = estimate_memory(model, model.optimizer, config, validation)
    warnings_of_memory = check_memory(config, fixed, per_clip)
    if not is_chief():
        return {}
    needed = fixed + per_clip * clips_at_once(config)
    parts = f" in {config.accumulate} parts" if config.accumulate > 1 else ""
    print(
        f"{model.count_params():,} weights, batches of {config.batch_size}{parts} on {replicas} device"
        f"{'s' if replicas > 1 else ''}, about {memory_words(needed)} of memory on each."
    )
    for line in (*warnings_of_memory, *caveats(model, config, replicas)):
        print(line)
    batch = clips.cut(next(iter(clips.batches(course.progress.step)))[0])
    sheets = {}
    for name, images in by_name(batch, is_flow=is_flow).items():
        sheets[name] = contact_sheet(images, is_flow=name == "flow")
        print(*check_inputs(images, is_flow=name == "flow"), sep="\n", flush=True)
    return sheets


def by_name(clips: Tensors, *, is_flow: bool) -> dict[str, np.ndarray]:
    """Returns the images of a batch by the name of their input, `rgb` or `flow`; features made before are none."""
    named = clips if isinstance(clips, dict) else {"flow" if is_flow else "rgb": clips}
    return {name: np.asarray(images) for name, images in named.items() if len(images.shape) > 2}


def caveats(network: keras.Model, config: TrainConfig, replicas: int) -> list[str]:
    """Returns where batch normalisation makes parts of a batch differ from a whole one."""
    if not any(isinstance(layer, keras.layers.BatchNormalization) and layer.trainable for layer in layers_of(network)):
        return []
    lines = []
    if config.accumulate > 1:
        lines.append(
            f"Batch normalisation sees {config.batch_size // config.accumulate} clips at a time, so that "
            f"{config.accumulate} parts do not give quite what a whole batch would (--freeze-bn all would)."
        )
    if replicas > 1 and not config.sync_batch_norm:
        lines.append("Batch normalisation sees each device's clips apart; --sync-batch-norm lets it see all.")
    return lines


def check_inputs(clips: np.ndarray, *, is_flow: bool) -> list[str]:
    """Returns a line about the first batch, and warnings where it looks wrong."""
    low, high, mean = int(clips.min()), int(clips.max()), float(clips.mean())
    clipped = f", {np.mean((clips <= 1) | (clips >= 255)):.2%} at the bound" if is_flow else ""
    lines = [f"First batch of {'flow' if is_flow else 'frames'}: levels {low} to {high}, mean {mean:.1f}{clipped}."]
    planes = clips.reshape(-1, clips.shape[-3] * clips.shape[-2], clips.shape[-1]) if clips.ndim > 3 else clips[None]
    if is_flow and np.mean((planes.min(1) <= 1) & (planes.max(1) >= 254)) > 0.5:
        lines.append(
            "Warning: most flow fields reach both ends of their range, as if each were scaled by its own extremes, "
            "which loses how fast things move. Prepare the flow with a fixed bound: python data/prepare.py"
        )
    # One by one: of a whole batch, NumPy would hold the squares in eight times its memory.
    if np.mean([_is_dead(plane.mean(0), plane.std(0), is_flow) for plane in planes]) > 0.5:
        kind = "flow fields show no motion" if is_flow else "images are of one colour"
        lines.append(f"Warning: most {kind}. Look at the files: python data/doctor.py")
    return lines


def _is_dead(mean: np.ndarray, deviation: np.ndarray, is_flow: bool) -> np.ndarray:
    """Tells of planes whether they are of one level; of flow, only where it says no motion or the very ends do.

    All pixels of a camera that pans may move alike.
    """
    is_even: np.ndarray = deviation < 0.5
    if not is_flow:
        return is_even
    # The levels of no motion are 127, 127.5 and 128, by rule and rounding.
    is_still = np.hypot(mean - 127.5, deviation) < 0.75
    dead: np.ndarray = is_still | (is_even & ((mean <= 1) | (mean >= 254)))
    return dead


def contact_sheet(clips: np.ndarray, *, is_flow: bool, most: int = 16) -> np.ndarray:
    """Returns the first images of a batch in one row of rows: uint8[1, H, W, 3], or the first x field of flow."""
    clips = clips.reshape(-1, *clips.shape[-3:])[:most]
    images = clips[..., :1] if is_flow or clips.shape[-1] < 3 else clips[..., :3]
    across = int(np.ceil(np.sqrt(len(images))))
    empty = np.zeros((across * across - len(images), *images.shape[1:]), images.dtype)
    tiles = np.concatenate([images, empty]).reshape(across, across, *images.shape[1:])
    return np.concatenate(np.concatenate(tiles, axis=1), axis=1)[None]


def description(config: TrainConfig, run: Run, stream: str, *, begun: bool = False) -> dict[str, object]:
    """Returns all that decides the result, for config.json."""
    options = config.identity()
    # The modules' own versions: the metadata of a package may bear another name, as that of tensorflow-cpu does.
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}
    if begun:
        versions = first_versions(run, versions)
    return {
        "options": options,
        "recipe_says": departures(config.recipe, stream, options),
        "data_hash": run.data_hash,
        "threads": num_threads(),
        "versions": versions,
    }
