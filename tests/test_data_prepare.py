"""A whole data set is prepared: with bad files in it, in parts, interrupted, on one process and on many."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.catalog import open_dataset
from data.engine import run_jobs
from data.extract import Job
from data.index import index_path, read_index
from data.preparation import Work, merge_shards, prepare
from data.ready import ready_dataset
from data.recipe import Recipe
from tests.bad_decoder import extract_with_bad_decoder
from tests.made_data import write_clip

PROJECT = Path(__file__).resolve().parents[1]
RECIPE = Recipe(method="dis")


def make_videos(root, count=6, frames=5):
    for label in ("a b", "it's ü"):
        for number in range(count):
            write_clip(root / "videos" / label / f"{label} {number}.avi", frames=frames)
    return open_dataset("mine", root)


def contents(root):
    """What prepare leaves, by path; hidden files are leftovers, which there must be none of."""
    files = {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    return {path: data for path, data in files.items() if path.parts[0] != "videos"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("mine")
    make_videos(root)
    write_clip(root / "videos" / "a b" / "single.avi", frames=1)
    (root / "videos" / "a b" / "text.avi").write_text("no video")
    rows = prepare(open_dataset("mine", root), recipe=RECIPE, work=Work(workers=2))
    return root, rows


def test_bad_videos_are_recorded_with_their_reasons_and_the_rest_goes_on(prepared):
    root, rows = prepared

    index = read_index(index_path(root))

    assert {row.video: row for row in rows} == index
    assert {name for name, row in index.items() if row.state == "broken"} == {"single", "text"}
    assert all(row.reason for row in index.values() if row.state == "broken")
    assert sum(row.state == "ready" for row in index.values()) == 12
    assert not list(root.rglob(".incomplete*"))


def test_preparing_again_changes_no_byte_and_needs_no_workers(prepared):
    root, _ = prepared
    before, started = contents(root), time.process_time()
    (root / "videos" / "a b" / "single.avi").rename(root / "single.avi")
    (root / "videos" / "a b" / "text.avi").rename(root / "text.avi")

    rows = prepare(open_dataset("mine", root), recipe=RECIPE)

    (root / "single.avi").rename(root / "videos" / "a b" / "single.avi")
    (root / "text.avi").rename(root / "videos" / "a b" / "text.avi")
    assert time.process_time() - started < 1.0
    assert sum(row.state == "missing" for row in rows) == 2
    after = contents(root)
    assert {path: data for path, data in after.items() if path.name != "index.csv"} == {
        path: data for path, data in before.items() if path.name != "index.csv"
    }


def test_other_flow_is_refused_in_the_same_folder(prepared):
    root, _ = prepared

    with pytest.raises(ValueError, match=r"bound = 20\.0; now it would be 10\.0"):
        prepare(open_dataset("mine", root), recipe=Recipe(method="dis", bound=10.0))


def test_training_is_handed_the_ready_videos_and_told_of_the_others(prepared, capsys):
    root, _ = prepared

    dataset = ready_dataset("mine", root)

    assert "12 of 14 videos are used" in capsys.readouterr().out
    assert len(dataset.part(1, "train") + dataset.part(1, "test")) == 12
    assert all((video.num_frames, video.num_flows) == (5, 4) for video in dataset.videos.values())


def test_an_unprepared_data_set_is_answered_with_the_command_that_prepares_it(tmp_path):
    make_videos(tmp_path, count=2)

    with pytest.raises(FileNotFoundError, match=r"python data/prepare\.py mine --root"):
        ready_dataset("mine", tmp_path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "no column video"),
        (b"path,label\na.avi,1\n", "no column video"),
        (b"video,folder,frames,flows,width,height,bytes,state,reason\na,b,many,4,1,1,1,ready,\n", "'many'"),
        (b"video,folder,frames,flows,width,height,bytes,state,reason\na,b,5\n", "can't be read as an index"),
        (b"video,folder,frames,flows,width,height,bytes,state,reason\na,b,5,4,1,1,1,done,\n", "'done'"),
        (b"\xff\xfe\x00binary", "can't be read as an index"),
    ],
)
def test_an_index_of_another_format_is_named_with_what_to_do(tmp_path, content, what):
    index_path(tmp_path).write_bytes(content)

    with pytest.raises(ValueError, match=r"index\.csv can't be read .*Delete it and run data/prepare\.py") as caught:
        read_index(index_path(tmp_path))

    assert what in str(caught.value)


def test_leftovers_of_dead_runs_are_swept_and_those_of_others_stay(prepared):
    root, _ = prepared
    host = os.uname().nodename.replace("-", "_").replace(".", "_")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine = root / "rawframes" / "a b" / f".incomplete.{host}-{dead.pid}-0.x.0"
    alive = root / "rawframes" / "a b" / f".incomplete.{host}-{os.getppid()}-0.x.0"
    elsewhere = root / "rawframes" / "a b" / f".incomplete.elsewhere-{dead.pid}-0.x.0"
    for folder in (mine, alive, elsewhere):
        folder.mkdir()

    prepare(open_dataset("mine", root), recipe=RECIPE, work=Work(limit=1))

    assert [folder.exists() for folder in (mine, alive, elsewhere)] == [False, True, True]
    alive.rmdir()
    elsewhere.rmdir()


def test_the_disk_is_said_to_be_too_small_before_it_is_full(tmp_path):
    from data.space import Space

    jobs = [Job(write_clip(tmp_path / f"{n}.avi"), tmp_path / str(n), str(n), "", RECIPE) for n in range(20)]
    row = next(iter(read_rows_of(jobs[:1])))
    space = Space(jobs, tmp_path, free=100_000)

    said = [space.counts(job, row) for job in jobs]

    assert said.index(True) == 7
    with pytest.raises(OSError, match=r"20 videos will take about .*; 0\.1 MB are free"):
        space.estimate()


def read_rows_of(jobs):
    from data.extract import extract_video

    return map(extract_video, jobs)


def prepare_command(root, *words):
    script = PROJECT / "data" / "prepare.py"
    options = ("--method", "dis", "--short-side", "0")
    return [str(word) for word in (sys.executable, script, "mine", "--root", root, *options, *words)]


def run_prepare(root, *words):
    return subprocess.run(prepare_command(root, *words), capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_the_command_sums_up_and_strict_fails(tmp_path):
    make_videos(tmp_path, count=2)
    write_clip(tmp_path / "videos" / "a b" / "single.avi", frames=1)

    done = run_prepare(tmp_path, "--json", tmp_path / "result.json")
    strict = run_prepare(tmp_path, "--strict")

    assert done.returncode == 0, done.stderr
    assert "5 videos: 4 ready, 1 broken (see" in done.stdout
    assert list(json.loads((tmp_path / "result.json").read_text())["reasons"]) == ["single"]
    assert strict.returncode == 1
    assert "Traceback" not in strict.stderr


@pytest.mark.slow
def test_shards_share_a_data_set_and_their_merge_misses_nothing(tmp_path):
    make_videos(tmp_path / "whole", count=3)
    make_videos(tmp_path / "parts", count=3)
    prepare(open_dataset("mine", tmp_path / "whole"), recipe=RECIPE)
    dataset = open_dataset("mine", tmp_path / "parts")

    prepare(dataset, recipe=RECIPE, work=Work(shard=(1, 2)))
    with pytest.raises(ValueError, match=r"all shards.*Found: index\.1-of-2\.csv"):
        merge_shards(dataset)
    prepare(dataset, recipe=RECIPE, work=Work(shard=(2, 2)))
    merge_shards(dataset)

    parts = {path: data for path, data in contents(tmp_path / "parts").items() if "-of-" not in path.name}
    assert parts == contents(tmp_path / "whole")


@pytest.mark.slow
def test_a_decoder_that_crashes_or_hangs_takes_only_its_own_video_with_it(tmp_path):
    names = ["good 1", *(f"crash {number}" for number in range(4)), "good 2", "hang", "good 3", "good 4"]
    jobs = [Job(write_clip(tmp_path / f"{name}.avi"), tmp_path / "out" / name, name, "", RECIPE) for name in names]

    rows = {job.name: outcome for job, outcome in run_jobs(extract_with_bad_decoder, jobs, workers=2, time_limit=12.0)}

    assert [rows[name].state for name in names if "good" in name] == ["ready"] * 4
    assert all(str(rows[f"crash {number}"]) == "The decoder crashed 2 times." for number in range(4))
    assert str(rows["hang"]) == "The decoder hung: no new frame within 12 seconds."


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("words", [(), ("--pack",)])
def test_after_any_number_of_kills_the_result_is_that_of_an_uninterrupted_run(tmp_path, words):
    moments = random.Random(len(words))
    for name in ("whole", "killed"):
        make_videos(tmp_path / name, count=12, frames=12)
    assert run_prepare(tmp_path / "whole", *words).returncode == 0

    kills = 0
    while kills < 20:
        running = subprocess.Popen(
            prepare_command(tmp_path / "killed", *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            # From the start of the program to well after its first videos.
            running.wait(timeout=moments.uniform(0.3, 3))
            shutil.rmtree(tmp_path / "killed" / "rawframes")  # It was done before it could be killed.
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            running.wait()
            kills += 1
    finished = run_prepare(tmp_path / "killed", *words)

    assert finished.returncode == 0, finished.stderr
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("words", [(), ("--pack",)])
def test_ctrl_c_ends_it_with_one_sentence_and_leaves_nothing_unfinished(tmp_path, words):
    make_videos(tmp_path, count=60, frames=60)
    command = prepare_command(tmp_path, *words)
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list(tmp_path.glob("rawframes/*/.incomplete*")):
        assert running.poll() is None
        time.sleep(0.01)

    os.killpg(running.pid, signal.SIGINT)  # As a terminal does: to all processes of the command.
    _, said = running.communicate(timeout=60)

    assert (running.returncode, said.strip()) == (130, "Stopped. The same command goes on from here.")
    assert not list(tmp_path.rglob(".incomplete*"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_cluster_that_loses_a_worker_in_mid_task_loses_nothing(tmp_path):
    for name in ("alone", "cluster"):
        make_videos(tmp_path / name, count=10, frames=40)
    prepare(open_dataset("mine", tmp_path / "alone"), recipe=RECIPE, work=Work(workers=1))
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    file = tmp_path / "scheduler.json"
    scheduler = [
        *dask,
        "scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
    ]
    worker = [*dask, "worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    started = [subprocess.Popen(scheduler, **quiet), *(subprocess.Popen(worker, **quiet) for _ in range(2))]

    try:
        while not file.exists():
            assert started[0].poll() is None
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        command = [sys.executable, PROJECT / "data" / "prepare.py", "mine", "--root", tmp_path / "cluster"]
        running = subprocess.Popen(
            [*map(str, command), "--method", "dis", "--short-side", "0", "--cluster", address],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        while not list(tmp_path.glob("cluster/rawframes/*/.incomplete*")):
            assert running.poll() is None, running.stdout.read()
            time.sleep(0.01)
        started[1].kill()
        output, _ = running.communicate(timeout=120)
    finally:
        for process in started:
            process.kill()
            process.wait()

    assert running.returncode == 0, output
    assert contents(tmp_path / "cluster") == contents(tmp_path / "alone")
