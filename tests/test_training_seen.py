"""What a training opens and what it shows: never the test list; its first batch; on a terminal, how it goes."""

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from spatial.train import main as train_spatial
from temporal.train import main as train_temporal
from tests.made_commands import make_data, words_for

PROJECT = Path(__file__).resolve().parents[1]
# The command with the bar's numbers read at every step, as the steps of such a tiny training are short.
TRAIN = "import streams.display as display; display._LOOK = 0; from spatial.train import main; main()"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A prepared data set of two classes, of which the test videos are gone."""
    root = make_data(tmp_path_factory.mktemp("ucf101"), "ucf101")
    for folder in root.glob("rawframes/*/*_g01_c01"):
        shutil.rmtree(folder)
    return root


@pytest.mark.parametrize("protocol", ["validation", "paper"])
def test_training_never_opens_the_test_list(root, tmp_path, protocol):
    train_spatial(words_for(root, "ucf101", tmp_path, "--validation", "0.5", "--protocol", protocol))

    assert (tmp_path / "ucf101" / "spatial" / "split1" / "model.keras").is_file()


def test_what_the_test_list_chooses_does_open_it(root, tmp_path):
    with pytest.raises(ValueError, match=r"_g01_c01/img_\d+\.jpg is missing"):
        train_spatial(words_for(root, "ucf101", tmp_path, "--protocol", "test-selected"))


def test_the_first_batch_of_flow_is_a_picture_in_tensorboard(root, tmp_path):
    train_temporal(words_for(root, "ucf101", tmp_path, "--protocol", "paper", "--length", "2", "--batch-size", "4"))

    (path,) = (tmp_path / "ucf101" / "temporal" / "split1" / "tensorboard").iterdir()
    values = (each for event in tf.compat.v1.train.summary_iterator(str(path)) for each in event.summary.value)
    (sheet,) = (value.tensor.string_val for value in values if value.tag == "first batch of flow")
    picture = tf.io.decode_png(sheet[2]).numpy()

    assert picture.shape[:2] == (64, 64)  # Four clips of 32 pixels.
    assert {128} < set(picture.ravel())  # One class stands still, the other one moves.


@pytest.mark.slow
def test_a_terminal_shows_how_a_training_goes_and_how_long_it_will(root, tmp_path):
    ours, theirs = pty.openpty()
    words = words_for(root, "ucf101", tmp_path, "--protocol", "paper", "--batch-size", "1", "--epochs", "3")
    shown = {**os.environ, "COLUMNS": "160", "TERM": "xterm"}
    watched = subprocess.Popen([sys.executable, "-c", TRAIN, *words], cwd=PROJECT, env=shown, stdout=theirs)
    os.close(theirs)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", _all_of(ours))

    assert watched.wait(60) == 0
    numbers = r"loss \d+\.\d{3}, frame accuracy \d+\.\d%; \d+ clips/s, \d+% waiting for input \d:\d\d:\d\d"
    assert re.search(rf"Epoch 2/3 \S+ +\d+/12 {numbers}", text)


def _all_of(terminal):
    parts = []
    try:
        while part := os.read(terminal, 4096):
            parts.append(part)
    except OSError:  # How Linux says that the other side was closed.
        pass
    return b"".join(parts).decode()
