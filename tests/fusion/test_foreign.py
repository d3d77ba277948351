"""Frames and flow that other tools extracted are prepared, trained on, evaluated, reported and predicted with."""

import json
import shutil

import pytest

from data.doctor import main as doctor
from data.prepare import main as prepare
from fusion.evaluate import main as evaluate
from fusion.predict import main as predict
from fusion.train import main as train_both
from spatial.train import main as train_spatial
from streams.runs.model_file import read_card
from streams.runs.run_folder import Run
from temporal.train import main as train_temporal
from tests.makers import foreign

LAYOUTS = (
    foreign.mmaction,
    foreign.mmaction_short,
    foreign.graz,
    foreign.floats,
    foreign.floats_named_otherwise,
    foreign.floats_without_metadata,
    foreign.floats_by_columns,
    foreign.floats_by_planes,
)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return foreign.our_videos(tmp_path_factory.mktemp("ours") / "mine")


@pytest.mark.slow
@pytest.mark.parametrize("write", LAYOUTS, ids=lambda write: write.__name__)
def test_a_foreign_layout_is_used_from_prepare_to_report(ours, tmp_path, capsys, write):
    theirs, root, runs = tmp_path / "theirs", tmp_path / "mine", tmp_path / "runs"
    write(ours, theirs)
    if write in (foreign.mmaction, foreign.mmaction_short, foreign.graz):  # These say nothing of parts.
        (root / "annotations").mkdir(parents=True)
        shutil.copy(ours / "videos" / "videos.csv", root / "annotations")
    data, tiny = ["--dataset", "mine", "--root", str(root)], ["--crop-size", "32", "--epochs", "1", "--batch-size", "2"]
    words = [*data, *tiny, "--runs", str(runs)]

    prepare(["mine", "--root", str(root), "--frames", str(theirs)])
    doctor(["mine", "--root", str(root), "--full"])
    train_spatial([*words, "--weights", "none"])
    train_temporal([*words, "--length", "3"])
    train_both([*words, "--length", "3", "--weights", "none"])
    evaluate([*data, "--runs", str(runs), "--views", "2", "--crops", "5"])
    models = [f"--{name}={Run.of(runs, 'mine', name, 1).model}" for name in ("spatial", "temporal")]
    predict([str(ours / "videos/left/left0.avi"), *models, "--views", "2", "--json", str(tmp_path / "said.json")])

    printed = capsys.readouterr().out
    assert "8 videos: 8 ready" in printed
    assert "No problems found." in printed
    assert len(list(runs.rglob("report.html"))) == 1
    report = json.loads(next(runs.rglob("report.json")).read_text())
    assert report["streams"]["temporal"]["selection"] == "validation (2 videos that the list names)"
    said = json.loads((tmp_path / "said.json").read_text())["predictions"][0]
    assert any("by tvl1, but the temporal stream was trained on flow of another tool" in n for n in said["notes"])


@pytest.mark.slow
def test_points_are_followed_through_flow_of_floats_and_its_own_validation_part_is_told(ours, tmp_path):
    theirs, root, runs = tmp_path / "theirs", tmp_path / "mine", tmp_path / "runs"
    foreign.floats(ours, theirs)
    prepare(["mine", "--root", str(root), "--frames", str(theirs)])

    tiny = ["--crop-size", "32", "--epochs", "1", "--batch-size", "2", "--length", "2", "--input", "trajectory"]
    train_temporal(["--dataset", "mine", "--root", str(root), "--runs", str(runs), *tiny])

    run = Run.of(runs, "mine", "temporal", 1)
    assert read_card(run.model).own_validation == 2
    assert run.described()["chosen_by"] == "validation (2 videos that the list names)"
