"""The command prepares as a whole: in parts, killed, interrupted, on one process and on many."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data.extraction.all_videos import Work, merge_shards, prepare
from data.extraction.decoder import resized
from data.extraction.one_video import Job
from data.extraction.workers import run_jobs
from data.prepare import main
from data.ready import open_dataset
from data.store.description import Recipe
from data.store.index import index_path, read_index
from tests.makers.data import write_clip
from tests.makers.folder import contents, make_videos
from tests.makers.processes.bad_decoder import extract_with_bad_decoder
from tests.makers.processes.cluster import dask_cluster

PROJECT = Path(__file__).resolve().parents[2]
RECIPE = Recipe(method="dis")


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


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--bound", "0", "write pixels from 0.01 to 10000, like 20; received 0"),
        ("--bound", "nan", "write pixels from 0.01 to 10000, like 20; received nan"),
        ("--shard", "3", "write a part as I/N, like 1/4 for the first of four; received 3"),
        ("--shard", "3/2", "parts of 2 are numbered 1 to 2; received 3/2"),
        ("--size", "abc", "write a size as WIDTHxHEIGHT, like 340x256; received abc"),
        ("--size", "340x0", "340x256; received 340x0"),
        ("--step", "one", "one is not a whole number above 0"),
        ("--fps", "fast", "expected a number of frames per second above 0; received fast"),
    ],
)
def test_a_wrong_option_is_answered_with_its_form_before_anything_is_written(tmp_path, capsys, option, value, message):
    with pytest.raises(SystemExit, match="2"):
        main(["mine", "--root", str(tmp_path / "mine"), option, value])

    assert message in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


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
def test_who_is_killed_is_not_at_fault_and_is_left_for_the_next_run(tmp_path):
    make_videos(tmp_path, count=2)
    (tmp_path / "videos" / "a b" / "a b 0.avi").rename(tmp_path / "videos" / "a b" / "killed.avi")
    dataset = open_dataset("mine", tmp_path)

    with pytest.raises(RuntimeError, match=r"1 videos are left over, such as killed: .* were killed"):
        prepare(dataset, recipe=RECIPE, work=Work(extract=extract_with_bad_decoder))
    between = set(read_index(index_path(tmp_path)))
    rows = prepare(dataset, recipe=RECIPE)

    assert between == {"a b 1", "it's ü 0", "it's ü 1"}
    assert {row.state for row in rows} == {"ready"} and len(rows) == 4
    assert not list(tmp_path.rglob(".incomplete*"))


def test_names_that_can_not_be_written_to_lists_are_left_out_with_the_reason(tmp_path):
    for name in ("left/a.avi", "right/b.avi", os.fsdecode(b"left/caf\xe9.avi"), "right/\x1b[2J.avi"):
        write_clip(tmp_path / "videos" / name, frames=2)
    with pytest.raises(ValueError, match="can't be split"):  # A group a class is too few for a split.
        open_dataset("mine", tmp_path)
    for name in ("left/c.avi", "right/d.avi"):
        write_clip(tmp_path / "videos" / name, frames=2)

    dataset = open_dataset("mine", tmp_path)

    assert set(dataset.videos) == {"a", "b", "c", "d"}
    assert set(dataset.left_out) == {"left/caf\\xe9.avi", "right/\\x1b[2J.avi"}
    assert all("rename it" in reason for reason in dataset.left_out.values())


@pytest.mark.slow
@pytest.mark.parametrize(("made", "changed"), [([], []), (["--pack"], ["--unpack"])])
def test_a_data_set_that_is_read_is_neither_packed_nor_unpacked(tmp_path, made, changed):
    make_videos(tmp_path, count=2)
    assert run_prepare(tmp_path, *made).returncode == 0
    before = contents(tmp_path)
    code = "import sys, pathlib; from data.ready import ready_dataset; ready_dataset('mine', pathlib.Path(sys.argv[1]))"
    reader = subprocess.Popen(
        [sys.executable, "-c", f"{code}; print(flush=True); input()", tmp_path], cwd=PROJECT, stdin=-1, stdout=-1
    )
    reader.stdout.readline()

    pack = [sys.executable, PROJECT / "data" / "pack.py", "mine", "--root", tmp_path, *changed]
    done = subprocess.run(pack, capture_output=True, text=True)

    reader.communicate(b"\n")
    assert (done.returncode, "is used by another command" in done.stderr) == (1, True), done.stderr
    assert contents(tmp_path) == before
    assert subprocess.run(pack, capture_output=True).returncode == 0


WHILE_PACKED = {
    "pack": ("data/pack.py", "mine"),
    "unpack": ("data/pack.py", "mine", "--unpack"),
    "prepare": ("data/prepare.py", "mine", "--method", "dis", "--short-side", "0"),
    "prepare --pack": ("data/prepare.py", "mine", "--method", "dis", "--short-side", "0", "--pack"),
    "doctor": ("data/doctor.py", "mine"),
    "show": ("pipelines/show.py", "--dataset", "mine"),
    "train": ("spatial/train.py", "--dataset", "mine"),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_while_a_data_set_is_packed_nobody_else_uses_it_and_the_packing_is_whole(tmp_path):
    for name in ("alone", "shared"):
        make_videos(tmp_path / name, count=10)
        assert run_prepare(tmp_path / name).returncode == 0
    pack = [sys.executable, str(PROJECT / "data" / "pack.py"), "mine", "--root"]
    subprocess.run([*pack, tmp_path / "alone"], check=True, capture_output=True)

    packing = subprocess.Popen([*pack, tmp_path / "shared"], stdout=-1, stderr=-1)
    while not (tmp_path / "shared" / "layout.json").exists():
        assert packing.poll() is None
    packing.send_signal(signal.SIGSTOP)  # In the middle of it.
    others = {
        name: subprocess.run(
            [sys.executable, str(PROJECT / script), *words, "--root", tmp_path / "shared"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        for name, (script, *words) in WHILE_PACKED.items()
    }
    packing.send_signal(signal.SIGCONT)

    assert packing.wait(60) == 0
    for name, done in others.items():
        assert (done.returncode, "another command" in done.stderr) == (1, True), f"{name}: {done.stderr}"
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")


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


def said_after_ctrl_c(command, ready):
    """Sends Ctrl-C once the command is as far as `ready` tells, and returns how it ended."""
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not ready(running):
        assert running.poll() is None
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGINT)  # As a terminal does: to all processes of the command.
    _, said = running.communicate(timeout=60)
    return running.returncode, said.strip()


STOPPED = (130, "Stopped. The same command goes on from here.")


@pytest.mark.slow
def test_ctrl_c_while_a_training_prepares_the_built_in_data_set_says_that_nothing_was_trained(tmp_path):
    train = [sys.executable, str(PROJECT / "spatial" / "train.py"), "--root", str(tmp_path / "shapes")]

    code, said = said_after_ctrl_c(train, lambda running: list(tmp_path.glob("shapes/videos/**/*.*")))

    assert code == 130
    assert said == (
        f"Stopped while the data set shapes was being prepared in {tmp_path / 'shapes'}. Nothing else had begun. "
        "The same command first prepares the remaining videos."
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("words", [(), ("--pack",)])
def test_ctrl_c_ends_it_with_one_sentence_and_leaves_nothing_unfinished(tmp_path, words):
    make_videos(tmp_path, count=60, frames=60)

    ended = said_after_ctrl_c(
        prepare_command(tmp_path, *words), lambda running: list(tmp_path.glob("rawframes/*/.incomplete*"))
    )

    assert ended == STOPPED
    assert not list(tmp_path.rglob(".incomplete*"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux, which tells of a process's children")
@pytest.mark.parametrize("later", [0.0, 0.3, 0.6, 1.0])
def test_ctrl_c_is_heard_while_the_workers_start(tmp_path, later):
    make_videos(tmp_path, count=60, frames=60)

    def workers_start(running):
        children = [path for path in Path(f"/proc/{running.pid}/task").glob("*/children") if path.read_text()]
        time.sleep(later if children else 0)
        return children

    assert said_after_ctrl_c(prepare_command(tmp_path), workers_start) == STOPPED


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_cluster_that_loses_a_worker_in_mid_task_loses_nothing(tmp_path):
    for name in ("alone", "cluster"):
        make_videos(tmp_path / name, count=10, frames=40)
    prepare(open_dataset("mine", tmp_path / "alone"), recipe=RECIPE, work=Work(workers=1))

    with dask_cluster(tmp_path, "127.0.0.1", None) as (address, started):
        command = prepare_command(tmp_path / "cluster", "--cluster", address)
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        while not list(tmp_path.glob("cluster/rawframes/*/.incomplete*")):
            assert running.poll() is None, running.stdout.read()
            time.sleep(0.01)
        started[1].kill()
        output, _ = running.communicate(timeout=120)

    assert running.returncode == 0, output
    assert contents(tmp_path / "cluster") == contents(tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl, which makes the certificate")
def test_a_cluster_with_certificates_works_for_whoever_has_them_and_for_nobody_else(tmp_path):
    for name in ("set", "other"):
        make_videos(tmp_path / name, count=2)
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=dask"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    settings = {"CA_FILE": certificate}
    for who in ("SCHEDULER", "WORKER", "CLIENT"):
        settings |= {f"{who}__CERT": certificate, f"{who}__KEY": key}
    known = {**os.environ, **{f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(path) for name, path in settings.items()}}

    with dask_cluster(tmp_path, "tls://127.0.0.1", known) as (address, _):
        words = prepare_command(tmp_path / "set", "--cluster", address)
        named = prepare_command(tmp_path / "other", "--cluster", address, "--tls", tmp_path)
        by_option = subprocess.run(named, capture_output=True, text=True)
        stranger = subprocess.run(words, capture_output=True, text=True)
        plain = [word.replace("tls://", "tcp://") for word in words]
        eavesdropper = subprocess.run(plain, capture_output=True, text=True)
        friend = subprocess.run(words, capture_output=True, text=True, env=known)

    assert by_option.returncode == 0, by_option.stderr
    assert (stranger.returncode, eavesdropper.returncode, friend.returncode) == (1, 1, 0), friend.stderr
    assert "asks for certificates" in stranger.stderr and "Traceback" not in stranger.stderr
    assert "No Dask scheduler answers" in eavesdropper.stderr
    assert all(len(read_index(index_path(tmp_path / name))) == 4 for name in ("set", "other"))


@pytest.mark.slow
def test_no_cell_of_the_lists_that_are_kept_is_a_formula_and_they_are_read_back(tmp_path):
    for name in ("=cmd x/-a.avi", "=cmd x/b.avi", "@left/+c.avi", "@left/d.avi"):
        write_clip(tmp_path / "videos" / name, frames=2)

    done = run_prepare(tmp_path)

    assert done.returncode == 0, done.stderr
    for path in (tmp_path / "annotations" / "videos.csv", index_path(tmp_path)):
        rows = list(csv.reader(path.open(newline="")))
        assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "-a"))]
    dataset = open_dataset("mine", tmp_path)
    assert dataset.classes == ("=cmd x", "@left")
    assert set(dataset.videos) == {"-a", "b", "+c", "d"}


@pytest.mark.slow
def test_parameters_by_name_are_kept_and_a_wrong_one_is_answered(tmp_path):
    make_videos(tmp_path, count=2)

    wrong = run_prepare(tmp_path, "--set", "patches=8")
    made = run_prepare(tmp_path, "--set", "PatchSize=6", "--set", "PatchStride=3")
    other = run_prepare(tmp_path)

    assert wrong.returncode == 1
    assert "dis has no parameter 'patches'. Its parameters are " in wrong.stderr
    assert made.returncode == 0, made.stderr
    described = json.loads((tmp_path / "flow.json").read_text())["parameters"]
    assert (described["PatchSize"], described["PatchStride"]) == (6, 3)
    assert other.returncode == 1
    assert "They must not mix" in other.stderr


def prepared_sizes(root, *words):
    """The sizes of prepared frames by video, after the command has run in this process."""
    main(["mine", "--root", str(root), "--method", "dis", "--workers", "1", *words])
    return {row.video: (row.width, row.height) for row in read_index(index_path(root)).values()}


@pytest.mark.slow
def test_own_videos_are_made_smaller_but_never_larger_unless_that_is_asked_for(tmp_path, capsys):
    for name in ("as-is", "asked"):
        for label in ("a", "b"):
            write_clip(tmp_path / name / "videos" / label / f"{label}-small.avi", size=(48, 40))
            write_clip(tmp_path / name / "videos" / label / f"{label}-large.avi", size=(320, 288))

    kept = {"a-small": (48, 40), "b-small": (48, 40), "a-large": (284, 256), "b-large": (284, 256)}
    assert prepared_sizes(tmp_path / "as-is") == kept
    assert "others keep their size" in capsys.readouterr().out
    assert set(prepared_sizes(tmp_path / "asked", "--short-side", "64").values()) == {(77, 64), (71, 64)}


@pytest.mark.slow
def test_what_was_prepared_before_goes_on_as_it_was_begun(tmp_path):
    for name in ("a/1", "a/2", "b/3", "b/4"):
        write_clip(tmp_path / "videos" / f"{name}.avi", size=(48, 40))
    prepared_sizes(tmp_path, "--short-side", "64")
    before = json.loads((tmp_path / "flow.json").read_text())
    del before["enlarge"]  # As an earlier version wrote it, which enlarged all.
    (tmp_path / "flow.json").write_text(json.dumps(before))
    shutil.rmtree(tmp_path / "rawframes" / "b" / "4")  # What is made again is made as the rest was.
    index_path(tmp_path).unlink()

    assert prepared_sizes(tmp_path) == dict.fromkeys("1234", (77, 64))
    assert json.loads((tmp_path / "flow.json").read_text()) == before


def test_a_new_video_is_resized_as_those_of_training_were():
    small = np.zeros((40, 48, 3), np.uint8)

    assert resized(small, 256, enlarge=False).shape == (40, 48, 3)
    assert resized(small, 20, enlarge=False).shape == (20, 24, 3)
    assert resized(small, 256).shape == (256, 307, 3)
    # Models of earlier versions say nothing of it: theirs were enlarged.
    assert Recipe.of({"short_side": 256}).enlarge
    assert not Recipe.of({"short_side": 256, "enlarge": False}).enlarge
