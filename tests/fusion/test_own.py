"""`./run own` makes a report and a model from a folder of clips, and explains when it can't."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import pytest
from PIL import Image

from data.extraction.decoder import read_frames
from fusion.own import Trained, _name_of, _parse, main, state_of
from fusion.own_plan import Clips, Clock, duration, plan_for, sentences
from tests.conftest import PROJECT
from tests.makers.data import write_clip
from tests.makers.imagenet import write_imagenet
from tests.makers.videos import moving_frames, write_turned

MOTIONS = {"left": (-2, 0), "right": (2, 0)}


def write_clips(folder, count=6, *, classes=MOTIONS, frames=8, sizes=((80, 64),)):
    """Writes clips whose motion is their class, and whose look is that of no other."""
    place = 0
    for label, (shift, down) in classes.items():
        for number in range(count):
            path, size = folder / label / f"{label}_{number}.avi", sizes[place % len(sizes)]
            write_clip(path, frames=frames, shift=shift, down=down, size=size, seed=place)
            place += 1
    return folder


def test_with_all_the_time_there_is_the_best_is_done_with_all_clips():
    plan = plan_for(Clips(200), None, 2)

    assert (plan.recipe, plan.questions, plan.limit) == ("own", True, 0)


def test_less_time_costs_questions_first_then_quality_and_clips_last():
    clips = Clips(200)
    best = plan_for(clips, None, 2).minutes
    without = plan_for(clips, best - 0.1, 2)
    quick = plan_for(clips, without.minutes - 0.1, 2)
    few = plan_for(clips, quick.minutes - 1, 2)

    assert best > without.minutes > quick.minutes > few.minutes
    assert [(plan.recipe, plan.questions) for plan in (without, quick, few)] == [
        ("own", False),
        ("own-quick", False),
        ("own-quick", False),
    ]
    assert [without.limit, quick.limit] == [0, 0]
    assert 20 <= few.limit < 200


@pytest.mark.parametrize("minutes", [0.1, 1, 2, 5, 10, 30])
def test_a_plan_takes_no_more_than_the_time_that_is_given_once_twenty_clips_fit(minutes):
    plan = plan_for(Clips(1000), minutes, 2)

    assert plan.minutes <= max(minutes, plan_for(Clips(20), 0.1, 2).minutes)


def test_more_processors_take_less_time_and_longer_clips_more():
    assert plan_for(Clips(200), None, 8).minutes < plan_for(Clips(200), None, 2).minutes
    assert plan_for(Clips(200, 40.0), None, 2).minutes > plan_for(Clips(200), None, 2).minutes + 10


def test_two_hundred_clips_of_two_seconds_take_ten_minutes_at_most():
    assert plan_for(Clips(200), None, 2).minutes <= 10


def test_what_a_plan_leaves_out_and_what_more_time_would_bring_is_said():
    clips = Clips(200)

    def said(minutes):
        return " ".join(sentences(clips, plan_for(clips, minutes, 2), minutes, 2))

    assert "More time would bring nothing" in said(60)
    assert "only 20 of 200 clips are used" in said(0.5) and "Even so" in said(0.5)
    best = plan_for(clips, None, 2).minutes
    least = int(re.search(r"With --minutes (\d+), nothing would be left out", said(2)).group(1))
    assert best <= least <= best + 1
    assert "nothing would be left out" not in said(least)


@pytest.mark.parametrize("count", [3, 20, 500])
def test_the_time_left_is_that_of_the_steps_to_come_at_the_pace_so_far(count):
    plan = plan_for(Clips(count), None, 2)
    steps = [*plan.seconds]
    clock = Clock(plan.seconds)
    assert clock.left(steps) == pytest.approx(60 * plan.minutes)

    for place, step in enumerate(steps):
        clock.taken[step] = 3 * plan.seconds[step]  # Three times as slow as planned.

        rest, left = sum(plan.seconds[later] for later in steps[place + 1 :]), clock.left(steps[place + 1 :])
        assert rest <= left <= 3 * rest
        if place > 2:  # By then the pace is known.
            assert left >= 2 * rest


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "5 s"), (41, "40 s"), (89, "90 s"), (95, "2 min"), (600, "10 min"), (4800, "1 h 20 min")]
)
def test_a_time_is_said_as_people_do(seconds, said):
    assert duration(seconds) == said


def test_a_data_set_is_named_after_its_folder_in_letters_that_a_name_may_have(tmp_path):
    folder = tmp_path / "my clips (2)"
    folder.mkdir()

    assert _name_of(folder) == "my_clips__2_"


def test_clips_are_counted_wherever_they_lie_and_their_size_is_looked_at(tmp_path):
    write_clip(tmp_path / "a" / "b" / "2.avi", frames=10, size=(80, 64))
    for name in ("a/1.avi", "c/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    found = Clips.of(tmp_path)

    assert found.count == 2
    assert found.size == pytest.approx(10 * 80 * 64 / 1e6)


@pytest.mark.parametrize(("words", "said"), [(["nowhere"], "not a folder"), ([".", "--minutes", "0"], "above 0")])
def test_wrong_words_end_with_2_and_one_sentence(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        _parse(words)

    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_other_clips_or_another_recipe_train_a_stream_again_and_the_same_ones_do_not(tmp_path):
    root, folder, file = tmp_path / "data", tmp_path / "clips", tmp_path / "runs" / "own.json"
    root.mkdir(), folder.mkdir()
    (root / "index.csv").write_text("first")

    def trained(recipe="own", stream="spatial"):
        return Trained(file, stream, state_of(root, folder, ["--recipe", recipe]))

    assert not trained().is_of_before  # Nothing is known of it: whoever trains says what is there.
    trained().keep()
    trained("own-quick", "temporal").keep()
    assert not trained().is_of_before
    assert trained("own-quick").is_of_before
    assert trained(stream="temporal").is_of_before
    for path in (root / "index.csv", root / "flow.json", folder / "videos.csv"):
        path.write_text("second")
        assert trained().is_of_before
        trained().keep()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder with a stand-in for the ImageNet file."""
    return write_imagenet(tmp_path_factory.mktemp("weights")).parent


def own(folder, place, weights, *words, stop_at=""):
    """Runs the command, and returns its exit code and what it said; stopped as by Ctrl-C once it says `stop_at`."""
    command = [sys.executable, "fusion/own.py", str(folder), "--datasets", str(place / "datasets")]
    environment = {**os.environ, "TWO_STREAM_WEIGHTS": str(weights), "KERAS_HOME": str(place / "keras")}
    command += ["--runs", str(place / "runs"), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "encoding": "utf-8"}
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # Tests in the background ignore Ctrl-C.
    process = subprocess.Popen(command, cwd=PROJECT, env=environment, start_new_session=True, preexec_fn=heard, **pipes)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if stop_at and stop_at in line:
            time.sleep(3)  # Into the step, whose process may have imported what it needs, or not yet.
            os.killpg(process.pid, signal.SIGINT)
            stop_at = ""
    code = process.wait(timeout=60)
    errors = [line for line in lines if line.startswith("Error:")]
    return SimpleNamespace(code=code, said=" ".join("".join(lines).split()), errors=errors)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_clips_become_a_report_and_a_model_and_a_second_time_nothing_anew(tmp_path, weights):
    folder = write_clips(tmp_path / "moving")

    first = own(folder, tmp_path, weights)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("model.keras")}
    second = own(folder, tmp_path, weights)

    assert (first.code, second.code) == (0, 0), first.said
    place = tmp_path / "runs" / "moving"
    assert (place / "fusion" / "split1" / "report.html").is_file()
    assert len(kept) == 2
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    third = own(folder, tmp_path, weights, "--minutes", "0.1")
    fourth = own(write_clips(folder, 7), tmp_path, weights)
    assert (third.code, fourth.code) == (0, 0), third.said + fourth.said
    assert third.said.count("this stream is trained again") == fourth.said.count("this stream is trained again") == 2
    for part in ("both streams 100.0% (95 % interval", "temporal 100.0%", "./run predict VIDEO --dataset moving"):
        assert part in first.said
    assert "Features ━" in first.said
    assert "Features ━" not in second.said


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("one class", "at least two classes. Found: left. Put the videos of each class into a folder of its own"),
        ("one frame", "No video is ready. The first reason: Only 1 frame can be decoded and kept; flow needs 2."),
        ("one group", "12 videos in 1 groups can't be split into training and test"),
        ("a group a class", "12 videos in 2 groups can't be split into training and test"),
    ],
)
def test_clips_that_nothing_can_be_learnt_from_end_with_one_reason_and_a_way_to_go_on(tmp_path, weights, case, message):
    folder = write_clips(
        tmp_path / "clips",
        classes={"left": (-2, 0)} if case == "one class" else MOTIONS,
        frames=1 if case == "one frame" else 6,
    )
    folder.mkdir(exist_ok=True)
    if "group" in case:
        rows = [
            f"{label}/{label}_{number}.avi,{label},{'all' if case == 'one group' else label}"
            for label in MOTIONS
            for number in range(6)
        ]
        (folder / "videos.csv").write_text("\n".join(["video,label,group", *rows]))

    done = own(folder, tmp_path, weights)

    assert done.code != 0
    assert message in done.said
    assert len(done.errors) == 2  # The reason, and that the same command goes on once it is mended.
    assert "the same command goes on" in done.errors[-1]
    assert "Traceback" not in done.said


def test_a_folder_without_clips_is_said_before_anything_is_done(tmp_path):
    (tmp_path / "left").mkdir()

    with pytest.raises(ValueError, match=r"holds no videos and no folders of pictures. Put the clips of each class"):
        main([str(tmp_path), "--datasets", str(tmp_path / "datasets")])

    assert not (tmp_path / "datasets").exists()


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("case", ["three clips a class", "mixed sizes", "folders of pictures"])
def test_few_clips_and_clips_of_several_sizes_or_as_pictures_go_through(tmp_path, weights, case):
    sizes = ((80, 64), (64, 96), (120, 80)) if case == "mixed sizes" else ((80, 64),)
    folder = write_clips(tmp_path / "clips", 3, sizes=sizes)
    if case == "folders of pictures":
        for path in folder.rglob("*.avi"):
            path.with_suffix("").mkdir()
            for number, frame in enumerate(read_frames(path)):
                Image.fromarray(frame).save(path.with_suffix("") / f"frame_{number}.jpg")
            path.unlink()
        (folder / "left" / "notes.txt").write_text("Clips of Monday.")

    done = own(folder, tmp_path, weights)

    assert done.code == 0, done.said
    assert "Checked on 3 videos" in done.said
    assert (tmp_path / "runs" / "clips" / "fusion" / "split1" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_clips_as_phones_and_people_make_them_go_through_and_the_broken_one_is_named(tmp_path, weights):
    folder = write_clips(tmp_path / "meine Clips für ヨガ", 6, classes={"links herum": (-2, 0), "右": (2, 0)})
    for place, path in enumerate(sorted(folder.rglob("*.avi"))):
        path.rename(path.with_name(f"clip ({place}) é.avi"))
    write_clip(folder / "links herum" / "slow.avi", frames=8, shift=-2, size=(80, 64), fps=7.5)
    write_clip(folder / "右" / "fast.avi", frames=16, shift=2, size=(80, 64), fps=60.0)
    write_turned(folder / "右" / "upright phone.mp4", moving_frames(8, (80, 64)))
    (folder / "右" / "broken one.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(500))

    done = own(folder, tmp_path, weights)

    assert done.code == 0, done.said
    assert "1 broken" in done.said
    rows = (tmp_path / "datasets" / "meine_Clips_für_ヨガ" / "index.csv").read_text(encoding="utf-8")
    assert re.search("upright phone,.*,64,80", rows)  # Turned as its metadata ask for.
    assert (tmp_path / "runs" / "meine_Clips_für_ヨガ" / "fusion" / "split1" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_stopped_at_any_step_the_same_command_goes_on(tmp_path, weights):
    folder = write_clips(tmp_path / "moving")

    for step in range(1, 7):
        stopped = own(folder, tmp_path, weights, stop_at=f"[{step}/6]")
        assert stopped.code == 130, stopped.said
        assert "Stopped. The same command goes on from here." in stopped.said
        assert "Traceback" not in stopped.said
    done = own(folder, tmp_path, weights)

    assert done.code == 0, done.said
    assert "both streams" in done.said


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_without_imagenet_weights_the_spatial_stream_learns_from_scratch_and_that_is_said(tmp_path):
    folder = write_clips(tmp_path / "moving", 8)
    (tmp_path / "none").mkdir()

    done = own(folder, tmp_path, tmp_path / "none")

    assert done.code == 0, done.said
    assert "There are no ImageNet weights on this machine, so the spatial stream learns from scratch" in done.said
    assert "videos that were kept apart from training" in done.said
