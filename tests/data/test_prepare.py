"""A whole data set is prepared: with bad files in it, again, and told apart from what lies there already."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.extraction.all_videos import Work, prepare
from data.extraction.one_video import Job, extract_video
from data.ready import open_dataset, ready_dataset
from data.store.description import Recipe
from data.store.index import index_path, read_index
from tests.makers.data import write_clip
from tests.makers.folder import contents, make_videos

PROJECT = Path(__file__).resolve().parents[2]
RECIPE = Recipe(method="dis")


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

    with pytest.raises(ValueError, match=r"bound = 20\.0, and this command asks for 10\.0"):
        prepare(open_dataset("mine", root), recipe=Recipe(method="dis", bound=10.0))


def test_training_is_handed_the_ready_videos_and_told_of_the_others(prepared, capsys):
    root, _ = prepared

    dataset = ready_dataset("mine", root)

    assert "12 of 14 videos are used" in capsys.readouterr().out
    assert len(dataset.part(1, "train") + dataset.part(1, "test")) == 12
    assert all((video.num_frames, video.num_flows) == (5, 4) for video in dataset.videos.values())


def test_an_unprepared_data_set_is_answered_with_the_command_that_prepares_it(tmp_path):
    make_videos(tmp_path, count=2)

    with pytest.raises(FileNotFoundError, match=r"./run prepare mine --root"):
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

    with pytest.raises(ValueError, match=r"index\.csv can't be read .*Delete it and type ./run prepare") as caught:
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
    from data.extraction.disk_space import Space

    jobs = [Job(write_clip(tmp_path / f"{n}.avi"), tmp_path / str(n), str(n), "", RECIPE) for n in range(20)]
    row = extract_video(jobs[0])
    space = Space(jobs, tmp_path, free=100_000)

    said = [space.counts(job, row) for job in jobs]

    assert said.index(True) == 7
    with pytest.raises(OSError, match=r"20 videos will take about .*; 0\.1 MB are free"):
        space.estimate()
