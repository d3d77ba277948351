import csv
import json
import os
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from data.extraction.decoder import Decoder, read_frames
from fusion.predict import main
from tests.makers.models import CLASSES, make_model, make_video

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [f"--{name}={make_model(folder / f'{name}.keras', name)}" for name in ("spatial", "temporal")]


def glances(capsys, *arguments):
    main([*arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def test_a_file_played_as_a_live_source_is_looked_at_a_few_times_a_second(models, tmp_path, capsys):
    video = make_video(tmp_path / "clip.avi", 36, frame_rate=12)

    seen = glances(capsys, "--camera", str(video), *models)

    assert 3 <= len(seen) <= 14  # Three seconds, four times a second at most, and once at the end.
    assert [glance["seconds"] for glance in seen] == sorted(glance["seconds"] for glance in seen)
    assert seen[-1]["seconds"] <= 3.5
    assert seen[-1]["frames"] <= 36
    assert all(0 < glance["latency"] < 3 for glance in seen)
    assert {label for label, _ in seen[-1]["top"]} == set(CLASSES)


def test_a_pipe_is_watched_while_it_is_written(models, tmp_path, capsys):
    video, pipe = make_video(tmp_path / "clip.avi", 36, frame_rate=12), tmp_path / "pipe"
    os.mkfifo(pipe)

    def write():
        with pipe.open("wb") as file:
            shutil.copyfileobj(video.open("rb"), file)

    threading.Thread(target=write, daemon=True).start()
    seen = glances(capsys, "--camera", str(pipe), *models)

    assert seen[-1]["frames"] == 36
    assert {label for label, _ in seen[-1]["top"]} == set(CLASSES)


def test_a_stream_of_this_machine_is_watched_by_its_address(models, tmp_path, capsys):
    make_video(tmp_path / "clip.avi", 36, frame_rate=12)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        seen = glances(capsys, "--camera", f"http://127.0.0.1:{server.server_port}/clip.avi", *models)
        server.shutdown()

    assert seen[-1]["frames"] == 36


def test_flow_that_can_not_keep_up_is_replaced_and_that_is_said(models, tmp_path, capsys):
    video = make_video(tmp_path / "clip.avi", 100, frame_rate=50, width=192, height=144)

    seen = glances(capsys, "--camera", str(video), *models, "--method", "opencv-tvl1")

    (note,) = [glance["note"] for glance in seen if glance["note"]]
    assert note.startswith("opencv-tvl1 can't keep up with 50 frames per second; now dis is used")
    assert seen[-1]["method"] == "dis"
    assert seen[-1]["dropped"] > 0


def test_a_source_that_is_none_is_refused(models):
    with pytest.raises(ValueError, match="nothing-here can't be opened"):
        main(["--camera", "nothing-here", *models])


def test_a_video_and_a_camera_are_not_mixed(models, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main(["a.avi", "--camera", "0", *models])

    assert ended.value.code == 2


def test_what_is_asked_for_of_a_file_is_written_of_a_live_source_too(models, tmp_path, capsys):
    video = make_video(tmp_path / "clip.avi", 36, frame_rate=12, width=128, height=96)
    wanted = {name: tmp_path / f"out.{name}" for name in ("csv", "png", "avi")}
    wanted["segments"] = tmp_path / "segments.csv"

    options = ["--csv", wanted["csv"], "--timeline", wanted["png"], "--save", wanted["avi"]]
    seen = glances(
        capsys, "--camera", str(video), *models, *map(str, options), "--segments", str(wanted["segments"]), "--top", "2"
    )

    rows = list(csv.DictReader(wanted["csv"].open()))
    assert len(rows) == 2 * len(seen) and rows[0]["class"] == seen[0]["top"][0][0]
    assert [int(row["delay_ms"]) for row in rows[::2]] == [glance["delay_ms"] for glance in seen]
    assert wanted["png"].stat().st_size > 10_000
    film = list(read_frames(wanted["avi"]))
    # A dropped frame repeats the one before it, so that the film lasts as long as what was seen.
    assert abs(len(film) - seen[-1]["frames"]) <= 4 and film[0].shape[1] == 640
    assert Decoder(wanted["avi"]).frame_rate == pytest.approx(12)
    segments = list(csv.DictReader(wanted["segments"].open()))
    assert set(segments[0]) == {"video", "start", "end", "class", "confidence"}
    assert all(float(each["start"]) < float(each["end"]) for each in segments)


def test_a_decision_that_may_wait_is_about_an_earlier_moment_and_says_how_late_it_is(models, tmp_path, capsys):
    video = make_video(tmp_path / "clip.avi", 36, frame_rate=12)

    seen = glances(capsys, "--camera", str(video), *models, "--delay", "800", "--hop", "0.5")

    assert all(800 <= glance["delay_ms"] < 3800 for glance in seen)
    assert seen[-1]["seconds"] <= 3.5 - 0.8
    assert len(seen) <= 7


@pytest.mark.parametrize("option", [["--views", "25"], ["--partial"], ["--most-frames", "9"], ["--truth", "a.csv"]])
def test_what_can_not_be_done_with_a_live_source_is_refused(option, models, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--camera", "0", *models, *option])

    assert ended.value.code == 2
    assert f"{option[0]} can't be used with --camera" in capsys.readouterr().err
