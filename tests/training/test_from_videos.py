"""Tests of training, evaluation, prediction and export on data of which only an index of the videos is stored."""

import shutil

import numpy as np
import pytest

import data.doctor
import data.prepare
import fusion.evaluate
import fusion.export
import pipelines.show
import spatial.train
import temporal.train
from data.ready import ready_dataset
from fusion.two_stream import TwoStream
from pipelines.clip_stream import ClipStream
from pipelines.inputs import Input
from streams.runs.model_file import read_card
from streams.runs.run_folder import Run
from streams.runs.score_file import read_scores
from tests.makers.batches import videos_of
from tests.makers.encoded import SIZE, X264, encode, write_videos
from tests.makers.training import assert_same, losses, stop_in_step, train_made
from tests.makers.videos import moving_frames

pytestmark = pytest.mark.slow

STREAMS = {"spatial": (spatial.train.main, []), "temporal": (temporal.train.main, ["--length", "2"])}
TRAINED = ["--validation", "0.5", "--crop-size", "32", "--epochs", "2", "--batch-size", "2"]
PREPARED = ["--method", "dis", "--short-side", "48", "--workers", "2"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with three data sets of the same videos: stored, indexed as stored, and indexed without loss."""
    folder = tmp_path_factory.mktemp("from_videos")
    videos = write_videos(folder / "videos")
    for name, words in (
        ("stored", []),
        ("as_stored", ["--only", "index", "--as-stored"]),
        ("exact", ["--only", "index"]),
    ):
        shutil.copytree(videos, folder / name / "mine")
        data.prepare.main(["mine", "--root", str(folder / name / "mine"), *PREPARED, *words])
        for main, others in STREAMS.values():
            main([*place(folder, name), *TRAINED, *others])
        fusion.evaluate.main([*place(folder, name), "--views", "2", "--crops", "1"])
    return folder


def place(folder, name):
    return ["--dataset", "mine", "--root", str(folder / name / "mine"), "--runs", str(folder / name / "runs")]


def run_in(folder, name, stream):
    return Run.of(folder / name / "runs", "mine", stream, 1)


@pytest.mark.parametrize("stream", STREAMS)
def test_a_training_as_stored_is_that_of_stored_files_bit_for_bit(made, stream):
    expected, found = (run_in(made, name, stream) for name in ("stored", "as_stored"))

    assert_same(found, expected)


@pytest.mark.parametrize("stream", STREAMS)
def test_an_evaluation_as_stored_is_that_of_stored_files_bit_for_bit(made, stream):
    expected, found = (
        read_scores(run_in(made, name, stream).scores("test", "2x1")) for name in ("stored", "as_stored")
    )

    assert found.videos == expected.videos and found.data_hash == expected.data_hash
    np.testing.assert_array_equal(found.view_logits, expected.view_logits)


@pytest.mark.parametrize("stream", STREAMS)
def test_what_loses_nothing_is_learnt_from_other_pixels_and_the_model_says_so(made, stream):
    expected, found = (run_in(made, name, stream) for name in ("stored", "exact"))

    cards = [read_card(run.model) for run in (expected, found)]

    assert (losses(found) != losses(expected)).any()
    assert "jpeg_quality" not in cards[0].frames
    assert cards[1].frames["jpeg_quality"] is None


@pytest.mark.parametrize("name", ["as_stored", "exact"])
def test_a_prediction_sees_what_the_evaluation_saw(made, name):
    scores = {stream: read_scores(run_in(made, name, stream).scores("test", "2x1")) for stream in STREAMS}
    two_stream = TwoStream.load(made / name / "runs" / "mine", fusion="average")
    video = scores["spatial"].videos[0]
    (path,) = (made / name / "mine" / "videos").glob(f"*/{video}.*")

    found = two_stream.predict(path, views=2, crops=1)

    for stream, expected in scores.items():
        np.testing.assert_allclose(found.view_logits[stream], expected.view_logits[0], atol=1e-5)


def test_a_stopped_training_goes_on_as_if_it_had_never_stopped(made, tmp_path):
    dataset = ready_dataset("mine", made / "exact" / "mine")
    videos = videos_of(dataset)
    clips = ClipStream(dataset, videos[:9], Input("rgb"), 2, 32, held_out=videos[9:])
    whole = train_made(tmp_path / "whole", clips=clips, epochs=3)

    stop_in_step(tmp_path / "stopped", 6, clips=clips)
    resumed = train_made(tmp_path / "stopped", clips=clips, epochs=3)

    assert_same(resumed, whole)


def test_the_exported_model_says_how_its_clips_were_made(made, tmp_path):
    fusion.export.main(["--dataset", "mine", "--runs", str(made / "exact" / "runs"), "--out", str(tmp_path)])
    (path,) = tmp_path.glob("*.keras")

    two_stream = TwoStream.load(model=path)

    assert two_stream.making.jpeg_quality is None


def test_the_doctor_finds_nothing_and_then_a_video_that_was_cut_off(made, tmp_path, capsys):
    root = shutil.copytree(made / "exact" / "mine", tmp_path / "mine")
    data.doctor.main(["mine", "--root", str(root), "--full"])
    said = capsys.readouterr().out
    (path,) = (root / "videos").glob("*/left1.*")
    path.write_bytes(path.read_bytes()[:-10])

    with pytest.raises(ValueError, match=r"findings are errors"):
        data.doctor.main(["mine", "--root", str(root)])

    assert "error" not in said
    assert "have changed since they were indexed" in capsys.readouterr().out


def test_the_doctor_indexes_a_video_again_that_was_replaced(made, tmp_path):
    root = shutil.copytree(made / "exact" / "mine", tmp_path / "mine")
    (path,) = (root / "videos").glob("*/left1.*")
    encode(path, "libx264", X264, moving_frames(15, SIZE, -3, seed=99))

    data.doctor.main(["mine", "--root", str(root), "--fix"])

    assert ready_dataset("mine", root).videos["left1"].num_frames == 15


def test_the_first_batch_can_be_looked_at(made, tmp_path):
    pipelines.show.main(
        [
            "--dataset",
            "mine",
            "--root",
            str(made / "exact" / "mine"),
            "--crop-size",
            "32",
            "--out",
            str(tmp_path / "a.png"),
        ]
    )

    assert (tmp_path / "a.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "words", [["--as-stored"], ["--only", "index", "--pack"], ["--only", "index", "--write-lists"]]
)
def test_options_that_an_index_excludes_are_refused(tmp_path, words):
    with pytest.raises(SystemExit):
        data.prepare.main(["mine", "--root", str(write_videos(tmp_path)), *words])
