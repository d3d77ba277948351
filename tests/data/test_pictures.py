"""Folders of pictures are videos: found, decoded in the order of their numbers, prepared and predicted as others."""

import json

import cv2
import numpy as np
import pytest

from data.extraction.decoder import RATE_OF_PICTURES, Decoder, read_frames
from data.extraction.video_files import is_of_pictures, is_video, walk_files
from data.prepare import main as prepare
from data.ready import open_dataset
from data.store.index import index_path, read_index
from fusion.predict import main as predict
from fusion.prediction.named_videos import named_videos
from tests.makers.models import make_model, moving_texture


def write_pictures(folder, count=6, form="{}.png", **size):
    """Writes the frames of a moving texture as pictures that are numbered from 1, without leading zeros."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(moving_texture(count, **size), 1):
        cv2.imwrite(str(folder / form.format(number)), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return folder


@pytest.mark.parametrize("form", ["{}.png", "frame{}.png", "img_{:05}.jpg", "a2b-{}.bmp", "10s_{}.webp"])
def test_pictures_come_in_the_order_of_their_numbers(tmp_path, form):
    folder = write_pictures(tmp_path / "clip", 12, form)

    frames = list(read_frames(folder))

    assert len(frames) == 12
    for frame, expected in zip(frames, moving_texture(12), strict=True):
        # As the sixth is nearer to the sixth than to any other, whatever is lost in storing it.
        errors = [np.abs(frame.astype(int) - other).mean() for other in moving_texture(12)]
        assert np.abs(frame.astype(int) - expected).mean() == min(errors)


def test_a_folder_of_pictures_says_how_many_frames_it_has_and_is_played_at_a_usual_rate(tmp_path):
    decoder = Decoder(write_pictures(tmp_path / "clip", 6))

    times = [time for time, _ in decoder.frames()]

    assert decoder.declared_frames == decoder.decoded_frames == 6
    assert decoder.frame_rate == RATE_OF_PICTURES
    np.testing.assert_allclose(times, np.arange(6) / RATE_OF_PICTURES)


def test_what_is_a_video_of_pictures_and_what_is_not(tmp_path):
    whole = write_pictures(tmp_path / "whole")
    (whole / "Thumbs.db").touch()
    (whole / ".hidden").touch()
    single = write_pictures(tmp_path / "single", 1)
    mixed = write_pictures(tmp_path / "mixed")
    (mixed / "notes.txt").touch()
    nested = write_pictures(tmp_path / "nested")
    write_pictures(nested / "more")
    (tmp_path / "empty").mkdir()

    assert is_of_pictures(whole)
    assert is_video(whole)
    for other in (single, mixed, nested, tmp_path / "empty", whole / "1.png"):
        assert not is_of_pictures(other)


def test_walking_yields_a_folder_of_pictures_once_and_nothing_that_is_in_it(tmp_path):
    for name in ("b/two", "a/one"):
        write_pictures(tmp_path / name)
    (tmp_path / "a" / "film.avi").touch()

    found = [path.relative_to(tmp_path).as_posix() for path in walk_files(tmp_path)]

    assert found == ["a/film.avi", "a/one", "b/two"]


@pytest.fixture
def pictures(tmp_path):
    """Two classes of three folders of pictures."""
    for label in ("left", "right"):
        for number in range(3):
            write_pictures(tmp_path / "clips" / label / f"{label}{number}", seed=number)
    return tmp_path / "clips"


def test_folders_of_pictures_are_prepared_as_videos(tmp_path, pictures):
    root = tmp_path / "root"

    prepare(["mine", "--root", str(root), "--videos", str(pictures), "--method", "dis", "--workers", "1"])

    rows = read_index(index_path(root))
    assert sorted(rows) == [f"{label}{number}" for label in ("left", "right") for number in range(3)]
    assert {(row.state, row.frames, row.flows) for row in rows.values()} == {("ready", 6, 5)}
    dataset = open_dataset("mine", root)
    assert dataset.classes == ("left", "right")


def test_a_damaged_picture_makes_that_video_broken_with_one_reason_and_no_other(tmp_path, pictures, capsys):
    (pictures / "left" / "left1" / "4.png").write_bytes(b"no picture at all")
    root = tmp_path / "root"

    prepare(["mine", "--root", str(root), "--videos", str(pictures), "--method", "dis", "--workers", "1"])

    rows = read_index(index_path(root))
    broken = {name: row.reason for name, row in rows.items() if row.state == "broken"}
    assert list(broken) == ["left1"]
    assert "4.png can't be decoded: it is damaged, cut off, or not a picture." in broken["left1"]
    assert broken["left1"].count("can't be") == 1


def test_a_folder_of_pictures_is_predicted_as_one_video(tmp_path, capsys):
    folder = write_pictures(tmp_path / "clip", 8)
    models = [f"--{stream}={make_model(tmp_path / f'{stream}.keras', stream)}" for stream in ("spatial", "temporal")]

    predict([str(folder), *models, "--json", "--views", "2"])

    (prediction,) = json.loads(capsys.readouterr().out)["predictions"]
    assert prediction["frames"] == 8
    assert prediction["video"].endswith("clip")


def test_a_folder_of_such_folders_is_all_of_them(tmp_path, pictures):
    with named_videos([str(pictures)]) as found:
        assert [path.name for path in found] == [f"{c}{n}" for c in ("left", "right") for n in range(3)]


def test_pictures_of_several_sizes_are_refused_or_brought_to_one(tmp_path, pictures):
    odd = write_pictures(tmp_path / "odd", 1, "3.png", width=80, height=64)
    (odd / "3.png").replace(pictures / "left" / "left1" / "3.png")
    root = tmp_path / "root"

    prepare(["mine", "--root", str(root), "--videos", str(pictures), "--method", "dis", "--workers", "1"])

    row = read_index(index_path(root))["left1"]
    assert row.state == "ready" or "3.png" in row.reason or "size" in row.reason
