"""Trainings that start from weights of PyTorch's, or shift in time, from the file to the evaluation."""

import json

import keras
import pytest

from fusion.evaluate import main as evaluate
from spatial.train import main as train_spatial
from streams.runs.model_file import read_card
from temporal.train import main as train_temporal
from tests.makers.commands import ucf101
from tests.makers.torch.files import resnet_arrays, write_torch


@pytest.mark.slow
def test_a_training_in_stages_builds_the_network_of_its_weights_in_each(roots, tmp_path):
    weights = write_torch(tmp_path / "resnet50.pth", resnet_arrays(50))
    words = ["--backbone", "resnet50", "--weights", str(weights), "--crop-size", "32"]
    stages = ["--stage", "last-layer:1:sgd:1e-5", "--stage", "all:1:sgd:1e-5"]

    train_spatial(ucf101(roots, tmp_path, *words, *stages))

    run = tmp_path / "ucf101" / "spatial" / "split1"
    for place in (run / "stage1", run):
        network = keras.saving.load_model(place / "model.keras", safe_mode=True)
        assert not network.get_layer("conv1").use_bias
        assert network.get_layer("conv3_block1_1").strides == (1, 1)
        assert network.get_layer("conv3_block1_2").strides == (2, 2)
        assert json.loads((place / "config.json").read_text())["origin"] == "torch"
        assert read_card(place / "model.keras").origin == "torch"


@pytest.mark.slow
def test_both_streams_shift_and_are_evaluated_together(roots, tmp_path):
    shift = ["--backbone", "resnet18", "--shift", "0.125", "--length", "3", "--crop-size", "32", "--weights", "none"]

    train_spatial(ucf101(roots, tmp_path, *shift, "--input", "rgb_spread"))
    train_temporal(ucf101(roots, tmp_path, *shift, "--input", "flow_stacks"))
    place = ["--dataset", "ucf101", "--root", str(roots["ucf101"]), "--runs", str(tmp_path)]
    evaluate([*place, "--views", "2", "--crops", "1", "--method", "average", "--json", str(tmp_path / "out.json")])

    report = json.loads((tmp_path / "out.json").read_text())
    assert {"spatial", "temporal", "average"} <= report["video_accuracy"].keys()
    assert report["streams"]["temporal"]["looked_at"].startswith("the whole clip at once")
    assert read_card(tmp_path / "ucf101" / "temporal" / "split1" / "model.keras").input_kind == "flow_stacks"


@pytest.mark.slow
def test_an_evaluation_says_what_the_recipe_of_its_run_expects(roots, tmp_path, capsys):
    tiny = ["--backbone", "small", "--steps", "2", "--milestones", "1", "--no-balance", "--augment", "none"]

    train_temporal(ucf101(roots, tmp_path, "--recipe", "paper-flow-1", *tiny))
    place = ["--dataset", "ucf101", "--root", str(roots["ucf101"]), "--runs", str(tmp_path)]
    evaluate(
        [
            *place,
            "--views",
            "2",
            "--crops",
            "1",
            "--stream",
            "temporal",
            "--method",
            "average",
            "--json",
            str(tmp_path / "out.json"),
        ]
    )

    expected = json.loads((tmp_path / "out.json").read_text())["expected"]
    assert expected["recipe"] == "paper-flow-1"
    assert expected["rows"]["temporal"]["expected"] == 73.9
    assert "backbone" in expected["changed"]
    assert "recipe paper-flow-1" in capsys.readouterr().out
    page = (tmp_path / "ucf101" / "fusion" / "split1" / "report.html").read_text()
    assert "Expected by the recipe paper-flow-1" in page
