"""Trainings that cannot go well end with one message: what, where, what to type next; and lose nothing."""

import json
import re
import resource
import shutil
import subprocess
import sys

import pytest

from data.pack import pack
from data.ready import ready_dataset
from spatial.train import main as train_spatial
from streams.checks import BACKBONE_NAMES
from streams.networks.backbones.table import BACKBONES
from temporal.train import main as train_temporal
from tests.makers.commands import PROJECT, make_data, run_of, started, ucf101, words_for


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
        # TensorBoard writes in a thread of its own: a checkpoint may be there by the time it fails, or not.
        ("tensorboard", r"The disk is full \(/.*tfevents.*\)\. Make room; the same command (starts anew|goes on)"),
        ("checkpoint", r"The checkpoint .* could not be written \(No space left on device\).*Make room"),
        ("model", r"The disk is full \(.*No space left on device.*\)\. Make room; the same command goes on"),
    ],
)
def test_a_disk_that_is_really_full_is_called_so_and_with_room_the_same_command_goes_on(tmp_path, when, said):
    own_mounts = ["unshare", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*own_mounts, "true"], capture_output=True).returncode:
        pytest.skip("needs mounts of its own, which are not allowed here")

    words = [*own_mounts, sys.executable, "-m", "tests.makers.processes.little_disk", str(tmp_path), when]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True)

    assert done.returncode == 0
    assert re.fullmatch(f"Error: {said}.*\n", done.stderr)


def test_a_batch_larger_than_the_data_is_refused_with_one_that_fits(roots, tmp_path):
    with pytest.raises(ValueError, match=r"has only 2 videos to train on, less than a batch of 64\. Pass --batch"):
        train_spatial(ucf101(roots, tmp_path, "--batch-size", "64"))


def in_a_process_of_its_own(*words):
    """Runs the command of the spatial stream: its exit code, what it said, and whether it imported TensorFlow."""
    script = (
        "import sys; from spatial.train import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], cwd=PROJECT, capture_output=True, text=True)
    *said, imported = done.stdout.splitlines()
    return done.returncode, "\n".join(said) + done.stderr, imported


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--backbone", "resnet51"],
            r"There is no backbone 'resnet51'; did you mean resnet\d+\? Choose one of small, ",
        ),
        (["--backbone", "transformer9"], r"There is no backbone 'transformer9'\. Choose one of small, "),
        (["--dense-dropout", "1.5"], r"--dense-dropout is 1\.5; it must be at least 0 and below 1\."),
        (["--stage", "last-layer:ten"], r"--stage is PLACE:EPOCHS:OPTIMIZER:RATE, as in last-layer:10:rmsprop:1e-3"),
    ],
)
def test_an_option_that_cannot_be_is_refused_at_once_before_tensorflow_is_imported(words, said):
    code, printed, imported = in_a_process_of_its_own(*words)

    assert code == 2
    assert re.search(said, printed)
    assert "Traceback" not in printed
    assert imported == "False False"


def test_help_lists_the_backbones_and_imports_no_tensorflow():
    code, printed, imported = in_a_process_of_its_own("--help")

    assert code == 0
    assert ", ".join(BACKBONE_NAMES) in " ".join(printed.split())
    assert imported == "False False"


def test_the_backbones_that_options_know_are_those_that_can_be_built():
    assert tuple(BACKBONES) == BACKBONE_NAMES


def test_a_crop_larger_than_the_frames_is_refused_with_their_size(roots, tmp_path):
    with pytest.raises(ValueError, match=r"--crop-size is 500, but the smaller side of the frames of v_\w+ is (\d+)"):
        train_spatial(ucf101(roots, tmp_path, "--crop-size", "500"))


def test_a_split_without_a_class_is_refused_with_its_name(tmp_path):
    root = make_data(tmp_path / "data", "ucf101")
    path = root / "annotations" / "ucfTrainTestlist" / "trainlist01.txt"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "Archery" in line))

    with pytest.raises(ValueError, match=r"no training videos for 1 of 2 classes, such as 'HandstandPushups'"):
        train_spatial(words_for(root, "ucf101", tmp_path / "runs", "--protocol", "paper"))


def test_when_no_video_can_be_read_one_message_names_a_file(tmp_path):
    root = make_data(tmp_path / "data", "ucf101")
    for path in root.rglob("img_*.jpg"):
        path.write_bytes(b"nothing of use")
    words = words_for(root, "ucf101", tmp_path / "runs", "--protocol", "paper")

    with pytest.raises(
        ValueError,
        match=r"img_\d+\.jpg can't be decoded.*Pass --skip-broken.*./run doctor ucf101 --root .* --full --fix",
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

    with pytest.raises(
        ValueError, match=r"g03_c01/img_00004\.jpg can't be decoded.*./run doctor ucf101 --root .* --fix"
    ):
        train_spatial(words_for(root, "ucf101", tmp_path / "runs", *features))
    with pytest.raises(ValueError, match=r"flow_x_\d+\.jpg can't be decoded.*./run doctor ucf101 --root"):
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
        with pytest.raises(ValueError, match=r"\(finished\) has data_hash"):
            train_temporal(words)
        path.write_text(text)

    for root in (first, second):
        changed(root / "flow.json", '"preset": "balanced"', '"preset": "fast"')
    changed(second / "index.csv", ",ready,", ",broken,")
    train_temporal(words)  # All is as it was.

    # A stream of frames reads no flow.
    (first / "flow.json").write_text((first / "flow.json").read_text().replace("balanced", "fast"))
    train_spatial(words_for(first, "hmdb51", tmp_path / "runs", "--protocol", "paper"))


def cut_off(root):
    for path in root.rglob("v_Archery_g02*/img_*.jpg"):
        path.write_bytes(path.read_bytes()[:-100])


def lose_an_archive(root):
    pack(ready_dataset("ucf101", root))
    (path,) = root.rglob("v_Archery_g02*.zip")
    path.unlink()


@pytest.mark.parametrize("spoil", [cut_off, lose_an_archive])
def test_what_was_skipped_is_counted_once_and_said_wherever_a_result_is(tmp_path, capsys, spoil):
    root = make_data(tmp_path / "data", "ucf101")
    spoil(root)
    words = words_for(root, "ucf101", tmp_path / "runs", "--protocol", "test-selected", "--batch-size", "4")

    train_spatial([*words, "--skip-broken", "--json", str(tmp_path / "found.json")])

    found = json.loads((tmp_path / "found.json").read_text())["skipped"]
    # Each of the two epochs has one step of all four videos; batches made ahead of them, and never used, are no loss.
    assert found == {"v_Archery_g02_c01": 2}
    assert json.loads((run_of(tmp_path / "runs") / "config.json").read_text())["skipped"] == found
    assert f"{found['v_Archery_g02_c01']} clips of 1 videos could not be read" in capsys.readouterr().out


def test_a_run_of_another_network_or_other_videos_is_neither_mixed_nor_lost(roots, tmp_path):
    train_spatial(ucf101(roots, tmp_path))
    before = (run_of(tmp_path) / "model.keras").read_bytes()

    for change in (["--backbone", "resnet18"], ["--seed", "3"]):
        with pytest.raises(ValueError, match=r"Pass --again to replace it, or --runs DIR to keep both"):
            train_spatial(ucf101(roots, tmp_path, *change))

    assert (run_of(tmp_path) / "model.keras").read_bytes() == before
