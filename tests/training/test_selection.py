"""A training uses only allowed videos: the test list selects nothing, not even through earlier weights."""

import json
import shutil

import pytest

from fusion.evaluate import main as evaluate
from spatial.train import main as train_spatial
from streams.runs.model_file import read_card
from temporal.train import main as train_temporal
from tests.makers.commands import make_data, run_of, ucf101, words_for


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


def test_what_the_test_list_chose_is_said_from_the_run_to_the_evaluation_and_starts_nothing_honest(
    roots, tmp_path, capsys
):
    chosen, found = ["--protocol", "test-selected"], tmp_path / "found.json"
    train_spatial(ucf101(roots, tmp_path, *chosen, "--json", str(found)))

    printed, model = capsys.readouterr().out, run_of(tmp_path) / "model.keras"
    assert printed.count("test list (which chooses) loss") == 3
    assert read_card(model).selection == "test-selected"
    assert json.loads(found.read_text())["selection"] == "test-selected"

    train_temporal(ucf101(roots, tmp_path, *chosen, "--length", "2"))
    place = ["--dataset", "ucf101", "--root", str(roots["ucf101"]), "--runs", str(tmp_path)]
    capsys.readouterr()
    evaluate([*place, "--views", "2", "--crops", "1", "--method", "average", "--json", str(found)])

    printed = " ".join(capsys.readouterr().out.split())
    assert "spatial test-selected, temporal test-selected" in printed
    streams = json.loads(found.read_text())["streams"]
    assert {each["selection"] for each in streams.values()} == {"test-selected"}
    page = tmp_path / "ucf101" / "fusion" / "split1" / "report.html"
    assert "Chosen on the test list: spatial and temporal." in page.read_text()

    with pytest.raises(ValueError, match=r"selected on the test list\. Pass --protocol test-selected"):
        train_temporal(ucf101(roots, tmp_path / "other", "--weights", str(model), "--length", "2"))


def test_weights_that_were_trained_on_test_videos_of_this_split_are_refused(roots, tmp_path):
    train_spatial(ucf101(roots, tmp_path, "--protocol", "paper"))
    model = str(run_of(tmp_path) / "model.keras")

    with pytest.raises(ValueError, match=r"trained on split 1 of ucf101, which include test videos of split 2"):
        train_spatial(ucf101(roots, tmp_path, "--split", "2", "--weights", model))

    other = words_for(roots["hmdb51"], "hmdb51", tmp_path, "--split", "2", "--weights", model, "--protocol", "paper")
    train_spatial(other)  # Another data set has none of these videos.


def test_weights_remember_all_that_those_before_them_have_learnt_from(roots, tmp_path):
    both = ["--and-dataset", "ucf101", "--and-root", str(roots["ucf101"]), "--length", "2", "--protocol", "paper"]
    train_temporal(words_for(roots["hmdb51"], "hmdb51", tmp_path / "both", *both))
    model = tmp_path / "both" / "hmdb51" / "temporal" / "split1" / "model.keras"

    with pytest.raises(ValueError, match=r"trained on all videos of ucf101, which include test videos of split 1"):
        train_temporal(ucf101(roots, tmp_path, "--length", "2", "--weights", str(model)))

    # Nor when another training on the first data set alone came between.
    more = words_for(roots["hmdb51"], "hmdb51", tmp_path, "--weights", str(model), "--protocol", "paper")
    train_spatial(more)
    after = tmp_path / "hmdb51" / "spatial" / "split1" / "model.keras"
    assert read_card(after).lessons == (("hmdb51", 1, "paper"), ("ucf101", 0, "paper"))
    with pytest.raises(ValueError, match=r"trained on all videos of ucf101, which include test videos of split 1"):
        train_spatial(ucf101(roots, tmp_path, "--weights", str(after)))
