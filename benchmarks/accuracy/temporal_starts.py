"""Measures what initial weights, frozen statistics and mean subtraction bring to the temporal stream on *shapes*.

python benchmarks/accuracy/temporal_starts.py --epochs 3 --seeds 2

It first trains a small spatial network, whose weights temporal networks start from (cross-modality), then temporal
networks, all for the same number of steps. Accuracy is that of the motion, one of three, because flow shows no more of
a class. A shaking camera is simulated by adding a random vector to each flow field. Expected from the papers: cross-
modality is better than random weights; partial batch normalisation is at least as good as full with little data; mean
subtraction is far better with a shaking camera.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import numpy as np

from commands.files import write_json
from commands.running import quiet_tensorflow, run
from data.catalog import DataSet
from data.ready import ready_dataset
from data.sets.lists import training_lists
from data.sets.shapes import MOTIONS
from spatial.train import SpatialConfig
from temporal.train import TemporalConfig

# Levels by which fields are shifted at most: 40 levels are 6 pixels.
SHAKE = 40
# A network to start from is one that has learnt what it can.
EPOCHS_OF_START = 40


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the accuracy of the motion of test clips for each way to train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args(argv)
    dataset = ready_dataset("shapes", None)
    quiet_tensorflow()
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            settings: dict[str, Any] = {"epochs": options.epochs, "seed": seed}
            place = Path(folder) / str(seed)
            start = {"weights": str(place / "spatial" / "model.keras")}
            _train(SpatialConfig(epochs=EPOCHS_OF_START, seed=seed), dataset, place / "spatial")
            for name, changes, shakes in (
                ("random", {}, False),
                ("cross-modality", start, False),
                ("cross-modality, partial batch norm", {**start, "freeze_bn": "all-but-first"}, False),
                ("shaking camera, mean subtracted", {}, True),
                ("shaking camera, as it is", {"subtract_mean": False}, True),
            ):
                config = TemporalConfig(**settings, **changes)
                accuracy = _train(config, dataset, place / name, shakes)
                found.setdefault(name, []).append(accuracy)
                print(f"seed {seed}, {name}: {accuracy:.1%}", flush=True)
    print(*(f"{name}: {np.mean(values):.1%} ({_listed(values)})" for name, values in found.items()), sep="\n")
    if options.json:
        write_json(options.json, found)


def _train(config: SpatialConfig | TemporalConfig, dataset: DataSet, place: Path, shakes: bool = False) -> float:
    """Runs a real training and returns the accuracy of the motion, over three views of each test video."""
    import keras

    from benchmarks.training.trainings import ChangedClips, learner_of
    from pipelines.inputs import Input
    from streams.runs.run_folder import Run
    from streams.training.fit import train
    from streams.training.stage import clips_of, strategy_for

    training, validation = training_lists(dataset, 1, "validation", 0.1, config.seed)
    clip = Input(config.input, config.length)
    change = _shaken if shakes else _as_they_are
    clips = ChangedClips(clips_of(config, dataset, clip, training, validation), change=change)
    test = change(clips_of(config, dataset, clip, training, dataset.part(1, "test")).validation(), 2 * 10**6)
    train(learner_of(config, dataset, clip, strategy_for(config)), clips, config, Run(place))
    model = keras.saving.load_model(place / "model.keras", compile=False)
    right = [_motions(model.predict_on_batch(clips)) == labels.numpy() % len(MOTIONS) for clips, labels in test]
    return float(np.concatenate(right).mean())


def _motions(logits: np.ndarray) -> np.ndarray:
    """Returns the likeliest motion, whatever the appearance: classes are pairs of both, the motion last."""
    chances = np.exp(logits - logits.max(1, keepdims=True)).reshape(len(logits), -1, len(MOTIONS))
    motions: np.ndarray = chances.sum(1).argmax(1)
    return motions


def _as_they_are(batches: Any, seed: int) -> Any:
    return batches


def _shaken(batches: Any, seed: int) -> Any:
    """Adds a random vector to each field of each clip, the same one for the same number of the batch."""
    import tensorflow as tf

    def shake(number: Any, batch: tuple[Any, Any]) -> tuple[Any, Any]:
        clips, labels = batch
        shape = tf.stack([tf.shape(clips)[0], 1, 1, tf.shape(clips)[-1]])
        shift = tf.random.stateless_uniform(shape, [seed, number], -SHAKE, SHAKE + 1, tf.int64)
        levels = tf.clip_by_value(tf.cast(clips, tf.int64) + shift, 1, 255)
        return tf.ensure_shape(tf.cast(levels, tf.uint8), clips.shape), labels

    return batches.enumerate().map(shake)


def _listed(values: Sequence[float], form: Callable[[float], str] = "{:.1%}".format) -> str:
    return ", ".join(map(form, values))


if __name__ == "__main__":
    run(main)
