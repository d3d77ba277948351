"""The commands that train, from end to end, on tiny videos behind the lists of published data sets."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from data.catalog import open_dataset
from data.recipe import Recipe
from streams.modelfile import read_card
from temporal.train import main as train_temporal
from tests.made_data import extract_all, hmdb51_lists, ucf101_lists, write_clip

PROJECT = Path(__file__).resolve().parents[1]
LISTS = {"ucf101": ucf101_lists, "hmdb51": hmdb51_lists}
TINY = ["--crop-size", "32", "--epochs", "2", "--batch-size", "2"]


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Two prepared data sets of two classes each."""
    found = {}
    for name, write_lists in LISTS.items():
        root = found[name] = tmp_path_factory.mktemp(name)
        write_lists(root)
        dataset = open_dataset(name, root)
        for number, video in enumerate(dataset.videos.values()):
            write_clip(root / "videos" / video.relative_path, frames=6, shift=2 * video.label, seed=number)
        extract_all(dataset, Recipe(method="dis"))
    return found


def of(roots, name, runs, *words):
    """Returns the words that name a data set, a place for runs, and a tiny training."""
    return ["--dataset", name, "--root", str(roots[name]), "--runs", str(runs), *TINY, *words]


def in_a_process(command, *words, environment=(), **settings):
    """Starts a command as a user does."""
    words = [sys.executable, str(PROJECT / command), *words]
    return subprocess.Popen(words, env={**os.environ, **dict(environment)}, text=True, **settings)


def history(folder):
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_two_data_sets_are_learnt_at_once_and_the_first_is_scored(roots, tmp_path):
    second = ["--and-dataset", "ucf101", "--and-root", str(roots["ucf101"]), "--length", "2", "--protocol", "paper"]

    train_temporal(of(roots, "hmdb51", tmp_path, *second))

    model = tmp_path / "hmdb51" / "temporal" / "split1" / "model.keras"
    assert read_card(model).classes == ("brush_hair", "wave")
    assert keras.saving.load_model(model).output_shape == (None, 2)


def test_a_second_data_set_can_lend_some_classes_to_one_list(roots, tmp_path):
    second = ["--and-dataset", "ucf101", "--and-root", str(roots["ucf101"]), "--and-joined", "--length", "2"]
    words = of(roots, "hmdb51", tmp_path, *second, "--protocol", "paper")

    with pytest.raises(ValueError, match=r"no class 'Archer' to leave out\. It has Archery, Hand"):
        train_temporal([*words, "--and-without", "Archer"])
    train_temporal([*words, "--and-without", "Archery"])

    described = json.loads((tmp_path / "hmdb51" / "temporal" / "split1" / "config.json").read_text())
    assert described["options"]["and_without"] == ["Archery"]
