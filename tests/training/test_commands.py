"""The commands that train, from end to end, on tiny videos behind the lists of published data sets."""

import csv
import json
import re
import subprocess

import keras
import pytest

from spatial.train import main as train_spatial
from streams.runs.model_file import read_card
from streams.training.around_steps import StoppedError
from temporal.train import main as train_temporal
from tests.makers.commands import run_of, started, ucf101, words_for
from tests.makers.training import CtrlC, free_ports


@pytest.mark.slow
def test_a_saved_configuration_repeats_a_training_bit_for_bit_with_its_stride(roots, tmp_path):
    data = ["--dataset", "ucf101", "--root", str(roots["ucf101"])]
    words = ["--length", "2", "--stride", "2", "--segments", "2", "--consensus", "max", "--seed", "5"]

    train_temporal(ucf101(roots, tmp_path / "one", *words, "--device", "cpu"))
    first = tmp_path / "one" / "ucf101" / "temporal" / "split1"
    train_temporal([*data, "--runs", str(tmp_path / "two"), "--config", str(first / "config.json")])

    second = tmp_path / "two" / "ucf101" / "temporal" / "split1"
    assert read_card(second / "model.keras").stride == 2
    described = [json.loads((each / "config.json").read_text()) for each in (first, second)]
    for each in described:  # When, where and how quickly it was made changes nothing.
        del each["made"], each["seconds"]
    assert described[0] == described[1]
    assert (first / "history.csv").read_bytes() == (second / "history.csv").read_bytes()


def test_a_configuration_of_another_stream_or_none_at_all_is_refused(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps({"stream": "temporal", "options": {"seed": 3}}))
    (tmp_path / "other.json").write_text("[]")

    for name, said in (
        ("config.json", "is of a run of the temporal stream"),
        ("other.json", "is no config.json of a run"),
    ):
        with pytest.raises(SystemExit) as stopped:
            train_spatial(["--config", str(tmp_path / name)])
        assert stopped.value.code == 2
        assert said in capsys.readouterr().err


def test_two_data_sets_are_learnt_at_once_and_the_first_is_scored(roots, tmp_path):
    second = ["--and-dataset", "ucf101", "--and-root", str(roots["ucf101"]), "--length", "2", "--protocol", "paper"]

    train_temporal(words_for(roots["hmdb51"], "hmdb51", tmp_path, *second))

    model = tmp_path / "hmdb51" / "temporal" / "split1" / "model.keras"
    assert read_card(model).classes == ("brush_hair", "wave")
    assert keras.saving.load_model(model).output_shape == (None, 2)


def test_a_second_data_set_can_lend_some_classes_to_one_list(roots, tmp_path):
    second = ["--and-dataset", "ucf101", "--and-root", str(roots["ucf101"]), "--and-joined", "--length", "2"]
    words = words_for(roots["hmdb51"], "hmdb51", tmp_path, *second, "--protocol", "paper")

    with pytest.raises(ValueError, match=r"no class 'Archer' to leave out\. It has Archery, Hand"):
        train_temporal([*words, "--and-without", "Archer"])
    train_temporal([*words, "--and-without", "Archery"])

    described = json.loads((tmp_path / "hmdb51" / "temporal" / "split1" / "config.json").read_text())
    assert described["options"]["and_without"] == ["Archery"]


def test_a_rehearsal_takes_every_stage_and_keeps_nothing_not_even_features(roots, tmp_path, capsys):
    stages = [
        "--stage",
        "last-layer:6:adam:1e-3",
        "--stage",
        "all:4:sgd:1e-4",
        "--weights",
        "none",
        "--augment",
        "none",
    ]
    words = ucf101(roots, tmp_path / "runs", *stages, "--dry-run", "--json", str(tmp_path / "found.json"))

    train_spatial(words)

    printed = capsys.readouterr().out
    assert re.findall(r"s per step, (\d+) steps in (\d+) epochs", printed) == [("6", "6"), ("4", "4")]
    assert re.search(
        r"about \d+ minutes in 2 stages\. Peak memory: \d\.\d GB by the process.* Nothing was saved", printed
    )
    assert json.loads((tmp_path / "found.json").read_text())["steps"] == 10
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]


def test_a_rehearsal_that_is_stopped_does_not_say_that_it_was_saved(roots, tmp_path, monkeypatch):
    fit = keras.Model.fit

    def pressing(*model, callbacks, **more):
        return fit(*model, callbacks=[*callbacks, CtrlC(step=2)], **more)

    monkeypatch.setattr(keras.Model, "fit", pressing)

    with pytest.raises(StoppedError, match=r"^The rehearsal was stopped\. Nothing was saved\.$"):
        train_spatial(ucf101(roots, tmp_path, "--dry-run"))

    assert not any(tmp_path.rglob("step*.npz"))


def test_histograms_are_written_when_asked_for(roots, tmp_path):
    import tensorflow as tf

    train_spatial(ucf101(roots, tmp_path, "--histograms"))

    (path,) = (run_of(tmp_path) / "tensorboard").iterdir()
    assert path.name == "events.out.tfevents.0001"  # Not when and where the training was.
    values = [each for event in tf.compat.v1.train.summary_iterator(str(path)) for each in event.summary.value]
    kinds = {value.tag: value.metadata.plugin_data.plugin_name for value in values}
    assert kinds["logits/kernel"] == "histograms"
    assert kinds["first batch of rgb"] == "images"
    assert kinds["share_of_time_waiting_for_input"] == "scalars"


@pytest.mark.slow
def test_machines_may_be_named_by_tf_config(roots, tmp_path):
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    words = words_for(roots["ucf101"], "ucf101", tmp_path / "two", "--protocol", "paper", "--optimizer", "sgd")
    plain = [*words, "--dropout", "0", "--sync-batch-norm"]
    described = [
        json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}) for index in (0, 1)
    ]

    both = [started(plain, {"TF_CONFIG": each}, stdout=subprocess.PIPE) for each in described]
    said = [each.communicate(timeout=200)[0] for each in both]
    train_spatial([*plain, "--runs", str(tmp_path / "one")])

    assert [each.returncode for each in both] == [0, 0]
    assert all(f"Waiting for all machines of this training: {', '.join(workers)}." in each for each in said)
    assert all(f"Saved {run_of(tmp_path / 'two') / 'model.keras'}" in each for each in said)
    assert losses(run_of(tmp_path / "two")) == pytest.approx(losses(run_of(tmp_path / "one")), abs=1e-5)


def losses(run):
    with (run / "history.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_xla_compiles_a_training_on_one_device(roots, tmp_path):
    done = started(ucf101(roots, tmp_path, "--jit", "--no-deterministic"))

    assert done.wait(200) == 0
    assert (run_of(tmp_path) / "model.keras").is_file()
