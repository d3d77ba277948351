"""Machines that come, go and die: a training goes on with as many as there are, and finds them by its scheduler."""

import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from streams.hosts import rejoining
from streams.hosts.members import MEMBERS, Members, members_of
from streams.hosts.rejoining import meet
from streams.hosts.schedulers import expanded, place_of
from streams.runs.run_folder import Run
from tests.makers.training import CtrlC, exit_codes, free_ports, losses, made_config, start_apart

# A batch that one, two, three and four machines can share, and nothing that is random on each device.
PLAIN = {"epochs": 4, "batch_size": 12, "optimizer": "sgd", "network": {"dropout": 0.0}}


def start_several(folder, number, watch=None, **options):
    hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports(number)) if number > 1 else ""
    return [start_apart(folder, hosts=hosts, host_index=index, watch=watch, **options) for index in range(number)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training on one machine that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    assert exit_codes([start_apart(folder, **PLAIN)]) == [0]
    return Run(folder)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A training on two machines that was stopped in its third epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    assert exit_codes(start_several(folder, 2, CtrlC(9), **PLAIN)) == [130, 130]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 3, 4])
def test_a_checkpoint_of_two_machines_goes_on_with_others(whole, stopped, tmp_path, number):
    folder = shutil.copytree(stopped, tmp_path / "run")

    assert exit_codes(start_several(folder, number, **PLAIN)) == [0] * number

    np.testing.assert_allclose(losses(Run(folder)), losses(whole), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        ("node7", ["node7"]),
        ("a,b", ["a", "b"]),
        ("node[01-03,7],login", ["node01", "node02", "node03", "node7", "login"]),
        ("r[1-2]n[08-10].local", [f"r{rack}n{node}.local" for rack in (1, 2) for node in ("08", "09", "10")]),
    ],
)
def test_nodes_of_slurm_are_expanded(nodes, names):
    assert list(expanded(nodes)) == names


SLURM = {"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_JOB_NODELIST": "gpu[3-4]", "SLURM_JOB_ID": "4200017"}


def test_slurm_says_who_takes_part():
    assert place_of(SLURM) == ("gpu3:20017,gpu4:20017", 1)
    # Of a step on some of the nodes, the step decides.
    step = {"SLURM_STEP_NODELIST": "gpu4", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}
    assert place_of(SLURM | step) == ("gpu4:20017", 0)


def test_kubernetes_says_who_takes_part():
    environment = {"JOB_COMPLETION_INDEX": "2", "TWO_STREAM_HOSTS": "train-workers-0-{index}.train * 3"}

    assert place_of(environment) == (",".join(f"train-workers-0-{index}.train:2222" for index in range(3)), 2)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, r"there is neither\. Start the command by srun"),
        (SLURM | {"SLURM_NTASKS": "8"}, r"started 8 tasks on 2 nodes .* --ntasks-per-node=1"),
        (SLURM | {"SLURM_PROCID": "x"}, r"SLURM_PROCID='x'"),
        (SLURM | {"SLURM_JOB_NODELIST": "gpu[a-b]"}, r"Slurm's list of nodes can't be read"),
        ({"JOB_COMPLETION_INDEX": "0", "TWO_STREAM_HOSTS": "pod"}, r"Expected a pattern with \{index\}"),
    ],
)
def test_what_a_scheduler_does_not_say_is_asked_for(environment, said):
    with pytest.raises(ValueError, match=said):
        place_of(environment)


def test_members_come_from_the_scheduler_the_options_or_the_process_before(monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    config = made_config(hosts="auto")

    assert members_of(config) == Members(("gpu3:20017", "gpu4:20017"), 1, ("gpu3:20017", "gpu4:20017"))
    assert members_of(made_config()) is None
    assert members_of(made_config(hosts="a:1, b:2", host_index=1)).own == "b:2"
    with pytest.raises(ValueError, match="the index is 0 to 1"):
        members_of(made_config(hosts="a:1,b:2", host_index=2))
    left = dataclasses.replace(members_of(config), hosts=("gpu4:20017",), index=0, meeting=1)
    monkeypatch.setenv(MEMBERS, left.kept())
    assert members_of(config) == left


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(rejoining, "_BEAT", 0.05)
    monkeypatch.setattr(rejoining, "_SILENCE", 1.0)


def meeting(place, present, seconds):
    """What each of the machines that are present decides."""
    every = ("a:1", "b:1", "c:1")
    found = {}

    def decide(index, after):
        time.sleep(after)
        try:
            found[every[index]] = meet(place, Members(every, index, every), seconds)
        except RuntimeError as error:
            found[every[index]] = str(error)

    threads = [threading.Thread(target=decide, args=each) for each in present]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_machines_that_meet_go_on_at_once_when_all_are_there(tmp_path, quick):
    began = time.monotonic()

    found = meeting(tmp_path, [(0, 0.0), (2, 0.1), (1, 0.3)], 60)

    assert set(found.values()) == {("a:1", "b:1", "c:1")}
    assert time.monotonic() - began < 10


def test_machines_that_meet_go_on_without_the_one_that_does_not_come(tmp_path, quick):
    found = meeting(tmp_path, [(1, 0.0), (2, 0.2)], 0.8)

    assert found == {"b:1": ("b:1", "c:1"), "c:1": ("b:1", "c:1")}
    late = meeting(tmp_path, [(0, 0.0)], 0.8)
    assert late == {"a:1": "The other machines went on without this one, which was too late."}


def test_rejoining_needs_several_machines(tmp_path):
    with (
        pytest.raises(ValueError, match=r"pass --hosts with it"),
        rejoining.rejoining(made_config(rejoin_seconds=5.0), tmp_path),
    ):
        pass


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_machines_go_on_without_one_that_has_died(tmp_path, small_set):
    hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    alone = started(small_set, tmp_path / "alone")
    assert alone.wait(200) == 0, alone.stdout.read()

    both = [
        started(small_set, tmp_path / "both", "--hosts", hosts, "--host-index", index, "--rejoin-seconds", "5")
        for index in (0, 1)
    ]
    run = Run.of(tmp_path / "both", "mine", "spatial", 1)
    while not list(run.checkpoints.glob("step*")):
        assert both[0].poll() is None, both[0].stdout.read()
        time.sleep(0.02)
    both[0].kill()  # The one that writes, and that watches over the others.
    said, _ = both[1].communicate(timeout=300)

    assert both[1].returncode == 0, said
    assert "Waiting 5 seconds for it to come back" in said
    assert f"Going on with 1 of 2 machines: {hosts.split(',')[1]}" in said
    assert "Going on from step" in said
    of_alone, of_both = (numbers(Run.of(tmp_path / name, "mine", "spatial", 1).history) for name in ("alone", "both"))
    np.testing.assert_allclose(of_both, of_alone, rtol=0, atol=1e-5)
    assert json.loads(run.config.read_text())["result"]["epochs"] == 12


def numbers(history):
    with history.open() as file:
        return np.array([[float(row["loss"]), float(row["val_loss"])] for row in csv.DictReader(file)])


def started(root, runs, *words):
    """Starts a small training as a command."""
    from tests.conftest import PROJECT

    command = [
        sys.executable,
        str(PROJECT / "spatial" / "train.py"),
        "--dataset",
        "mine",
        "--root",
        root,
        "--runs",
        runs,
    ]
    command += ["--backbone", "small", "--weights", "none", "--crop-size", "32", "--epochs", "12", "--batch-size", "4"]
    # A low rate, at which rounding does not grow from step to step.
    command += [
        "--learning-rate",
        "1e-4",
        "--optimizer",
        "sgd",
        "--dropout",
        "0",
        "--sync-batch-norm",
        "--checkpoint-minutes",
        "0",
        *words,
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([str(word) for word in command], env={**os.environ, "PYTHONUNBUFFERED": "1"}, **pipes)


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    """A prepared data set of own videos, with frames that differ by class."""
    from data.sets.folders import keep_list
    from data.store.description import Recipe
    from data.store.index import Row, index_path, write_index
    from tests.makers.frames import HEIGHT, WIDTH, made_dataset

    root = tmp_path_factory.mktemp("small") / "mine"
    made = made_dataset(root, {f"v{number:02d}": 5 + number % 3 for number in range(24)})
    made = dataclasses.replace(made, classes=("class0", "class1", "class2"))
    keep_list(made)
    write_index(
        index_path(root),
        [Row(v.name, v.folder, v.num_frames, v.num_flows, WIDTH, HEIGHT) for v in made.videos.values()],
    )
    Recipe().keep(root)
    return root
