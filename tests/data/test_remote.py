"""Data sets and runs in an object store: the same bytes as local ones, whatever goes wrong on the way."""

import dataclasses
import hashlib
import importlib.util
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from benchmarks.processes import free_ports
from commands import files, remote
from commands.files import write_text
from commands.options import Parser
from commands.remote import Mirror, fetched, is_remote, mirrored, range_reader, uploading
from data.catalog import Split
from data.ready import ready_dataset
from data.sets.folders import keep_list
from data.store.archive import damaged_member, read_members, read_stored, stored_paths
from data.store.description import Recipe
from data.store.index import Row, index_path, write_index
from data.store.whole_folder import archive_path, begin_storing, end_storing, pack_video
from streams.config import TrainConfig
from streams.hosts.rejoining import rejoining
from streams.recipes.chosen import recipe_presets
from tests.conftest import PROJECT
from tests.makers.frames import HEIGHT, WIDTH, made_dataset
from tests.makers.processes.cluster import dask_cluster
from tests.makers.processes.faulty_store import PATIENCE, faulty, gs_store, s3_store


class Flaky(MemoryFileSystem):
    """A store of which every answer but each third is wrong: too late, refused, cut in half, or altered."""

    protocol = "flaky"
    store, pseudo_dirs = {}, [""]
    faults, asked = [], 0

    def cat_file(self, path, start=None, end=None, **more):
        content = super().cat_file(path, start, end, **more)
        fault = self._next()
        if fault == "half":
            return content[: len(content) // 2]
        return bytes([content[0] ^ 1, *content[1:]]) if fault == "altered" and len(content) > 100 else content

    def put_file(self, lpath, rpath, **more):
        if self._next() == "half":
            self.pipe_file(rpath, Path(lpath).read_bytes()[:-1])
        else:
            super().put_file(lpath, rpath, **more)

    def find(self, *words, **more):
        self._next()
        found = super().find(*words, **more)
        return {name: self._with_tag(each) for name, each in found.items()} if isinstance(found, dict) else found

    def info(self, path, **more):
        return self._with_tag(super().info(path, **more))

    def ls(self, path, detail=True, **more):
        found = super().ls(path, detail=True, **more)
        return [self._with_tag(each) for each in found] if detail else [each["name"] for each in found]

    @classmethod
    def _strip_protocol(cls, path):
        return MemoryFileSystem._strip_protocol(path.replace("flaky://", "memory://"))

    def _with_tag(self, described):
        if described["type"] != "file":
            return described
        return {**described, "ETag": hashlib.md5(self.store[described["name"]].getvalue()).hexdigest()}

    def _next(self):
        type(self).asked += 1
        fault = self.faults[self.asked % len(self.faults)] if self.faults and self.asked % 3 else None
        errors = {"late": TimeoutError("timed out"), "refused": OSError("503 Slow Down"), "json": ValueError("line 1")}
        if fault in errors:
            raise errors[fault]
        return fault


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A home for mirrors, short waits, and an empty store."""
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    monkeypatch.setenv("TWO_STREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(remote, "_open", {})
    monkeypatch.setattr(remote, "_given", {})
    monkeypatch.setattr(files, "after_writing", [])
    remote._opened.cache_clear()
    Flaky.store.clear()
    Flaky.faults, Flaky.asked = [], 0


@pytest.fixture
def packed(tmp_path):
    """A packed data set of own videos."""
    root = tmp_path / "local" / "mine"
    made = made_dataset(root, {f"v{number}": 11 + number % 3 for number in range(6)})
    names = tuple(made.videos)
    keep_list(dataclasses.replace(made, splits={1: Split(names[:3], names[3:])}))
    rows = [Row(v.name, v.folder, v.num_frames, v.num_flows, WIDTH, HEIGHT) for v in made.videos.values()]
    write_index(index_path(root), rows)
    Recipe().keep(root)
    begin_storing(root, "mine", packed=True)
    for video in made.videos.values():
        pack_video(made, video)
    end_storing(root, (made.frame_folder(video) for video in made.videos.values()))
    return ready_dataset("folder", root)


def upload(root, address):
    system, place = fsspec.url_to_fs(address)
    for path in root.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            system.pipe_file(f"{place}/{path.relative_to(root).as_posix()}", path.read_bytes())


FAULTS = [[], ["late"], ["refused"], ["half"], ["json"], ["altered"], ["late", "half", "refused", "altered"]]


@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: "-".join(faults) or "none")
def test_archives_are_read_by_ranges_as_from_the_disk(packed, faults):
    upload(packed.root, "flaky://bucket/mine")
    Flaky.faults = faults

    root = mirrored("flaky:/bucket/mine")
    found = ready_dataset("folder", root)

    assert dict(found.videos) == dict(packed.videos)
    for video in packed.videos.values():
        for members in ([0], [3, 4, 5, 2], [video.num_frames, video.num_frames + 3], [0, 7, 9]):
            local = read_members(archive_path(packed, video), members)
            assert read_members(archive_path(found, video), members) == local
    assert not list(root.glob("rawframes/**/*.zip"))


def test_a_whole_archive_is_fetched_only_for_those_who_look_at_all_of_it(packed):
    upload(packed.root, "flaky://bucket/mine")
    found = ready_dataset("folder", mirrored("flaky:/bucket/mine"))
    video = packed.videos["v1"]
    frame = packed.layout.frame_path(found.root, video, 2)

    assert read_stored(frame) == read_members(archive_path(packed, video), [2])[0]
    assert len(stored_paths(frame.parent)) == 3 * video.num_frames - 1  # With the table.
    assert damaged_member(archive_path(found, video)) is None
    assert len(list(found.root.glob("rawframes/**/*.zip"))) == 1


@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: "-".join(faults) or "none")
def test_what_is_written_is_uploaded_whole(faults):
    Flaky.faults = faults
    runs = mirrored("flaky:/bucket/runs")

    write_text(runs / "mine" / "history.csv", "loss\n" + "0.5\n" * 99)
    with uploading():
        (runs / "mine" / "tensorboard").mkdir()
        (runs / "mine" / "tensorboard" / "events").write_bytes(bytes(range(256)))

    Flaky.faults = []
    there = {
        name: fsspec.filesystem("flaky").cat_file(name) for name in fsspec.filesystem("flaky").find("/bucket/runs")
    }
    assert there == {
        "/bucket/runs/mine/history.csv": b"loss\n" + b"0.5\n" * 99,
        "/bucket/runs/mine/tensorboard/events": bytes(range(256)),
    }


@pytest.mark.parametrize(
    "described",
    [{"ETag": '"9dd4e461268c8034f5c8564e155c67a6"'}, {"md5Hash": "ndTkYSaMgDT1yFZOFVxnpg=="}, {"ETag": "0-2"}],
)
def test_whole_files_are_checked_by_what_each_store_knows_of_them(described):
    described["size"] = 1

    remote._check_whole(b"x", described)
    if described.get("ETag") != "0-2":  # S3 knows no checksum of a file that came in parts.
        with pytest.raises(OSError, match="wrong checksum"):
            remote._check_whole(b"y", described)
    with pytest.raises(OSError, match="2 of 1 bytes came"):
        remote._check_whole(b"xx", described)


def test_only_what_has_changed_is_fetched_and_uploaded():
    upload_text("a.txt", "one")
    upload_text("b.txt", "two")
    folder = mirrored("flaky:/bucket/runs")
    upload_text("a.txt", "three")

    mirror = Mirror(folder)

    assert mirror.fetch() == 1
    assert (folder / "a.txt").read_text() == "three"
    assert mirror.fetch() == 0
    assert [mirror.push(path) for path in mirror.local()] == [False, False]


def test_what_a_command_deletes_is_deleted_there_and_what_is_missing_here_is_fetched_again():
    upload_text("a.txt", "one")
    upload_text("old.txt", "two")
    folder = mirrored("flaky:/bucket/runs")
    (folder / "a.txt").unlink()
    folder = mirrored("flaky:/bucket/runs")
    assert (folder / "a.txt").read_text() == "one"

    (folder / "old.txt").unlink()
    write_text(folder / "new.txt", "three")

    assert sorted(fsspec.filesystem("flaky").find("/bucket/runs")) == ["/bucket/runs/a.txt", "/bucket/runs/new.txt"]
    fsspec.filesystem("flaky").rm_file("/bucket/runs/a.txt")
    assert not (mirrored("flaky:/bucket/runs") / "a.txt").exists()


def upload_text(name, text):
    fsspec.filesystem("flaky").pipe_file(f"/bucket/runs/{name}", text.encode())


def test_a_store_that_never_answers_is_named(monkeypatch):
    Flaky.faults = ["refused"]
    monkeypatch.setattr(Flaky, "_next", lambda self: (_ for _ in ()).throw(OSError("503 Slow Down")))

    with pytest.raises(OSError, match=r"flaky://bucket/mine can't be read or written, after 7 attempts: 503 Slow Down"):
        mirrored("flaky:/bucket/mine")


def test_loose_frames_and_unknown_stores_are_refused():
    fsspec.filesystem("flaky").pipe_file("/bucket/mine/rawframes/a/v/img_00001.jpg", b"x")

    with pytest.raises(ValueError, match=r"^flaky://bucket/mine holds loose frames, rawframes/a/v/img.* \./run pack"):
        mirrored("flaky:/bucket/mine")
    with pytest.raises(ValueError, match="nowhere://bucket can't be reached"):
        mirrored("nowhere:/bucket")


def test_the_address_of_a_file_is_refused():
    upload_text("a.txt", "one")

    with pytest.raises(ValueError, match=r"^flaky://bucket/runs/a\.txt is a file\. Name the folder"):
        mirrored("flaky:/bucket/runs/a.txt")


def test_a_worker_elsewhere_opens_the_mirrors_of_the_command_once(tmp_path, monkeypatch):
    upload_text("a.txt", "one")
    folder = mirrored("flaky:/bucket/runs")
    away = pickle.dumps(remote.with_mirrors(read_with_life))

    def on_another_machine(work):
        return pickle.loads(work)(folder / "a.txt", lambda: None)

    shutil.rmtree(folder)
    monkeypatch.setattr(remote, "_open", {})
    assert on_another_machine(away) == "one"
    upload_text("a.txt", "three")
    assert on_another_machine(away) == "one"
    assert on_another_machine(pickle.dumps(remote.with_mirrors(read_with_life))) == "three"


def test_work_without_mirrors_is_left_as_it_is():
    assert remote.with_mirrors(read_with_life) is read_with_life


def read_with_life(path, show_life):
    return path.read_text()


def test_no_name_in_a_store_leads_out_of_the_mirror():
    listed = {"/bucket/mine/../../escaped": {"size": 1}, "/bucket/mine/.remote.json": {"size": 1}}
    mirror = Mirror.__new__(Mirror)
    mirror.address, mirror._root = "flaky://bucket/mine", "/bucket/mine"
    mirror._system = type("System", (), {"find": lambda *_, **__: listed, "invalidate_cache": lambda *_: None})()

    assert mirror._list() == {}


def test_a_file_in_a_data_set_from_elsewhere_cannot_say_what_is_read(tmp_path):
    planted = tmp_path / "set"
    (planted / "rawframes").mkdir(parents=True)
    (planted / ".remote.json").write_text(json.dumps({"address": f"file://{tmp_path}", "files": {}}))
    (tmp_path / "rawframes").mkdir()
    (tmp_path / "rawframes" / "v.zip").write_bytes(b"of somebody else")

    assert range_reader(planted / "rawframes" / "v.zip") is None
    assert not fetched(planted / "rawframes" / "v.zip").exists()


def test_a_mirror_of_another_address_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TWO_STREAM_CACHE", str(tmp_path))
    folder = tmp_path / "0123456789abcdef" / "set"
    folder.mkdir(parents=True)
    (folder / ".remote.json").write_text(json.dumps({"address": "memory://other", "files": {}}))

    with pytest.raises(ValueError, match="is no mirror of memory://other: delete it"):
        range_reader(folder / "v.zip")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("s3://bucket/set", True),
        ("gs:/bucket/set", True),
        ("C:\\data", False),
        ("c:/data", False),
        ("/data/set", False),
        ("hf:/owner/name", False),
        ("a/b", False),
    ],
)
def test_addresses_are_told_from_paths(path, answer):
    assert is_remote(path) == answer


def test_any_option_that_is_a_path_may_be_an_address():
    upload_text("a.txt", "one")
    parser = Parser("")
    parser.add_argument("--runs", type=Path)

    runs = parser.parse_args(["--runs", "flaky://bucket/runs"]).runs

    assert (runs / "a.txt").read_text() == "one"


def test_the_fitting_training_is_that_of_the_same_data_on_the_disk(packed):
    upload(packed.root, "flaky://bucket/mine")
    words = ["--dataset", "mine", "--backbone", "small", "--crop-size", "16"]

    local, far = (
        recipe_presets([*words, "--root", str(root)], "spatial") for root in (packed.root, "flaky://bucket/mine")
    )

    assert local == far
    assert local["shown"] == "most"


def needs(*packages):
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


STORES = [
    pytest.param("s3", s3_store, "AWS_ENDPOINT_URL", marks=needs("moto", "s3fs", "flask")),
    pytest.param("gs", gs_store, "STORAGE_EMULATOR_HOST", marks=needs("gcp_storage_emulator", "gcsfs")),
]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("scheme", "store", "variable"), STORES)
def test_a_training_and_its_evaluation_live_in_a_bucket(packed, tmp_path, monkeypatch, scheme, store, variable):
    with store() as (port, settings), faulty(port) as server:
        for name, value in {**settings, variable: f"http://127.0.0.1:{port}"}.items():
            monkeypatch.setenv(name, value)
        bucket = fsspec.filesystem(scheme, skip_instance_cache=True)
        bucket.mkdir("bucket")
        upload(packed.root, f"{scheme}://bucket/mine")
        far = {**os.environ, variable: f"http://127.0.0.1:{server.server_port}", **IMPATIENT}
        here = {"--root": packed.root, "--runs": tmp_path / "runs"}

        train_and_evaluate(here, dict(os.environ))
        train_and_evaluate({name: f"{scheme}://bucket/{place.name}" for name, place in here.items()}, far)

        names = [f"{stream}/split1/{name}" for stream in STREAMS for name in ("model.keras", "scores/test_3x1.h5")]
        for name in names:
            assert bucket.cat_file(f"bucket/runs/mine/{name}") == (tmp_path / "runs" / "mine" / name).read_bytes()
        assert b"</html>" in bucket.cat_file("bucket/runs/mine/fusion/split1/report.html")
        print(server.asked, server.spoiled)
        assert {"refused", "half", "late"} <= set(server.spoiled)


@needs("moto", "s3fs", "flask")
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_hosts_and_workers_of_a_cluster_share_nothing_but_a_bucket(packed, tmp_path, monkeypatch):
    with s3_store() as (port, settings):
        for name, value in {**settings, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
            monkeypatch.setenv(name, value)
        bucket = fsspec.filesystem("s3", skip_instance_cache=True)
        bucket.mkdir("bucket")
        upload(packed.root, "s3://bucket/mine")
        places = ["--root", "s3://bucket/mine", "--runs", "s3://bucket/runs"]
        hosts = ",".join(f"127.0.0.1:{number}" for number in free_ports(2))
        words = [sys.executable, str(PROJECT / "spatial" / "train.py"), *SMALL, "--batch-size", "2", *places]

        together = [
            subprocess.Popen(
                [*words, "--hosts", hosts, "--host-index", str(each)], env=of_machine(tmp_path / str(each))
            )
            for each in range(2)
        ]
        assert [process.wait() for process in together] == [0, 0]

        evaluate = [sys.executable, str(PROJECT / "fusion" / "evaluate.py"), *SCORED, "--stream", "spatial", *places]
        file = "bucket/runs/mine/spatial/split1/scores/test_3x1.h5"
        found = []
        with dask_cluster(tmp_path, "127.0.0.1", of_machine(tmp_path / "worker")) as (address, _):
            for more in (["--cluster", address], ["--rescore"]):
                done = subprocess.run(
                    [*evaluate, *more], env=of_machine(tmp_path / "4"), capture_output=True, text=True
                )
                assert done.returncode == 0, done.stderr
                found.append(bucket.cat_file(file))
        assert found[0] == found[1]


def of_machine(home):
    """The environment of a process on a machine of its own, which has another home."""
    return {**os.environ, "TWO_STREAM_CACHE": str(home)}


def test_machines_cannot_meet_again_in_a_bucket():
    config, folder = TrainConfig(dataset="made", hosts="a:1,b:2", rejoin_seconds=5.0), mirrored("flaky:/bucket/runs")

    with pytest.raises(ValueError, match="Name a shared folder by --runs"), rejoining(config, folder / "made"):
        pass


STREAMS = "spatial", "temporal"
SMALL = ["--backbone", "small", "--weights", "none", "--crop-size", "32", "--epochs", "1", "--batch-size", "3"]
SMALL += ["--protocol", "paper", "--dataset", "mine"]
SCORED = ["--dataset", "mine", "--views", "3", "--crops", "1", "--method", "average", "--no-questions"]
# What makes the clients of both stores give up soon on an answer that is late.
IMPATIENT = {
    "FSSPEC_S3": json.dumps({"config_kwargs": {"read_timeout": PATIENCE, "retries": {"max_attempts": 1}}}),
    "FSSPEC_GCS": json.dumps({"requests_timeout": PATIENCE}),
}


def train_and_evaluate(places, environment):
    words = [str(word) for option in places.items() for word in option]
    for command in ([*SMALL, "spatial"], [*SMALL, "temporal"], SCORED):
        script = f"{command[-1]}/train.py" if command[-1] in STREAMS else "fusion/evaluate.py"
        command = [sys.executable, PROJECT / script, *(word for word in command if word not in STREAMS), *words]
        done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_header_tells_a_wrong_file(packed):
    path = archive_path(packed, packed.videos["v0"])
    with zipfile.ZipFile(path) as archive:
        info = archive.infolist()[3]
        content = archive.read(info)
    before = path.read_bytes()[info.header_offset : info.header_offset + 30 + len(info.filename)]

    remote.checked_member(before, content, "it")
    with pytest.raises(OSError, match="wrong checksum"):
        remote.checked_member(before, np.frombuffer(content, np.uint8)[::-1].tobytes(), "it")
