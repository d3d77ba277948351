"""Scoring by several processes, parts and machines: the same files as one process writes, byte for byte."""

import csv
import dataclasses
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from data.extraction.decoder import USUAL
from data.sets.folders import keep_list
from data.store.description import Recipe
from data.store.index import Row, index_path, write_index
from fusion import evaluate
from fusion.scores.of_models import score_part, stream_scores
from fusion.scores.protocol import Scoring
from fusion.scores.shared_out import environments
from streams.runs.run_folder import Run
from streams.runs.score_file import read_scores, write_scores
from tests.conftest import PROJECT
from tests.makers.frames import HEIGHT, WIDTH, made_dataset
from tests.makers.models import make_model, make_video
from tests.makers.processes.cluster import dask_cluster

CLASSES = ("class0", "class1", "class2")
NUMBER = 23


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A prepared data set of own videos, all of them test videos."""
    root = tmp_path_factory.mktemp("data") / "mine"
    made = made_dataset(root, {f"v{number:02d}": 5 + number % 7 for number in range(NUMBER)})
    made = dataclasses.replace(
        made, classes=CLASSES, splits={1: dataclasses.replace(made.splits[1], test=tuple(made.videos))}
    )
    keep_list(dataclasses.replace(made, splits={1: dataclasses.replace(made.splits[1], train=())}))
    rows = [
        Row(each.name, each.folder, each.num_frames, each.num_flows, WIDTH, HEIGHT) for each in made.videos.values()
    ]
    write_index(index_path(root), rows)
    Recipe().keep(root)
    return dataclasses.replace(made, name="mine")


@pytest.fixture
def runs(tmp_path):
    for stream in ("spatial", "temporal"):
        path = Run.of(tmp_path / "runs", "mine", stream, 1).model
        path.parent.mkdir(parents=True)
        make_model(path, stream, classes=CLASSES)
    return tmp_path / "runs"


@pytest.fixture
def alone(dataset, runs):
    """The score file that one process writes, out of the way."""
    scored(dataset, runs)
    path = Run.of(runs, "mine", "spatial", 1).scores("test", "3x5")
    return path.rename(runs / "alone.h5")


def scoring(runs, **how):
    return Scoring(**{"runs": runs, "views": 3, "crops": "5", **how})


def scored(dataset, runs, **how):
    return stream_scores(dataset, 1, "test", dataset.part(1, "test"), "spatial", scoring(runs, **how))


def part_scored(dataset, runs, number, count):
    how = scoring(runs, shard=(number, count))
    return score_part(dataset, 1, "test", dataset.part(1, "test"), "spatial", how)


def file_of(runs):
    return Run.of(runs, "mine", "spatial", 1).scores("test", "3x5")


@pytest.mark.slow
def test_two_devices_write_the_file_of_one_byte_for_byte(dataset, runs, alone):
    scored(dataset, runs, devices=2)

    assert file_of(runs).read_bytes() == alone.read_bytes()


def test_parts_are_merged_into_the_file_of_one_process(dataset, runs, alone):
    parts = [part_scored(dataset, runs, number, 3) for number in (1, 2, 3)]
    assert [len(read_scores(path).videos) for path in parts] == [8, 8, 7]

    scored(dataset, runs, merge=True)

    assert file_of(runs).read_bytes() == alone.read_bytes()
    assert [path.name for path in file_of(runs).parent.iterdir()] == [file_of(runs).name]


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda parts: parts[1].unlink(), r"needs those of all parts .* Found: test_3x5\.1-of-2\.h5"),
        (lambda parts: shutil.copy(parts[0], parts[0].with_name("test_3x5.1-of-3.h5")), r"with one N"),
        (lambda parts: shutil.copy(parts[0], parts[1]), r"v00 is in two parts; the second is test_3x5\.2-of-2\.h5"),
        (lambda parts: cut(parts[1]), r"1 videos are in no part, for example v21"),
        (lambda parts: changed(parts[1], model_hash="0"), r"2-of-2\.h5 is of another model"),
        (lambda parts: changed(parts[1], data_hash="0"), r"2-of-2\.h5 is of another model, other data"),
    ],
    ids=["missing", "another-number", "twice", "cut", "other-model", "other-data"],
)
def test_parts_that_do_not_make_a_whole_are_refused(dataset, runs, harm, said):
    parts = [part_scored(dataset, runs, number, 2) for number in (1, 2)]
    harm(parts)

    with pytest.raises(ValueError, match=said):
        scored(dataset, runs, merge=True)
    assert not file_of(runs).exists()


def changed(path, **fields):
    write_scores(path, dataclasses.replace(read_scores(path), **fields))


def cut(path):
    scores = read_scores(path)
    fewer = {name: getattr(scores, name)[:-1] for name in ("videos", "labels", "view_logits")}
    write_scores(path, dataclasses.replace(scores, **fewer))


def evaluate_words(dataset, runs, *words):
    names = ("--dataset", "mine", "--root", dataset.root, "--runs", runs, "--views", "3", "--crops", "5")
    return [str(word) for word in (*names, "--method", "average", "--no-questions", *words)]


def test_the_command_scores_parts_and_goes_on_once_they_are_merged(dataset, runs, tmp_path, capsys):
    for part in ("1/2", "2/2"):
        evaluate.main(evaluate_words(dataset, runs, "--shard", part))
    assert "Part 2/2 is scored: test_3x5.2-of-2.h5, test_3x5.2-of-2.h5" in capsys.readouterr().out

    evaluate.main(evaluate_words(dataset, runs, "--merge", "--json", tmp_path / "merged.json"))

    assert "Report: " in capsys.readouterr().out
    for stream in ("spatial", "temporal"):
        shutil.rmtree(Run.of(runs, "mine", stream, 1).folder / "scores")
    evaluate.main(evaluate_words(dataset, runs, "--json", tmp_path / "alone.json"))
    merged, whole = (json.loads((tmp_path / name).read_text()) for name in ("merged.json", "alone.json"))
    assert merged["video_accuracy"] == whole["video_accuracy"]
    assert merged["options"] == whole["options"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--shard", "3/2"], "parts of 2 are numbered 1 to 2; received 3/2"),
        (["--shard", "1/2", "--merge"], "--merge comes after all parts are scored"),
        (["--shard", "1/2", "--split", "all"], "--shard and --merge score one split"),
        (["--devices", "0"], "--devices must be at least 1"),
    ],
)
def test_wrong_parts_are_refused(dataset, runs, capsys, words, said):
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(evaluate_words(dataset, runs, *words))

    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_each_process_sees_one_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")

    assert environments(None) == [{"CUDA_VISIBLE_DEVICES": each} for each in "357"]
    assert environments(2) == [{"CUDA_VISIBLE_DEVICES": each} for each in "35"]
    with pytest.raises(ValueError, match="--devices is 4; this machine has 3 GPUs"):
        environments(4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert environments(None) == [{}]
    assert environments(2) == [{}, {}]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_cluster_that_loses_a_worker_scores_the_same_file(dataset, runs, alone, tmp_path):
    command = [sys.executable, str(PROJECT / "fusion" / "evaluate.py"), *evaluate_words(dataset, runs)]

    code, output = run_on_a_cluster_that_loses_a_worker([*command, "--stream", "spatial"], tmp_path)

    assert code == 0, output
    assert file_of(runs).read_bytes() == alone.read_bytes()


def run_on_a_cluster_that_loses_a_worker(command, folder):
    """Runs a command on two workers, one of which is killed at work; returns its exit code and what it printed."""
    with dask_cluster(folder, "127.0.0.1", None) as (address, started):
        words = [*command, "--cluster", address]
        running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        # The process that keeps the models is a child of its worker: once both have one, both are at work.
        while min(len(children_of(process)) for process in started[1:]) < 1:
            assert running.poll() is None, running.stdout.read()
            time.sleep(0.01)
        started[1].kill()
        output, _ = running.communicate(timeout=250)
    return running.returncode, output


def children_of(process):
    import psutil

    return psutil.Process(process.pid).children(recursive=True)


def predicting(runs, folder, count):
    """Returns the command that predicts a folder of so many videos, and of a broken one."""
    for number in range(count):
        make_video(folder / f"clip{number:02d}.mp4", 8 + number, seed=number)
    (folder / "broken.mp4").write_bytes(b"no video")
    command = [sys.executable, str(PROJECT / "fusion" / "predict.py"), str(folder), "--views", "3"]
    return [*command, *(f"--{stream}={Run.of(runs, 'mine', stream, 1).model}" for stream in ("spatial", "temporal"))]


@pytest.mark.slow
def test_predictions_of_several_processes_are_those_of_one(runs, tmp_path):
    command = predicting(runs, tmp_path / "videos", 5)

    done = [
        subprocess.run([*command, "--csv", str(tmp_path / f"{name}.csv"), *words], capture_output=True, text=True)
        for name, words in (
            ("one", []),
            ("two", ["--devices", "2"]),
            ("part1", ["--shard", "1/2"]),
            ("part2", ["--shard", "2/2"]),
        )
    ]

    assert [each.returncode for each in done[:2]] == [1, 1]
    for each in done[:2]:
        assert "1 of 6 videos could not be predicted" in each.stderr and "broken.mp4" in each.stderr
    rows = {path.stem: list(csv.DictReader(path.open())) for path in tmp_path.glob("*.csv")}
    assert rows["two"] == rows["one"]
    assert len(rows["one"]) == 5 * 3 * 3
    assert {row["video"] for row in rows["part1"]}.isdisjoint(row["video"] for row in rows["part2"])
    assert sorted(map(str, rows["part1"] + rows["part2"])) == sorted(map(str, rows["one"]))


def test_a_process_that_keeps_its_models_sees_that_a_file_has_changed(runs, tmp_path):
    from fusion.prediction.shared_out import Look, jobs_of, predict_job
    from fusion.two_stream import TwoStream

    video = make_video(tmp_path / "clip.mp4", 8)
    model = Run.of(runs, "mine", "spatial", 1).model

    found = []
    for seed in (1, 2):
        make_model(model, "spatial", classes=CLASSES, seed=seed)
        (job,) = jobs_of(TwoStream({"spatial": model}), [video], Look(3, 1, None, False, USUAL))
        found.append(predict_job(job, lambda: None).view_logits["spatial"])

    assert not np.allclose(*found)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_cluster_that_loses_a_worker_predicts_the_same(runs, tmp_path):
    command = predicting(runs, tmp_path / "videos", 12)

    alone = subprocess.run([*command, "--csv", str(tmp_path / "alone.csv")], capture_output=True, text=True)
    code, output = run_on_a_cluster_that_loses_a_worker([*command, "--csv", str(tmp_path / "cluster.csv")], tmp_path)

    assert (alone.returncode, code) == (1, 1)
    for said in (alone.stderr, output):
        assert "1 of 13 videos could not be predicted" in said and "broken.mp4" in said
    assert (tmp_path / "cluster.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()
    assert len((tmp_path / "alone.csv").read_text().splitlines()) == 1 + 12 * 3 * 3
