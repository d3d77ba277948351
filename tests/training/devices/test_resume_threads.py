"""The number of threads decides the last bits of every sum, so a training goes on with the one that it began with."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands.running import usable_processors
from streams.runs.run_folder import Run, stages_of, threads_before
from streams.training.devices import num_threads
from tests.makers.commands import make_data, words_for
from tests.makers.training import STEPS_PER_EPOCH, made_config, stop_in_step, train_made

PROJECT = Path(__file__).resolve().parents[3]
# No machine that this runs on takes so many by itself.
OTHER = usable_processors() + 1


def began_with(run, number):
    """Makes a run look as if another machine had begun it."""
    run.config.write_text(json.dumps({**described(run), "threads": number}))


def described(run):
    return json.loads(run.config.read_text())


def test_what_is_left_of_a_training_says_with_how_many_threads_it_began(tmp_path):
    config, run = made_config(stage=("all:2:adam:1e-2", "all:2:adam:1e-3")), Run(tmp_path)
    (_, first), (_, second) = stages_of(config, run)
    assert threads_before(config, run) is None

    stop_in_step(second.folder, STEPS_PER_EPOCH + 2)
    began_with(second, OTHER)
    assert threads_before(config, run) == OTHER
    assert threads_before(dataclasses.replace(config, again=True), run) is None

    train_made(first.folder)  # A stage that is through counts: those after it follow from its weights.
    assert threads_before(config, run) == num_threads()


def started(words):
    command = [sys.executable, str(PROJECT / "spatial" / "train.py"), *words]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def trained(words):
    """Trains in a process of its own, where TensorFlow has not chosen its threads yet."""
    process = started(words)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors


def stop_after_a_checkpoint(words, run):
    process, patience = started(words), time.monotonic() + 200
    while not any(run.checkpoints.glob("step*")) and time.monotonic() < patience:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=200)
    assert process.returncode == 130


@pytest.mark.slow
def test_a_training_goes_on_with_the_threads_that_it_began_with(tmp_path):
    root = make_data(tmp_path / "ucf101", "ucf101")
    words = words_for(root, "ucf101", tmp_path / "runs", "--protocol", "paper", "--epochs", "40")
    run = Run.of(tmp_path / "runs", "ucf101", "spatial", 1)

    stop_after_a_checkpoint(words, run)
    began_with(run, OTHER)
    trained(words)
    assert "result" in described(run)
    # Written by the process that went on, which asked TensorFlow.
    assert described(run)["threads"] == OTHER
