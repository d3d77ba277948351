"""Training of one stream: the only `compile` and `fit`."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from commands.running import write_json, write_text
from streams.command import Ingredients
from streams.config import TrainConfig
from streams.modelfile import save_model
from streams.runs import Run


def train(
    ingredients: Ingredients, *, steps_per_epoch: int, config: TrainConfig, run: Run, data_hash: str
) -> dict[str, float]:
    """Trains a network and keeps its best epoch; returns that epoch's numbers."""
    keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_logical_devices("GPU")
    # On a single device, MirroredStrategy gives up and takes back the memory of every activation in every step.
    strategy = tf.distribute.MirroredStrategy(gpus) if len(gpus) > 1 else tf.distribute.get_strategy()
    with strategy.scope():
        model = ingredients.network()
        rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, config.epochs * steps_per_epoch)
        model.compile(
            optimizer=keras.optimizers.Adam(rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    run.folder.mkdir(parents=True, exist_ok=True)
    history = model.fit(
        ingredients.batches(start_step=0),
        epochs=config.epochs,
        steps_per_epoch=steps_per_epoch,
        validation_data=ingredients.validation,
        callbacks=[_keep_best()],
        shuffle=False,
        verbose=2,
    ).history
    best = min(range(config.epochs), key=history["val_loss"].__getitem__)
    result = {"epoch": best + 1, **{name: float(values[best]) for name, values in history.items()}}
    _write_history(run.history, history)
    write_json(run.config, {"options": config.identity(), "data_hash": data_hash, "result": result})
    save_model(model, ingredients.card, run.model)
    return result


def _keep_best() -> keras.callbacks.Callback:
    # The loss, not the accuracy: fusion needs scores that know how sure they are.
    return keras.callbacks.EarlyStopping("val_loss", patience=10**6, restore_best_weights=True)


def _write_history(path: Path, history: dict[str, Sequence[float]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *history])
    for epoch, values in enumerate(zip(*history.values(), strict=True), start=1):
        writer.writerow([epoch, *(f"{value:.6g}" for value in values)])
    write_text(path, text.getvalue())
