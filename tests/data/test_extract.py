"""One video to one folder: what is written, what is refused, and what a second attempt knows."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.extraction.decoder import Decoder, sample_frames
from data.extraction.one_video import Job, extract_video, finished_row
from data.optical_flow.levels import dequantise
from data.store.description import Recipe
from tests.makers.data import write_clip


def job_of(source, tmp_path, **recipe):
    return Job(source, tmp_path / "out" / source.stem, source.stem, "", Recipe(method="dis", **recipe))


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def test_frames_and_flow_are_written_and_flow_points_where_the_picture_moves(tmp_path):
    source = write_clip(tmp_path / "a b'ü.avi", frames=4, shift=3, size=(80, 64))

    row = extract_video(job_of(source, tmp_path))

    names = list(contents(tmp_path / "out" / "a b'ü"))
    assert (row.frames, row.flows, row.width, row.height, row.state, row.reason) == (4, 3, 80, 64, "ready", "")
    assert names == [
        *(f"flow_{axis}_{number:05d}.jpg" for axis in "xy" for number in (1, 2, 3)),
        *(f"img_{number:05d}.jpg" for number in (1, 2, 3, 4)),
        "video.json",
    ]
    levels = [cv2.imread(str(tmp_path / "out" / "a b'ü" / f"flow_{axis}_00002.jpg"), 0) for axis in "xy"]
    x, y = (np.median(dequantise(level)) for level in levels)
    assert (x, y) == (pytest.approx(3, abs=0.4), pytest.approx(0, abs=0.4))


def test_frames_are_resized_before_flow_is_computed(tmp_path):
    source = write_clip(tmp_path / "a.avi", frames=3, size=(82, 62))

    by_side = extract_video(job_of(source, tmp_path, short_side=32))
    exact = extract_video(Job(source, tmp_path / "exact", "a", "", Recipe(method="dis", size=(40, 20))))

    assert (by_side.width, by_side.height) == (42, 32)
    assert (exact.width, exact.height) == (40, 20)
    assert cv2.imread(str(tmp_path / "exact" / "flow_x_00001.jpg"), 0).shape == (20, 40)


def test_backward_flow_is_the_opposite_of_forward_flow(tmp_path):
    source = write_clip(tmp_path / "a.avi", frames=4, shift=1, size=(80, 64))

    row = extract_video(job_of(source, tmp_path, backward=True, step=2))

    folder = tmp_path / "out" / "a"
    forward, back = (
        np.median(dequantise(cv2.imread(str(folder / f"{kind}_x_00001.jpg"), 0))) for kind in ("flow", "back")
    )
    assert row.flows == 2
    assert forward == pytest.approx(2, abs=0.6)
    assert back == pytest.approx(-2, abs=0.6)


def test_frames_first_and_flow_later_are_the_same_files_as_both_at_once(tmp_path):
    source = write_clip(tmp_path / "a.avi")
    both = Job(source, tmp_path / "both", "a", "", Recipe(method="dis"))
    frames, flow = (
        Job(source, tmp_path / "parts", "a", "", Recipe(method="dis", only=only)) for only in ("frames", "flow")
    )

    extract_video(both)
    only_frames = extract_video(frames)
    then_flow = extract_video(flow)

    assert (only_frames.frames, only_frames.flows) == (5, 0)
    assert then_flow == finished_row(both)
    assert contents(tmp_path / "parts") == contents(tmp_path / "both")


@pytest.mark.parametrize(
    ("fps", "kept"), [(5, [0, 2, 4, 6, 8]), (4, [0, 3, 5, 8]), (10, list(range(10))), (25, list(range(10)))]
)
def test_sampling_by_rate_takes_the_first_frame_of_each_tick(tmp_path, fps, kept):
    source = write_clip(tmp_path / "a.avi", frames=10, fps=10.0)
    all_frames = [frame for _, frame in Decoder(source).frames()]

    sampled = list(sample_frames(Decoder(source).frames(), fps=fps, frame_rate=10.0))

    assert [next(i for i, frame in enumerate(all_frames) if (frame == one).all()) for one in sampled] == kept


def make_bad_files(folder):
    folder.mkdir()
    good = write_clip(folder / "good.avi", frames=30)
    (folder / "empty.avi").write_bytes(b"")
    (folder / "text.mp4").write_text("not a video, whatever its name")
    (folder / "playlist.avi").write_text("#EXTM3U\nhttp://example.org/video.mp4\n")
    (folder / "cut.avi").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    write_clip(folder / "single.avi", frames=1)
    (folder / "a_folder.avi").mkdir()
    (folder / "nowhere.avi").symlink_to(folder / "not_there")
    (folder / "circle.avi").symlink_to(folder / "circle.avi")
    os.mkfifo(folder / "pipe.avi")
    write_clip(folder / "tiny.avi", size=(16, 12))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty.avi", "empty"),
        ("text.mp4", "can't be opened as a video"),
        ("playlist.avi", "playlist"),
        ("single.avi", "Only 1 frame can"),
        ("a_folder.avi", "not a regular file"),
        ("nowhere.avi", "no such file"),
        ("circle.avi", "can't be read"),
        ("pipe.avi", "not a regular file"),
        ("tiny.avi", "at least 16"),
    ],
)
def test_what_is_no_usable_video_becomes_a_row_with_the_reason(tmp_path, name, reason):
    make_bad_files(tmp_path / "in")

    row = extract_video(job_of(tmp_path / "in" / name, tmp_path))

    assert row.state == "broken"
    assert reason in row.reason
    assert not any((tmp_path / "out").iterdir())


def test_a_file_that_was_cut_off_is_used_and_said_to_be_short(tmp_path):
    make_bad_files(tmp_path / "in")

    row = extract_video(job_of(tmp_path / "in" / "cut.avi", tmp_path))

    assert row.state == "ready"
    assert row.reason.startswith(f"short: {row.frames} of 30")


@pytest.mark.parametrize(("codec", "ending"), [("FFV1", "mkv"), ("mp4v", "mp4"), ("VP80", "webm")])
def test_odd_sizes_and_other_codecs_are_read(tmp_path, codec, ending):
    source = write_clip(tmp_path / f"a.{ending}", size=(51, 37), codec=codec)

    row = extract_video(job_of(source, tmp_path))

    assert (row.state, row.frames, row.flows) == ("ready", 5, 4)


def test_a_folder_that_lost_the_content_of_a_file_is_not_taken_for_finished(tmp_path):
    job = job_of(write_clip(tmp_path / "a.avi"), tmp_path)
    row = extract_video(job)

    (job.folder / "flow_y_00003.jpg").write_bytes(b"")

    assert finished_row(job) == row
    assert finished_row(job, check_files=True) is None
