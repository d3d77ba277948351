"""Training of one stream: the only `compile` and `fit`."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.options import as_dictionary, option
from commands.running import RUNS, write_json, write_text
from streams.modelfile import ModelCard, save_model
from streams.runs import Run


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides a training, for either stream."""

    dataset: str = option("shapes", "the data set's name", metavar="NAME")
    root: Path | None = option(None, "its folder, instead of datasets/<data set>", metavar="DIR")
    split: int = option(1, "which of its splits to train on", metavar="N")
    backbone: str = option("small", "the network before the class scores")
    crop_size: int = option(64, "side of the square that the network sees", metavar="PIXELS")
    epochs: int = option(40, "passes over the training list, one random clip a video each", metavar="N")
    batch_size: int = option(32, "clips in a step, over all devices", metavar="N")
    learning_rate: float = option(2e-3, "at its highest; it falls to zero along a cosine", metavar="RATE")
    dropout: float = option(0.5, "share of features left out before the class scores", metavar="SHARE")
    validation: float = option(0.1, "share of the training list to choose the best epoch by", metavar="SHARE")
    seed: int = option(0, "decides all that is random", metavar="N")
    runs: Path = option(RUNS, "where runs are kept", metavar="DIR")
    again: bool = option(False, "train anew where a finished run lies")
    json: Path | None = option(None, "write what came out here too", metavar="FILE")


def is_finished(config: TrainConfig, run: Run) -> bool:
    """Tells whether this very training is done; raises where another one lies in its place."""
    if config.again or not run.model.exists():
        return False
    import json

    found, wanted = json.loads(run.config.read_text())["options"], _identity(config)
    for name, value in wanted.items():
        if found.get(name) != value:
            raise ValueError(
                f"{run.folder} holds a finished run with {name} = {found.get(name)!r}, not {value!r}. "
                "Pass --again to replace it, or --runs DIR to keep both."
            )
    return True


def train(
    build: Any, batches: Any, validation: Any, *, steps_per_epoch: int, config: TrainConfig, card: ModelCard, run: Run
) -> dict[str, float]:
    """Trains the network that `build()` makes and keeps its best epoch; returns that epoch's numbers."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()
    strategy = tf.distribute.MirroredStrategy(tf.config.list_logical_devices("GPU") or ["/cpu:0"])
    with strategy.scope():
        model = build()
        rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, config.epochs * steps_per_epoch)
        model.compile(
            optimizer=keras.optimizers.Adam(rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    run.folder.mkdir(parents=True, exist_ok=True)
    history = model.fit(
        batches,
        epochs=config.epochs,
        steps_per_epoch=steps_per_epoch,
        validation_data=validation,
        callbacks=[_keep_best()],
        verbose=2,
    ).history
    best = min(range(config.epochs), key=history["val_loss"].__getitem__)
    result = {"epoch": best + 1, **{name: float(values[best]) for name, values in history.items()}}
    _write_history(run.history, history)
    write_json(run.config, {"options": _identity(config), "result": result})
    save_model(model, card, run.model)
    return result


def _keep_best() -> Any:
    import keras

    # The loss, not the accuracy: fusion needs scores that know how sure they are.
    return keras.callbacks.EarlyStopping("val_loss", patience=10**6, restore_best_weights=True)


def _identity(config: TrainConfig) -> dict[str, Any]:
    """Returns the options that decide the result: not where it is written, nor how often."""
    return {
        name: value for name, value in as_dictionary(config).items() if name not in ("runs", "root", "again", "json")
    }


def _write_history(path: Path, history: dict[str, Sequence[float]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *history])
    for epoch, values in enumerate(zip(*history.values(), strict=True), 1):
        writer.writerow([epoch, *(f"{value:.6g}" for value in values)])
    write_text(path, text.getvalue())


def say_result(run: Run) -> dict[str, Any]:
    """Prints what a finished run reached on its validation part, and returns it."""
    import json

    result: dict[str, Any] = json.loads(run.config.read_text())["result"]
    print(
        f"Best epoch {result['epoch']}: validation loss {result['val_loss']:.3f}, "
        f"frame accuracy {result['val_accuracy']:.1%}. Saved {run.model}"
    )
    return {"model": str(run.model), **result}
