"""Videos as they come: turned, uneven, with alpha, grey, deep, odd, cut off, empty, oddly named, linked in circles."""

import cv2
import numpy as np
import pytest

from data.extraction.all_videos import Work, prepare
from data.extraction.decoder import Decoder
from data.extraction.one_video import Job, extract_video
from data.optical_flow.levels import dequantise
from data.ready import open_dataset
from data.store.description import Recipe
from data.store.index import index_path, read_index
from tests.makers.data import write_clip
from tests.makers.videos import (
    moving_frames,
    write_avi,
    write_png_avi,
    write_ten_bit_avi,
    write_turned,
    write_uneven,
)

RED = (230, 20, 20)


def extract(source, tmp_path, **recipe):
    folder = tmp_path / "out" / source.stem
    return extract_video(Job(source, folder, source.stem, "", Recipe(method="dis", **recipe))), folder


def frame_of(folder, number=1):
    return cv2.cvtColor(cv2.imread(str(folder / f"img_{number:05d}.jpg")), cv2.COLOR_BGR2RGB).astype(int)


def test_a_video_that_asks_to_be_turned_is_turned_before_flow_is_computed(tmp_path):
    source = write_turned(tmp_path / "turned.mp4", moving_frames(size=(64, 48), shift=3))

    row, folder = extract(source, tmp_path)

    frame = frame_of(folder)
    assert (row.state, row.width, row.height, row.frames, row.flows) == ("ready", 48, 64, 5, 4)
    assert abs(frame[10, -10] - RED).max() < 40  # What was upper left is upper right.
    assert abs(frame[10, 10] - RED).max() > 40
    moved = [dequantise(cv2.imread(str(folder / f"flow_{axis}_00002.jpg"), 0))[40:] for axis in "xy"]
    assert np.median(moved[1]) == pytest.approx(3, abs=0.7)  # What went right goes down.
    assert np.median(moved[0]) == pytest.approx(0, abs=0.7)


def test_uneven_frame_times_are_followed_where_frames_are_sampled_by_rate(tmp_path):
    frames = [np.full((40, 48, 3), 25 * index, np.uint8) for index in range(8)]
    # Frames begin at 0, .1, .2, .3, 1.3, 2.3, 2.4 and 2.5 seconds.
    source = write_uneven(tmp_path / "uneven.mp4", frames, (0.1, 0.1, 0.1, 1.0, 1.0, 0.1, 0.1, 0.1))

    every, _ = extract(source, tmp_path)
    by_rate, folder = extract(source, tmp_path / "sampled", fps=1)

    assert [round(seconds, 2) for seconds, _ in Decoder(source).frames()] == [0, 0.1, 0.2, 0.3, 1.3, 2.3, 2.4, 2.5]
    assert (every.frames, by_rate.frames) == (8, 3)
    assert [round(frame_of(folder, number).mean() / 25) for number in (1, 2, 3)] == [0, 4, 5]


def write_uneven_matroska(path, ticks):
    """Writes frames at these hundredths of a second; such a file counts the frames that a constant rate would have."""
    settings = [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 100, (48, 40), settings)
    for tick, frame in zip(ticks, moving_frames(len(ticks)), strict=True):
        writer.set(cv2.VIDEOWRITER_PROP_PTS, tick)
        writer.set(cv2.VIDEOWRITER_PROP_KEY_FLAG, 1)
        writer.write(cv2.imencode(".jpg", frame)[1].reshape(1, -1))
    writer.release()
    return path


def test_a_video_of_uneven_frames_is_not_taken_for_one_that_was_cut_off(tmp_path):
    whole = write_uneven_matroska(tmp_path / "whole.mkv", (0, 1, 2, 7, 8, 28, 29, 30, 50))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])

    rows = [extract(path, tmp_path)[0] for path in (whole, cut)]

    assert Decoder(whole).declared_frames == 51
    assert [(row.state, row.frames, row.reason) for row in rows[:1]] == [("ready", 9, "")]
    assert rows[1].reason.startswith(f"short: {rows[1].frames} of 51 frames")


def with_alpha(frames):
    return [np.dstack([frame[..., ::-1], np.full(frame.shape[:2], 128, np.uint8)]) for frame in frames]


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("alpha", lambda path, frames: write_png_avi(path, with_alpha(frames), bits=32)),
        ("16 bits", lambda path, frames: write_png_avi(path, [frame[..., ::-1] * np.uint16(257) for frame in frames])),
        (
            "raw with alpha",
            lambda path, frames: write_avi(
                path, [frame[::-1].tobytes() for frame in with_alpha(frames)], (48, 40), bytes(4), 32
            ),
        ),
    ],
)
def test_pixels_with_alpha_or_of_many_bits_become_the_same_frames(tmp_path, kind, make):
    frames = moving_frames()
    source = make(tmp_path / f"{kind}.avi", frames)

    row, _ = extract(source, tmp_path)

    assert (row.state, row.frames, row.flows, row.reason) == ("ready", 5, 4, "")
    for (_, decoded), frame in zip(Decoder(source).frames(), frames, strict=True):
        assert abs(decoded.astype(int) - frame).max() <= 1


@pytest.mark.parametrize("depth", [8, 10])
def test_grey_and_ten_bit_videos_become_grey_frames(tmp_path, depth):
    luma = [frame[..., 1] for frame in moving_frames(size=(48, 40))]
    if depth == 8:
        source = write_png_avi(tmp_path / "grey.avi", luma, bits=8)
    else:
        # Broadcast levels: black is 64 and white 940 of 1023.
        source = write_ten_bit_avi(tmp_path / "deep.avi", [(64 + plane * 876.0 / 255).astype(int) for plane in luma])

    row, folder = extract(source, tmp_path)

    frame = frame_of(folder)
    assert (row.state, row.frames, row.flows) == ("ready", 5, 4)
    assert np.ptp(frame, axis=2).max() <= 4
    assert abs(frame[..., 1] - luma[0].astype(int)).mean() < 6


@pytest.mark.parametrize("size", [(17, 16), (51, 37), (33, 127)])
def test_odd_sizes_keep_every_pixel(tmp_path, size):
    row, folder = extract(write_png_avi(tmp_path / "odd.avi", moving_frames(size=size)), tmp_path)

    assert (row.state, row.width, row.height) == ("ready", *size)
    assert frame_of(folder).shape[1::-1] == size


@pytest.mark.parametrize("declared", [0, 30])
def test_a_video_without_frames_is_broken_whatever_it_declares(tmp_path, declared):
    row, folder = extract(write_avi(tmp_path / "none.avi", [], (48, 40), declared=declared), tmp_path)

    assert row.state == "broken"
    assert row.reason
    assert not folder.exists()


def test_a_container_that_promises_more_frames_than_decode_is_said_to_be_short(tmp_path):
    row, _ = extract(write_png_avi(tmp_path / "promise.avi", moving_frames(6), declared=30), tmp_path)

    assert (row.state, row.reason) == ("ready", "short: 6 of 30 frames could be decoded")


@pytest.mark.parametrize("ending", ["mkv", "mp4", "webm"])
def test_a_file_that_was_cut_in_half_is_short_or_broken_and_never_whole(tmp_path, ending):
    codec = {"mkv": "FFV1", "mp4": "mp4v", "webm": "VP80"}[ending]
    source = write_clip(tmp_path / f"cut.{ending}", frames=40, codec=codec)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])

    row, _ = extract(source, tmp_path)

    assert row.state == "broken" or row.reason.startswith(f"short: {row.frames} of 40")
    assert row.reason


NAMES = ("a b", "it's", 'say "x"', "größe 東京", "50% %05d", "-rf", "#1;&|$(x)", "two\nlines", "[id] {video}")


def test_all_kinds_together_are_ready_or_recorded_with_the_reason_and_none_stops_another(tmp_path):
    root = tmp_path / "mine"
    for label in ("one", "ünd 'two'"):
        folder = root / "videos" / label
        for place, name in enumerate(NAMES):
            write_clip(folder / f"{name}{label[0]}.avi", frames=3, seed=place)
        (folder / "around").symlink_to(folder.parent)
        (folder / f"circle {label[0]}.avi").symlink_to(folder / f"circle {label[0]}.avi")
        write_png_avi(folder / f"single {label[0]}.avi", moving_frames(1))
        write_avi(folder / f"none {label[0]}.avi", [], (48, 40))
        write_png_avi(folder / f"short {label[0]}.avi", moving_frames(4), declared=9)
        (folder / f"text {label[0]}.mp4").write_text("no video")

    prepare(open_dataset("mine", root), recipe=Recipe(method="dis"), work=Work(workers=1))

    rows = read_index(index_path(root))
    broken = {name for name, row in rows.items() if row.state == "broken"}
    assert broken == {f"{kind} {end}" for kind in ("circle", "single", "none", "text") for end in "oü"}
    assert all(rows[name].reason for name in broken)
    assert {row.video for row in rows.values() if row.state == "ready" and row.reason} == {"short o", "short ü"}
    assert {row.video for row in rows.values() if row.state == "ready" and not row.reason} == {
        f"{name}{end}" for name in NAMES for end in "oü"
    }
    assert {row.state for row in rows.values()} == {"ready", "broken"}
