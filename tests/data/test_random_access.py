"""Tests that decoding from the nearest key frame gives the same pixels as a pass over the whole video."""

import dataclasses
import json

import numpy as np
import pytest

from data.extraction.decoder import USUAL, Decoder, write_video
from data.extraction.on_demand import frames as random_access
from data.extraction.on_demand.frames import frames_at
from data.extraction.on_demand.indexing import index_video
from data.store.description import Recipe
from data.store.one_video import COUNTS
from data.store.seeking import SEEKING, read_seeking
from tests.makers.encoded import X264, encode
from tests.makers.videos import FRAME_RATE, moving_frames, write_turned, write_uneven

COUNT = 40
KINDS = {
    "h264.mp4": ("libx264", X264),
    "h264.mkv": ("libx264", X264),
    "h264.avi": ("libx264", {"g": "12", "bf": "0"}),
    "open_groups.mp4": ("libx264", {**X264, "x264-params": "open-gop=1:keyint=10:bframes=3:b-adapt=0:scenecut=0"}),
    "one_key_frame.mp4": ("libx264", {"g": "250", "bf": "2"}),
    "mpeg4.avi": ("mpeg4", {"g": "12"}),
    "mpeg4_b.mp4": ("mpeg4", {"g": "10", "bf": "2"}),
    "mpeg2.mpg": ("mpeg2video", {"g": "9", "bf": "2"}),
    "vp9.webm": ("libvpx-vp9", {"g": "10"}),
    "motion_jpeg.avi": ("mjpeg", {}),
}


def whole_pass(path):
    return [frame for _, frame in Decoder(path).frames()]


def index(path, **recipe):
    counts, seeking = index_video(path, Recipe(**recipe), USUAL)
    return counts, seeking


def assert_each_frame_is_exact(path, seeking, frames):
    for number, frame in enumerate(frames):
        ((found, pixels),) = frames_at(path, seeking, [number])
        assert found == number
        np.testing.assert_array_equal(pixels, frame, err_msg=f"{path.name}, frame {number}")


@pytest.mark.parametrize("name", KINDS)
def test_each_frame_alone_and_several_together_are_those_of_a_whole_pass(tmp_path, name):
    path = encode(tmp_path / name, *KINDS[name])
    frames = whole_pass(path)

    counts, seeking = index(path)

    assert (counts["frames"], counts["width"], counts["height"]) == (len(frames), 80, 64)
    assert_each_frame_is_exact(path, seeking, frames)
    together = dict(frames_at(path, seeking, [31, 3, 4, 17, 3]))
    assert sorted(together) == [3, 4, 17, 31]
    assert all(np.array_equal(pixels, frames[number]) for number, pixels in together.items())


@pytest.mark.parametrize(
    ("name", "key_frames"),
    [("h264.mp4", 4), ("h264.mkv", 4), ("h264.avi", 4), ("one_key_frame.mp4", 1), ("mpeg4.avi", 4), ("vp9.webm", 4)],
)
def test_decoding_begins_at_the_key_frame_before(tmp_path, name, key_frames):
    path = encode(tmp_path / name, *KINDS[name])

    _, seeking = index(path)

    assert seeking.codec
    assert len(set(seeking.start_of.tolist())) == key_frames


def test_a_frame_that_is_shown_before_its_key_frame_is_decoded_from_the_one_before(tmp_path):
    path = encode(tmp_path / "open_groups.mp4", *KINDS["open_groups.mp4"])

    _, seeking = index(path)

    assert seeking.codec and len(set(seeking.start_of.tolist())) > 2
    # Starts rise with the numbers of frames, except for frames that are shown before the key frame of their group.
    later_packet = [
        number
        for number in range(1, COUNT)
        if seeking.packet_of[number] > seeking.start_of[number]
        and any(seeking.start_of[number] < key <= seeking.packet_of[number] for key in set(seeking.start_of.tolist()))
    ]
    assert later_packet


def test_frames_to_which_no_other_refers_are_left_out(tmp_path):
    path = encode(tmp_path / "h264.mp4", *KINDS["h264.mp4"])
    _, seeking = index(path)
    last = int(np.flatnonzero(seeking.start_of == 0)[-1])

    with path.open("rb") as file:
        decoded = list(random_access.decoded(file.fileno(), seeking, range(12), {seeking.packet_of[last]}))

    assert seeking.skips
    assert len(decoded) < 12


def test_a_video_that_is_held_upright_is_turned(tmp_path):
    path = write_turned(tmp_path / "turned.mp4", moving_frames(8))
    frames = whole_pass(path)

    counts, seeking = index(path)

    assert (counts["width"], counts["height"]) == (40, 48)
    assert seeking.codec and seeking.turn == 3
    assert_each_frame_is_exact(path, seeking, frames)


def test_only_kept_frames_are_counted_and_found(tmp_path):
    path = write_uneven(tmp_path / "uneven.mp4", moving_frames(8), [0.1, 0.1, 0.3, 0.1, 0.1, 0.5, 0.1, 0.1])
    frames = whole_pass(path)

    counts, third = index(path, every=3, short_side=20)
    _, a_few = index(path, fps=4.0)

    assert (counts["frames"], counts["flows"], counts["height"]) == (3, 2, 20)
    assert_each_frame_is_exact(path, third, frames[::3])
    assert len(a_few.packet_of) < 8
    assert_each_frame_is_exact(path, a_few, [frames[packet] for packet in a_few.packet_of])


def test_a_stream_whose_packets_are_scattered_is_decoded_from_the_beginning(tmp_path):
    path = encode(tmp_path / "transport.ts", "mpeg2video", {"g": "9"})
    frames = whole_pass(path)

    _, seeking = index(path)

    assert seeking.codec == ""
    assert_each_frame_is_exact(path, seeking, frames)


def test_a_video_that_has_changed_is_refused(tmp_path):
    path = encode(tmp_path / "a.mp4", *KINDS["h264.mp4"])
    _, seeking = index(path)

    path.write_bytes(path.read_bytes() + b"\0")

    with pytest.raises(ValueError, match=r"It has .* bytes, and had .* when it was indexed"):
        list(frames_at(path, seeking, [0]))


def test_a_video_too_short_for_flow_is_refused(tmp_path):
    write_video(tmp_path / "one.avi", iter(moving_frames(2)), FRAME_RATE)

    with pytest.raises(ValueError, match=r"Only 2 frames can be decoded and kept; flow needs 3"):
        index(tmp_path / "one.avi", step=2)


@pytest.fixture
def stored(tmp_path):
    """The folder of an indexed video, its counts and its table."""
    path = encode(tmp_path / "a.mp4", *KINDS["h264.mp4"])
    counts, seeking = index(path)
    (tmp_path / SEEKING).write_bytes(seeking.content())
    (tmp_path / COUNTS).write_text(json.dumps(counts))
    return tmp_path, counts, seeking


def test_what_is_stored_is_read_again(stored):
    folder, _, seeking = stored

    again = read_seeking(folder)

    for name in (field.name for field in dataclasses.fields(seeking)):
        np.testing.assert_array_equal(getattr(again, name), getattr(seeking, name))


@pytest.mark.parametrize(
    ("column", "value"), [(0, -1), (0, 2**40), (1, 2**40), (2, 10**6), (3, -1), (3, 10**6)], ids=str
)
def test_a_table_that_points_outside_of_the_video_is_refused(stored, column, value):
    folder, _, _ = stored
    table = np.fromfile(folder / SEEKING, np.int64).reshape(-1, 4)
    table[5, column] = value
    table.tofile(folder / SEEKING)

    with pytest.raises(ValueError, match=r"does not say where its frames lie .*points outside of the video"):
        read_seeking(folder)


def test_a_codec_that_is_none_of_videos_is_refused(stored):
    folder, counts, _ = stored
    (folder / COUNTS).write_text(json.dumps({**counts, "codec": "aac"}))

    with pytest.raises(ValueError, match=r"aac is no codec of videos"):
        list(frames_at(folder / "a.mp4", read_seeking(folder), [0]))
