"""A training shows its first batch, and on a terminal its progress."""

import os
import pty
import re
import subprocess
import sys

import pytest
import tensorflow as tf

from temporal.train import main as train_temporal
from tests.makers.commands import PROJECT, words_for


def test_the_first_batch_of_flow_is_a_picture_in_tensorboard(roots, tmp_path):
    train_temporal(
        words_for(roots["ucf101"], "ucf101", tmp_path, "--protocol", "paper", "--length", "2", "--batch-size", "4")
    )

    (path,) = (tmp_path / "ucf101" / "temporal" / "split1" / "tensorboard").iterdir()
    values = (each for event in tf.compat.v1.train.summary_iterator(str(path)) for each in event.summary.value)
    (sheet,) = (value.tensor.string_val for value in values if value.tag == "first batch of flow")
    picture = tf.io.decode_png(sheet[2]).numpy()

    assert picture.shape[:2] == (64, 64)  # Four clips of 32 pixels.
    colours = {tuple(pixel) for pixel in picture.reshape(-1, 3)}
    assert {(255, 255, 255)} < colours  # One class stands still, the other one moves.


@pytest.mark.slow
def test_a_terminal_shows_how_a_training_goes_and_how_long_it_will(roots, tmp_path):
    ours, theirs = pty.openpty()
    words = words_for(roots["ucf101"], "ucf101", tmp_path, "--protocol", "paper", "--batch-size", "1", "--epochs", "3")
    shown = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    watched = subprocess.Popen([sys.executable, "-m", "spatial.train", *words], cwd=PROJECT, env=shown, stdout=theirs)
    os.close(theirs)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", _all_of(ours))

    assert watched.wait(60) == 0
    assert re.search(r"Training \S+ +0/12 [-:\d]+ *\r?\nbuilds its graph", text)
    numbers = r"loss \d+\.\d{3}, frame accuracy \d+\.\d%; \d+ clips/s, \d+% waiting for input"
    # The first step builds the graph, so that it is time for a look at the numbers when the second begins.
    assert re.search(rf"Epoch 1/3 \S+ +1/12 [-:\d]+ *\r?\n{numbers}", text)


def _all_of(terminal):
    parts = []
    try:
        while part := os.read(terminal, 4096):
            parts.append(part)
    except OSError:  # How Linux says that the other side was closed.
        pass
    return b"".join(parts).decode()
