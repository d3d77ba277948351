"""A training on made-up clips that takes a second: 32 x 32 pixels whose colour is their class."""

import csv
import dataclasses
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.processes import free_ports
from commands.running import run as run_as_command
from pipelines.clip_stream import Clips
from pipelines.source import OPTIONS, plainly
from streams.config import TrainConfig
from streams.runs.model_file import ModelCard
from streams.runs.run_folder import Run
from streams.training.around_steps import StoppedError
from streams.training.machines import part_of_batches

NUM_CLASSES = 4
STEPS_PER_EPOCH = 4
COLOURS = ((240, 15, 15), (15, 240, 15), (15, 15, 240), (240, 240, 240))


def made_config(**options):
    """Returns options of a tiny training."""
    return TrainConfig(**{"dataset": "made", "batch_size": 8, "epochs": 2, "learning_rate": 0.01, **options})


def made_network(dropout=0.5, batch_norm=False, first=lambda: None):
    """Returns a tiny network, once `first` has been called."""
    first()
    inputs = keras.Input((32, 32, 3), dtype="uint8", name="rgb")
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = keras.layers.Conv2D(4, 5, strides=4, activation="relu")(x)
    if batch_norm:
        x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(dropout)(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.Dense(NUM_CLASSES, dtype="float32", name="logits")(x))


@plainly
def made_clip(index):
    """Returns clip `index` of an endless stream, a function of the index alone."""
    label = tf.cast(index % NUM_CLASSES, tf.int32)
    noise = tf.random.stateless_uniform([32, 32, 3], tf.stack([0, tf.cast(index, tf.int32)]), -10, 10, tf.int32)
    return tf.cast(tf.gather(COLOURS, label) + noise, tf.uint8), label


@plainly
def alone(number, batch):
    """Returns a batch without its number."""
    return batch


@dataclass
class MadeClips(Clips):
    """What `train` is given: an endless stream, and a validation list that ends in a small batch."""

    config: TrainConfig
    num_held_out: int = 13
    of_batches: Callable = lambda batches: batches  # Changes what the batches are; `of_validation` the same.
    of_validation: Callable = lambda batches: batches
    of_names: Callable = lambda step: ()
    videos: tuple = tuple(SimpleNamespace(labels=(label,)) for label in (0, 0, 0, 0, 0, 1, 1, 2, 2, 3))
    skipped: set | None = None
    steps_per_epoch: int = STEPS_PER_EPOCH

    def batches(self, step=0, shard=(0, 1)):
        clips = tf.data.Dataset.range(step * self.config.batch_size, 10**9).map(made_clip)
        batches = part_of_batches(clips.batch(self.config.batch_size, drop_remainder=True), shard)
        return self.of_batches(batches.enumerate(step)).map(alone).with_options(OPTIONS)

    def validation(self):
        if self.config.protocol == "paper":
            return None
        clips = tf.data.Dataset.range(10**6, 10**6 + self.num_held_out).map(made_clip)
        return self.of_validation(clips.batch(self.config.batch_size).enumerate()).map(alone).with_options(OPTIONS)

    def names(self, step):
        return self.of_names(step)


def made_learner(config, network=made_network, **card):
    """Returns a tiny network that is ready to be trained."""
    from streams.training.devices import strategy_for
    from streams.training.fit import Learner, building

    with building(config, strategy_for(config)):
        made = network()
    named = ModelCard("spatial", "rgb", 1, tuple("abcd"), "made", config.split, config.protocol)
    return Learner(made, dataclasses.replace(named, **card))


def train_made(folder, network=made_network, clips=None, watch=None, run=None, multi_label=False, **options):
    """Runs the real training in a folder and returns its run."""
    from streams.training.fit import train

    config, run = made_config(**options), run or Run(folder, data_hash="made")
    learner, clips = made_learner(config, network, multi_label=multi_label), clips or MadeClips(config)
    if config.tricks:
        from streams.training.tricks.chosen import with_tricks

        learner, clips = with_tricks(learner, clips, config)
    train(learner, clips, config, run, watch)
    return run


def weights_of(run):
    """Returns the weights that a run saved."""
    return keras.saving.load_model(run.model).get_weights()


def same_weights(one, other):
    """Tells whether two runs saved the same bits."""
    return all(np.array_equal(a, b) for a, b in zip(weights_of(one), weights_of(other), strict=True))


def assert_same(one, other):
    """Asserts that two runs have the same history and weights, bit for bit."""
    assert one.history.read_bytes() == other.history.read_bytes()
    assert same_weights(one, other)


class CtrlC(keras.callbacks.Callback):
    """Presses Ctrl-C in a step of training or, named by `validation`, in one of validation."""

    def __init__(self, step=0, validation=0, number=signal.SIGINT):
        super().__init__()
        self.step, self.validation, self.number, self.counted = step, validation, number, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.step -= 1
        if self.step == 0:
            os.kill(os.getpid(), self.number)

    def on_test_batch_begin(self, batch, logs=None):
        self.counted += 1
        if self.counted == self.validation:
            os.kill(os.getpid(), self.number)


def stop_in_step(folder, step, **options):
    """Runs a training in which Ctrl-C is pressed in a step."""
    with pytest.raises(StoppedError, match="same command goes on"):
        train_made(folder, watch=CtrlC(step), epochs=3, **options)


def start_apart(folder, environment=(), **options):
    """Starts a training in a process of its own, which may be killed or have devices of its own.

    Processes are forked from one that has imported TensorFlow and not yet used it, so that each starts in no time.
    """
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["streams.training.fit", "tests.makers.training"])
    process = processes.Process(target=_train_apart, args=(folder, dict(environment), options), daemon=True)
    process.start()
    return process


def _train_apart(folder, environment, options):
    os.environ.update(environment)
    network = partial(made_network, **options.pop("network", {}))
    folder, index = Path(folder), options.get("host_index", 0)

    def train():
        try:
            run = train_made(folder, network, **options)
            (folder / f"seen{index}.txt").write_text(str(run.model.exists()))
        except (ValueError, RuntimeError, StoppedError) as error:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"error{index}.txt").write_text(str(error))
            raise

    run_as_command(train)


def start_both(folders, watches=(None, None), **options):
    """Starts a training on two machines, each of them a process."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    return [
        start_apart(folder, hosts=hosts, host_index=index, watch=watch, **options)
        for index, (folder, watch) in enumerate(zip(folders, watches, strict=True))
    ]


def exit_codes(processes):
    """Waits for processes to end, and returns how each did."""
    for process in processes:
        process.join(250)
    return [process.exitcode for process in processes]


def losses(run):
    """Returns the losses of each epoch, of training and of validation."""
    with run.history.open() as file:
        return np.array([[float(row["loss"]), float(row["val_loss"])] for row in csv.DictReader(file)])
