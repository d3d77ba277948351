import json

import numpy as np
import pytest
from PIL import Image

from pipelines import show
from pipelines.inputs import Input
from pipelines.sheet import drawing
from tests.makers.data import sound_data


def row_of(clip, image, numbers):
    return drawing.Row(clip, [image], [numbers])


def test_still_flow_is_white_and_motion_is_coloured():
    field = np.zeros((8, 8, 2), np.float32)
    field[:, 4:, 0] = 2.0

    (picture,) = drawing.parts_of(row_of(Input("flow", 1), field, [3]), 0, {"flow": 2.0})

    assert (picture[:, :4] == 255).all()
    np.testing.assert_array_equal(picture[:, 4:], np.broadcast_to([255, 0, 0], (8, 4, 3)))


def test_differences_are_stretched_around_grey():
    frames = np.concatenate([np.full((4, 4, 3), level, np.uint8) for level in (10, 20, 0)], axis=-1)

    first, second = drawing.parts_of(row_of(Input("rgb_difference", 2), frames, [1, 2, 3]), 0, {"rgb_difference": 20.0})

    assert (first == 128 + 63).all()
    assert (second == 1).all()


@pytest.mark.parametrize(
    ("clip", "numbers", "names"),
    [
        (Input("rgb"), [4], ["4"]),
        (Input("sg3i"), [4, 5, 6], ["4 5 6"]),
        (Input("rgb_difference", 2), [4, 5, 6], ["5 − 4", "6 − 5"]),
        (Input("flow", 2), [4, 5], ["4 → 5", "5 → 6"]),
        (Input("bidirectional", 4), [6, 7, 5, 4], ["6 → 7", "7 → 8", "6 → 5", "5 → 4"]),
    ],
)
def test_each_part_says_of_which_frames_it_is(clip, numbers, names):
    assert drawing.names_of(row_of(clip, None, numbers), 0) == names


@pytest.mark.parametrize("augment", [pytest.param("none", marks=pytest.mark.slow), "corners"])
def test_the_sheet_shows_all_inputs_of_a_batch_and_says_what_was_drawn(tmp_path, capsys, augment):
    root, out, found = sound_data(tmp_path / "mine"), tmp_path / "sheet.png", tmp_path / "found.json"
    words = ["--dataset", "mine", "--root", str(root), "--crop-size", "48", "--length", "2", "--augment", augment]

    show.main([*words, "--out", str(out), "--json", str(found)])

    picture = np.asarray(Image.open(out).convert("RGB")).reshape(-1, 3)
    assert len(np.unique(picture, axis=0)) > 500
    described = json.loads(found.read_text())
    assert "warped" not in described["inputs"]
    assert {clip["video"] for clip in described["clips"]} == {"left0", "right0"}
    if augment == "none":
        assert [clip["box"] for clip in described["clips"]] == [[8, 16, 48, 48]] * 2
    assert f"Wrote {out}" in capsys.readouterr().out


@pytest.mark.parametrize(("shown", "box"), [("most", [4, 12, 56, 56]), ("whole", [0, 0, 64, 80])])
def test_the_box_is_what_a_training_shows_of_a_frame(shown, box, tmp_path):
    root, found = sound_data(tmp_path / "mine"), tmp_path / "found.json"
    words = ["--dataset", "mine", "--root", str(root), "--augment", "none", "--inputs", "rgb", "--shown", shown]

    show.main([*words, "--out", str(tmp_path / "sheet.png"), "--json", str(found)])

    assert [clip["box"] for clip in json.loads(found.read_text())["clips"]] == [box] * 2


def test_warped_flow_is_refused_where_there_is_none(tmp_path):
    root = sound_data(tmp_path / "mine")

    with pytest.raises(ValueError, match=r"was made by the method 'dis', and is not compensated for the camera"):
        show.main(["--dataset", "mine", "--root", str(root), "--inputs", "warped", "--out", str(tmp_path / "a.png")])


@pytest.mark.parametrize(
    "words",
    [
        "--inputs depth",
        "--clips 0",
        "--clips -1",
        "--clips two",
        "--crop-size 0",
        "--length 0",
        "--split 0",
        "--augment all",
    ],
)
def test_what_no_sheet_can_be_drawn_of_is_a_wrong_argument(words, capsys):
    with pytest.raises(SystemExit) as ended:
        show.main(words.split())

    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"argument {words.split()[0]}: " in said
    assert "_positive" not in said


def test_a_crop_that_no_frame_holds_is_answered_with_one_that_it_does(tmp_path):
    root = sound_data(tmp_path / "mine")
    words = ["--dataset", "mine", "--root", str(root), "--augment", "flip", "--crop-size", "500"]

    with pytest.raises(
        ValueError, match=r"img_\d+\.jpg has 80 x 64 pixels, too few for .* 500\. Pass --crop-size 64 or"
    ):
        show.main([*words, "--out", str(tmp_path / "a.png")])

    assert not (tmp_path / "a.png").exists()
