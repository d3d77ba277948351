"""The commands that train, from end to end, on tiny videos behind the lists of published data sets."""

import csv
import json
import os
import pty
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from fusion.evaluate import main as evaluate
from spatial.train import main as train_spatial
from streams.modelfile import read_card
from temporal.train import main as train_temporal
from tests.made_commands import LISTS, make_data, words_for
from tests.made_training import free_ports

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Two prepared data sets of two classes each."""
    return {name: make_data(tmp_path_factory.mktemp(name), name) for name in LISTS}


def ucf101(roots, runs, *words):
    return words_for(roots["ucf101"], "ucf101", runs, "--validation", "0.5", *words)


def run_of(runs):
    return runs / "ucf101" / "spatial" / "split1"


def started(words, environment=(), **settings):
    """Starts spatial/train.py as a user does."""
    command = [sys.executable, str(PROJECT / "spatial" / "train.py"), *words]
    return subprocess.Popen(command, env={**os.environ, **dict(environment)}, text=True, **settings)


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

    with pytest.raises(ValueError, match=r"trained on split 1 of ucf101, among it test videos of split 2"):
        train_spatial(ucf101(roots, tmp_path, "--split", "2", "--weights", model))

    other = words_for(roots["hmdb51"], "hmdb51", tmp_path, "--split", "2", "--weights", model, "--protocol", "paper")
    train_spatial(other)  # Another data set has none of these videos.


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
    assert re.findall(r"s a step, (\d+) steps in (\d+) epochs", printed) == [("6", "6"), ("4", "4")]
    assert re.search(
        r"about \d+ minutes in 2 stages\. Held at most: \d\.\d GB by the process.* Nothing was kept", printed
    )
    assert json.loads((tmp_path / "found.json").read_text())["steps"] == 10
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]


def test_histograms_are_written_when_asked_for(roots, tmp_path):
    import tensorflow as tf

    train_spatial(ucf101(roots, tmp_path, "--histograms"))

    (path,) = (run_of(tmp_path) / "tensorboard").iterdir()
    values = [each for event in tf.compat.v1.train.summary_iterator(str(path)) for each in event.summary.value]
    kinds = {value.tag: value.metadata.plugin_data.plugin_name for value in values}
    assert kinds["logits/kernel"] == "histograms"
    assert kinds["first batch of rgb"] == "images"
    assert kinds["share_of_time_waiting_for_input"] == "scalars"


@pytest.mark.slow
def test_a_terminal_shows_a_bar(roots, tmp_path):
    ours, theirs = pty.openpty()
    words = ucf101(roots, tmp_path)
    watched = started(words, stdout=theirs, stderr=theirs, environment={"COLUMNS": "160", "TERM": "xterm"})
    os.close(theirs)
    shown = b""
    while part := _read(ours):
        shown += part

    assert watched.wait(60) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert re.search(r"Training.*0/2.*builds its graph", text)
    assert "Epoch 2/2: loss" in text


def _read(terminal):
    try:
        return os.read(terminal, 4096)
    except OSError:  # How Linux says that the other side was closed.
        return b""


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


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_with_one_message_and_what_was_saved_goes_on(roots, tmp_path):
    def little_room():
        # A checkpoint of this network is larger; its configuration and its logs are not.
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    def train(**settings):
        done = started(ucf101(roots, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings)
        _, errors = done.communicate(timeout=200)
        return done.returncode, [line for line in errors.splitlines() if line.startswith(("Error", "Traceback"))]

    code, errors = train(preexec_fn=little_room)

    assert code == 1
    assert len(errors) == 1
    assert "could not be written" in errors[0]
    assert "same command again" in errors[0]
    assert train() == (0, [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("tensorboard", r"The disk is full \(/.*tfevents.*\)\. Make room; the same command goes on"),
        ("checkpoint", r"The checkpoint .* could not be written \(No space left on device\).*Make room"),
        ("model", r"The disk is full \(.*No space left on device.*\)\. Make room; the same command goes on"),
    ],
)
def test_a_disk_that_is_really_full_is_called_so_and_with_room_the_same_command_goes_on(tmp_path, when, said):
    own_mounts = ["unshare", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*own_mounts, "true"], capture_output=True).returncode:
        pytest.skip("needs mounts of its own, which are not allowed here")

    words = [*own_mounts, sys.executable, "-m", "tests.little_disk", str(tmp_path), when]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True)

    assert done.returncode == 0
    assert re.fullmatch(f"Error: {said}.*\n", done.stderr)


def test_a_batch_larger_than_the_data_is_refused_with_one_that_fits(roots, tmp_path):
    with pytest.raises(ValueError, match=r"has 2 videos to train on, fewer than a batch of 64\. Pass --batch-size 2"):
        train_spatial(ucf101(roots, tmp_path, "--batch-size", "64"))


def test_a_crop_larger_than_the_frames_is_refused_with_their_size(roots, tmp_path):
    with pytest.raises(ValueError, match=r"--crop-size is 500, and the smaller side of the frames of v_\w+ is (\d+)"):
        train_spatial(ucf101(roots, tmp_path, "--crop-size", "500"))


def test_a_split_without_a_class_is_refused_with_its_name(tmp_path):
    root = make_data(tmp_path / "data", "ucf101")
    path = root / "annotations" / "ucfTrainTestlist" / "trainlist01.txt"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "Archery" in line))

    with pytest.raises(ValueError, match=r"no video to train on of 1 of 2 classes, 'HandstandPushups' among them"):
        train_spatial(words_for(root, "ucf101", tmp_path / "runs", "--protocol", "paper"))


def test_when_no_video_can_be_read_one_message_names_a_file(tmp_path):
    root = make_data(tmp_path / "data", "ucf101")
    for path in root.rglob("img_*.jpg"):
        path.write_bytes(b"nothing of use")
    words = words_for(root, "ucf101", tmp_path / "runs", "--protocol", "paper")

    with pytest.raises(
        ValueError, match=r"img_\d+\.jpg can't be decoded.*Pass --skip-broken.*doctor\.py ucf101 --root .* --full --fix"
    ):
        train_spatial(words)
    with pytest.raises(ValueError, match=r"img_\d+\.jpg can't be.*No other clip of its batch could take its place"):
        train_spatial([*words, "--skip-broken"])


def test_a_loss_on_kept_features_that_is_not_finite_names_their_videos(roots, tmp_path):
    features = ["--train", "last-layer", "--weights", "none", "--augment", "none", "--dropout", "0"]
    words = ucf101(roots, tmp_path, *features, "--learning-rate", "1e38", "--optimizer", "sgd", "--epochs", "9")

    with pytest.raises(ValueError, match=r"not finite (in|after) step \d+.*batch was of v_\w+_c01, v_\w+_c01\. Try"):
        train_spatial(words)


def test_a_file_that_spoils_kept_features_or_the_second_data_set_is_named(roots, tmp_path):
    root = make_data(tmp_path / "data", "ucf101")
    (path,) = root.rglob("v_Archery_g03*/img_00004.jpg")
    path.write_bytes(b"nothing of use")
    for flow in root.rglob("flow_x_*.jpg"):
        flow.write_bytes(b"nothing of use")
    features = ["--train", "last-layer", "--weights", "none", "--augment", "none", "--protocol", "paper"]
    second = ["--and-dataset", "ucf101", "--and-root", str(root), "--length", "4", "--protocol", "paper"]

    with pytest.raises(ValueError, match=r"g03_c01/img_00004\.jpg can't be decoded.*doctor\.py ucf101 --root .* --fix"):
        train_spatial(words_for(root, "ucf101", tmp_path / "runs", *features))
    with pytest.raises(ValueError, match=r"flow_x_\d+\.jpg can't be decoded.*doctor\.py ucf101 --root"):
        train_temporal(words_for(roots["hmdb51"], "hmdb51", tmp_path / "runs", *second))

    train_spatial(words_for(root, "ucf101", tmp_path / "runs", *features, "--skip-broken", "--batch-size", "4"))


def test_flow_that_was_made_anew_and_a_second_data_set_that_changed_are_not_mixed_into_a_run(tmp_path):
    first, second = (make_data(tmp_path / name, name) for name in ("hmdb51", "ucf101"))
    both = ["--and-dataset", "ucf101", "--and-root", str(second), "--length", "2", "--protocol", "paper"]
    words = words_for(first, "hmdb51", tmp_path / "runs", *both)
    train_temporal(words)
    train_spatial(words_for(first, "hmdb51", tmp_path / "runs", "--protocol", "paper"))

    def changed(path, old, new):
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(ValueError, match="finished training with data_hash"):
            train_temporal(words)
        path.write_text(text)

    for root in (first, second):
        changed(root / "flow.json", '"preset": "balanced"', '"preset": "fast"')
    changed(second / "index.csv", ",ready,", ",broken,")
    train_temporal(words)  # All is as it was.

    # A stream of frames reads no flow.
    (first / "flow.json").write_text((first / "flow.json").read_text().replace("balanced", "fast"))
    train_spatial(words_for(first, "hmdb51", tmp_path / "runs", "--protocol", "paper"))


def test_what_was_skipped_is_counted_once_and_said_wherever_a_result_is(tmp_path, capsys):
    root = make_data(tmp_path / "data", "ucf101")
    for path in root.rglob("v_Archery_g02*/img_*.jpg"):
        path.write_bytes(path.read_bytes()[:-100])
    words = words_for(root, "ucf101", tmp_path / "runs", "--protocol", "test-selected", "--batch-size", "4")

    train_spatial([*words, "--skip-broken", "--json", str(tmp_path / "found.json")])

    found = json.loads((tmp_path / "found.json").read_text())["skipped"]
    assert list(found) == ["v_Archery_g02_c01"]
    assert json.loads((run_of(tmp_path / "runs") / "config.json").read_text())["skipped"] == found
    assert f"{found['v_Archery_g02_c01']} clips of 1 videos could not be read" in capsys.readouterr().out


def test_a_run_of_another_network_or_other_videos_is_neither_mixed_nor_lost(roots, tmp_path):
    train_spatial(ucf101(roots, tmp_path))
    before = (run_of(tmp_path) / "model.keras").read_bytes()

    for change in (["--backbone", "resnet18"], ["--seed", "3"]):
        with pytest.raises(ValueError, match=r"Pass --again to replace it, or --runs DIR to keep both"):
            train_spatial(ucf101(roots, tmp_path, *change))

    assert (run_of(tmp_path) / "model.keras").read_bytes() == before
