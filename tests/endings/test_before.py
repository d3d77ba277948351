"""Files that an earlier version left on a disk still work. before/README.md describes them."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

import fusion.evaluate
import spatial.train
import temporal.train
from data.ready import ready_dataset
from pipelines.clip_stream import ClipStream
from pipelines.inputs import Input
from tests.makers.training import losses, train_made

BEFORE = Path(__file__).resolve().parent / "before"
CLIPS = {"spatial": Input("rgb", 1), "temporal": Input("flow", 3)}
MAINS = {"spatial": (spatial.train.main, []), "temporal": (temporal.train.main, ["--length", "3"])}
# What was typed for the runs, besides the places.
TYPED = ["--validation", "0.5", "--crop-size", "32", "--epochs", "1", "--batch-size", "2"]


@pytest.fixture
def runs(tmp_path):
    """A copy of the runs that may be changed."""
    return shutil.copytree(BEFORE / "runs", tmp_path / "runs")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.suffix and path.is_file()}


def words(runs, *others):
    return ["--dataset", "ucf101", "--root", str(BEFORE / "dataset"), "--runs", str(runs), *others]


@pytest.mark.parametrize("stream", CLIPS)
@pytest.mark.parametrize("form", ["dataset", "packed"])
def test_a_prepared_data_set_gives_the_same_batches(form, stream):
    dataset, before = ready_dataset("ucf101", BEFORE / form), np.load(BEFORE / f"{stream}.npz")

    videos = list(dataset.videos.values())
    clips, labels = next(iter(ClipStream(dataset, videos, CLIPS[stream], 4, 32).batches()))

    np.testing.assert_array_equal(labels, before["labels"])
    np.testing.assert_allclose(clips, before["clips"], atol=1)  # Builds of the JPEG decoder round differently.


@pytest.mark.parametrize("stream", CLIPS)
def test_a_model_says_the_same_of_the_same_clips(stream):
    before = np.load(BEFORE / f"{stream}.npz")

    network = keras.saving.load_model(BEFORE / "runs" / "ucf101" / stream / "split1" / "model.keras")

    np.testing.assert_allclose(network.predict(before["clips"], verbose=0), before["logits"], atol=1e-5)


@pytest.mark.parametrize("stream", MAINS)
def test_a_finished_run_is_not_trained_again(stream, runs, capsys):
    main, own = MAINS[stream]

    main(words(runs, *TYPED, *own))

    assert "Best epoch 1 of 1" in capsys.readouterr().out
    assert contents(runs) == contents(BEFORE / "runs")


def test_a_finished_run_is_not_taken_for_one_of_other_options(runs):
    with pytest.raises(ValueError, match=r"learning_rate = 0\.003, not 0\.1"):
        spatial.train.main(words(runs, *TYPED, "--learning-rate", "0.1"))


def test_score_files_are_read_and_fused(runs, tmp_path):
    methods = ["--method", "average", "--method", "weighted:1,2"]
    fusion.evaluate.main(words(runs, "--views", "2", "--crops", "1", *methods, "--json", str(tmp_path / "fused.json")))

    now, before = (json.loads((folder / "fused.json").read_text()) for folder in (tmp_path, BEFORE))
    assert now["decisions"] == before["decisions"]
    assert now["reliability"] == before["reliability"]  # Which holds the mean of the fused probabilities.
    kept = {path: data for path, data in contents(runs).items() if path.suffix == ".h5"}
    assert kept == {path: data for path, data in contents(BEFORE / "runs").items() if path.suffix == ".h5"}


def test_an_unfinished_run_goes_on_as_if_it_had_never_stopped(tmp_path, capsys):
    shutil.copytree(BEFORE / "unfinished", tmp_path / "run")

    run = train_made(tmp_path / "run", epochs=3)

    said = capsys.readouterr().out
    assert "Epoch 1/3" not in said
    assert "Epoch 2/3" in said
    whole = np.genfromtxt(BEFORE / "whole_history.csv", delimiter=",", names=True)
    np.testing.assert_allclose(losses(run), np.stack([whole["loss"], whole["val_loss"]], axis=1), rtol=1e-4)
