"""Tests that flow from the motion vectors of a video gives back made-up motion, for every kind of encoding."""

import json
import subprocess
import sys
from itertools import pairwise

import cv2
import numpy as np
import pytest

from data.extraction.coded_video import NoVectorsError, decoder_for
from data.extraction.decoder import USUAL, Decoder, resized, sample_frames, write_video
from data.extraction.one_video import Job, extract_video
from data.flow import flow_between, flow_of_video
from data.optical_flow.levels import dequantise
from data.prepare import main as prepare
from data.store.description import Recipe
from streams.runs.model_file import read_card
from tests.conftest import PROJECT
from tests.makers.moving_pictures import moving_scene, shifted_pair, texture
from tests.makers.videos import moving_frames, write_coded, write_turned

pytest.importorskip("av")

VECTORS = Recipe(method="motion-vectors")
AGAIN = Recipe(method="motion-vectors", parameters={"recode": True})
# What the encoders of cameras and data sets do: frames predicted from both sides, several references, key frames in
# the middle, quarters of pixels, blocks of all sizes, pictures that are lost.
CODES = {
    "plain": {"preset": "veryfast", "bf": 0, "refs": 1},
    "frames between others": {"bf": 2, "b_strategy": 0, "x264-params": "b-pyramid=none"},
    "a pyramid of them": {"bf": 5, "b_strategy": 0, "x264-params": "b-pyramid=normal"},
    "many references": {"bf": 0, "refs": 5, "preset": "slow"},
    "key frames": {"g": 4, "bf": 2},
    "MPEG-4": {"codec": "mpeg4", "qmin": 3, "qmax": 3},
    "MPEG-4 with all": {"codec": "mpeg4", "qmin": 3, "qmax": 3, "flags": "+mv4+qpel", "bf": 2, "g": 5},
}


def decoded(path, recipe=VECTORS):
    return [frame for _, frame in decoder_for(path, recipe, USUAL).frames()]


def flows(frames, recipe=VECTORS):
    return list(flow_of_video(frames, recipe.method, **recipe.parameters))


def middle(flow, border=24):
    return np.median(flow[border:-border, border:-border], axis=(0, 1))


def written(folder, frames, *, codec="libx264", **settings):
    return write_coded(folder / ("clip.mp4" if codec == "libx264" else "clip.avi"), frames, codec, **settings)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("motion", [(3, -2), (-1.5, 0.75)])
def test_every_pair_of_frames_has_the_motion_that_was_filmed(code, motion, tmp_path):
    frames = decoded(written(tmp_path, moving_scene(*motion), **CODES[code]))

    found = flows(frames)

    assert len(frames) == 12
    assert len(found) == 11
    for flow in found:
        assert (flow.dtype, flow.shape) == (np.float32, (96, 128, 2))
        np.testing.assert_allclose(middle(flow), motion, atol=0.3)


@pytest.mark.parametrize("code", CODES)
def test_frames_are_those_of_any_other_decoder(code, tmp_path):
    path = written(tmp_path, moving_scene(2, 1), **CODES[code])

    ours, usual = (list(decoder.frames()) for decoder in (decoder_for(path, VECTORS, USUAL), Decoder(path)))

    # OpenCV may tell no time of the last frame.
    assert [seconds for seconds, _ in ours[:-1]] == pytest.approx([seconds for seconds, _ in usual[:-1]])
    for (_, one), (_, other) in zip(ours, usual, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_stands_still_has_no_motion_beside_what_moves(tmp_path):
    still, moving = texture(96, 160), texture(40, 40, seed=9)
    frames = []
    for number in range(8):
        image = still.copy()
        image[32:72, 20 + 4 * number : 60 + 4 * number] = moving
        frames.append(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB))

    found = flows(decoded(written(tmp_path, frames)))

    for number, flow in enumerate(found):
        left = 20 + 4 * number
        np.testing.assert_allclose(np.median(flow[40:64, left + 8 : left + 32], axis=(0, 1)), (4, 0), atol=0.3)
        assert np.abs(flow[:24]).mean() < 0.1
        assert np.abs(flow[32:72, left + 60 :]).mean() < 0.1


def test_motion_of_a_reference_further_back_is_shared_out_among_the_frames(tmp_path):
    # Two scenes in turn: each frame resembles only the one before the last.
    one, other = moving_scene(3, 0), [255 - frame[::-1] for frame in moving_scene(3, 0)]
    frames = [(one, other)[number % 2][number] for number in range(12)]

    found = flows(decoded(written(tmp_path, frames, bf=0, refs=4, preset="slow", crf=12, sc_threshold=0)))

    for flow in found[2:]:
        np.testing.assert_allclose(middle(flow), (3, 0), atol=0.5)


def test_blocks_without_vectors_take_the_motion_around_them(tmp_path):
    frames = moving_scene(3, 1)
    for number, frame in enumerate(frames):
        frame[40:56, 56:72] = np.random.default_rng(number).integers(0, 256, (16, 16, 3))

    for flow in flows(decoded(written(tmp_path, frames, bf=0, refs=1)))[1:]:
        assert np.isfinite(flow).all()
        np.testing.assert_allclose(middle(flow), (3, 1), atol=0.3)
        assert np.linalg.norm(flow[44:52, 60:68] - (3, 1), axis=-1).mean() < 3


def test_motion_is_followed_over_frames_that_are_left_out_and_back_again(tmp_path):
    path = written(tmp_path, moving_scene(1.5, -1, count=14))

    kept = list(sample_frames(decoder_for(path, VECTORS, USUAL).frames(), every=3))
    back = flow_between(kept[1], kept[0], "motion-vectors")

    for flow in flows(kept):
        np.testing.assert_allclose(middle(flow), (4.5, -3), atol=0.4)
    np.testing.assert_allclose(middle(back), (-4.5, 3), atol=0.4)


def test_frames_too_far_apart_are_refused_in_words(tmp_path):
    frames = decoded(written(tmp_path, moving_scene(0.1, 0, count=70)))

    with pytest.raises(ValueError, match="over at most 64 frames of a video"):
        flow_between(frames[0], frames[-1], "motion-vectors")


def test_frames_of_another_size_move_in_their_own_pixels(tmp_path):
    frames = [resized(frame, size=(256, 48)) for frame in decoded(written(tmp_path, moving_scene(3, 2)))]

    for flow in flows(frames):
        assert flow.shape == (48, 256, 2)
        np.testing.assert_allclose(np.median(flow[12:-12, 48:-48], axis=(0, 1)), (6, 1), atol=0.4)


def test_a_turned_video_is_turned_with_its_motion(tmp_path):
    path = write_turned(tmp_path / "turned.mp4", moving_frames(size=(128, 96), shift=3))

    ours, usual = decoded(path), [frame for _, frame in Decoder(path).frames()]

    for one, other in zip(ours, usual, strict=True):
        np.testing.assert_array_equal(one, other)
    for flow in flows(ours):  # What went right goes down; the red quarter, now upper right, stays.
        np.testing.assert_allclose(np.median(flow[80:112, 16:80], axis=(0, 1)), (0, 3), atol=0.3)


def test_codecs_without_vectors_are_refused_by_name_or_coded_again(tmp_path):
    path, scene = tmp_path / "clip.avi", moving_scene(3, -2, count=4)
    write_video(path, iter(scene), 10.0, "MJPG")

    row = extract_video(Job(path, tmp_path / "out", "clip", "", VECTORS))
    again = extract_video(Job(path, tmp_path / "again", "clip", "", AGAIN))

    assert row.state == "broken"
    assert "Its codec, mjpeg, has no motion vectors; h264 and mpeg4 have." in row.reason
    assert "--set recode=True" in row.reason
    assert (again.state, again.flows) == ("ready", 3)
    for number in (1, 2, 3):
        levels = [cv2.imread(str(tmp_path / "again" / f"flow_{axis}_{number:05d}.jpg"), 0) for axis in "xy"]
        np.testing.assert_allclose(middle(dequantise(np.stack(levels, axis=-1))), (3, -2), atol=0.3)


def test_a_video_of_key_frames_alone_and_a_folder_of_pictures_are_refused(tmp_path):
    path = written(tmp_path, moving_scene(3, -2, count=4), g=1)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, frame in enumerate(moving_scene(3, -2, count=4)):
        cv2.imwrite(str(pictures / f"{number}.png"), frame)

    with pytest.raises(NoVectorsError, match="coded picture by picture"):
        decoded(path)
    with pytest.raises(NoVectorsError, match="a folder of pictures"):
        decoded(pictures)
    assert len(flows(decoded(pictures, AGAIN), AGAIN)) == 3


def test_any_two_frames_are_coded_in_memory_and_the_same_ones_have_no_motion():
    first, second = shifted_pair(3, -2)

    flow = flow_between(first, second, "motion-vectors")

    np.testing.assert_allclose(np.median(flow[15:-15, 15:-15], axis=(0, 1)), (3, -2), atol=0.2)
    assert not flow_between(first, first, "motion-vectors").any()
    np.testing.assert_array_equal(flow, flow_between(first, second, "motion-vectors"))


def test_a_damaged_stream_gives_the_frames_that_can_be_decoded(tmp_path):
    path = written(tmp_path, moving_scene(3, -2), g=4, bf=0)
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 2, len(data) // 2 + 200):
        data[place] ^= 0x5A
    path.write_bytes(data)

    frames = decoded(path)

    assert len(frames) >= 4
    assert all(np.isfinite(flow).all() for flow in flows(frames))


def test_a_pair_of_frames_has_the_same_flow_in_any_part_of_the_video(tmp_path):
    frames = decoded(written(tmp_path, moving_scene(2, 1)))

    whole = flows(frames)

    for pair, flow in zip(pairwise(frames), whole, strict=True):
        np.testing.assert_array_equal(flow_between(*pair, "motion-vectors"), flow)


def test_an_index_alone_has_no_motion_vectors(tmp_path, capsys):
    for name in ("left/1", "left/2", "right/1", "right/2"):
        write_coded(tmp_path / "videos" / f"{name}.mp4", moving_scene(1, 0, count=2))

    with pytest.raises(SystemExit):
        prepare(["mine", "--root", str(tmp_path), "--only", "index", "--method", "motion-vectors"])

    assert "leave out --only index, or --set recode=True" in capsys.readouterr().err


@pytest.mark.slow
def test_every_command_takes_flow_of_motion_vectors(tmp_path):
    for label, motion in {"left": (-3, 0), "right": (3, 0)}.items():
        for number in range(4):
            frames = moving_scene(*motion, count=10 + number, seed=number)
            write_coded(tmp_path / "clips" / label / f"{label}{number}.mp4", frames, bf=2)
    mine = ["--dataset", "mine", "--runs", tmp_path / "runs"]
    rooted = [*mine, "--root", tmp_path / "mine"]
    tiny = ["--crop-size", "32", "--epochs", "2", "--batch-size", "2", "--backbone", "small", "--weights", "none"]

    def command(*words):
        run = [sys.executable, *(str(word) for word in words)]
        done = subprocess.run(run, cwd=PROJECT, capture_output=True, text=True)
        assert not done.returncode, done.stderr
        return done.stdout

    words = ["--method", "motion-vectors", "--short-side", "0"]
    command("data/prepare.py", "mine", "--root", tmp_path / "mine", "--videos", tmp_path / "clips", *words)
    assert "errors" not in command("data/doctor.py", "mine", "--root", tmp_path / "mine").lower()
    for stream in ("spatial", "temporal"):
        command(f"{stream}/train.py", *rooted, *tiny)
    command("fusion/evaluate.py", *rooted, "--views", "2", "--crops", "1", "--no-questions")
    clip = tmp_path / "clips" / "left" / "left0.mp4"
    command("fusion/predict.py", clip, *mine, "--views", "2", "--json", tmp_path / "result.json")
    webm = write_coded(tmp_path / "other.webm", moving_scene(3, 0), "libvpx")
    coded_again = command("fusion/predict.py", webm, *mine, "--views", "2")
    command("fusion/export.py", *mine, "--check", clip, "--out", tmp_path / "exported")

    assert json.loads((tmp_path / "mine" / "flow.json").read_text())["method"] == "motion-vectors"
    card = read_card(tmp_path / "runs" / "mine" / "temporal" / "split1" / "model.keras")
    assert card.flow["method"] == "motion-vectors"
    assert "vp8, has no motion vectors" in coded_again
