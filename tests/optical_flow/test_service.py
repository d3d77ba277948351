"""One process computes flow for many workers: in batches over their videos, the same flow as for each alone."""

import threading
from functools import partial

import numpy as np
import pytest

from data.extraction.all_videos import prepare
from data.extraction.one_video import Job, extract_video
from data.extraction.workers import run_jobs
from data.optical_flow.engine import FlowEngine, flow_engine, xla_engine
from data.optical_flow.frames import grey
from data.optical_flow.gpu_service import FlowService, ask_flow, flow_process
from data.ready import open_dataset
from data.store.description import Recipe
from tests.makers.data import write_clip

BATCH = 6


class Recorder:
    """An engine whose flow is the difference of the frames, and that remembers its batches."""

    def __init__(self):
        self.batches = []

    def engine(self):
        return FlowEngine("recorder", BATCH, grey, self.flow_of_prepared)

    def flow_of_prepared(self, firsts, seconds):
        self.batches.append([(first.shape, int(first[0, 0]) // 100) for first in firsts])
        if firsts[0].shape == (16, 99):
            raise RuntimeError("the card is full")
        return np.stack([np.dstack([second - first] * 2) for first, second in zip(firsts, seconds, strict=True)])


def pairs_of(video, count, size=(20, 24)):
    frames = [np.full(size, 100 * video + index, np.uint8) for index in range(count + 1)]
    return [(frames[index], frames[index + 1]) for index in range(count)]


def ask_together(address, videos):
    """Asks for the flow of several videos from as many threads at once."""
    flows, barrier = {}, threading.Barrier(len(videos))

    def ask(name, pairs):
        barrier.wait()
        flows[name] = list(ask_flow(address, pairs))

    threads = [threading.Thread(target=ask, args=item) for item in videos.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return flows


def test_batches_are_filled_from_several_videos_and_each_gets_its_own_flow_in_order():
    recorder = Recorder()

    with FlowService(recorder.engine()) as service:
        flows = ask_together(service.address, {video: pairs_of(video, 9) for video in (0, 1)})

    assert [len(batch) for batch in recorder.batches] == [BATCH] * 3
    assert any(len({video for _, video in batch}) == 2 for batch in recorder.batches)
    for video in (0, 1):
        assert len(flows[video]) == 9
        assert all((flow == 1).all() for flow in flows[video])


def test_sizes_do_not_mix_in_a_batch_and_a_rare_one_is_not_forgotten():
    recorder = Recorder()
    videos = {0: pairs_of(0, 40), 1: pairs_of(1, 2, size=(18, 30))}

    with FlowService(recorder.engine()) as service:
        flows = ask_together(service.address, videos)

    assert all(len({size for size, _ in batch}) == 1 for batch in recorder.batches)
    assert {video: len(found) for video, found in flows.items()} == {0: 40, 1: 2}


def test_an_engine_that_fails_tells_who_asked_and_serves_the_others():
    with FlowService(Recorder().engine()) as service:
        with pytest.raises(OSError, match="the card is full"):
            list(ask_flow(service.address, pairs_of(0, 3, size=(16, 99))))

        assert len(list(ask_flow(service.address, pairs_of(0, 3)))) == 3


def test_a_service_that_has_ended_is_said_to_have_ended():
    with FlowService(Recorder().engine()) as service:
        address = service.address

    with pytest.raises(OSError, match="The process that computes flow for all workers has ended"):
        list(ask_flow(address, pairs_of(0, 1)))


def test_who_waits_for_a_service_that_hangs_shows_no_life_for_ever():
    ended, signs = threading.Event(), []

    def hang(firsts, seconds):
        ended.wait(1.5)
        raise RuntimeError("the card is gone")

    with FlowService(FlowEngine("hanging", BATCH, grey, hang)) as service, pytest.raises(OSError, match="gone"):
        list(ask_flow(service.address, pairs_of(0, 1), lambda: signs.append(1), patience=0.0))

    assert not signs


def test_a_gpu_that_is_not_there_is_said_before_anything_is_prepared(tmp_path):
    for name in ("a1", "a2", "b1", "b2"):
        write_clip(tmp_path / "videos" / name[0] / f"{name}.avi")
    try:
        flow_engine("gpu")
    except ValueError:
        with pytest.raises(ValueError, match="TensorFlow finds no GPU"):
            prepare(open_dataset("mine", tmp_path), 1, Recipe(engine="gpu"))
        assert not list(tmp_path.rglob("img_*"))
    else:
        pytest.skip("there is a GPU")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_any_number_of_workers_writes_the_same_bytes(tmp_path):
    sources = [write_clip(tmp_path / f"{number}.avi", frames=5, size=(48, 40), seed=number) for number in range(5)]

    def written(workers):
        folder = tmp_path / f"by {workers}"
        jobs = [Job(source, folder / source.stem, source.stem, "", Recipe(preset="fast")) for source in sources]
        assert all(row.state == "ready" for _, row in run_jobs(extract_video, jobs, workers=workers))
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.jpg")}

    assert len(written(1)) == 5 * (5 + 2 * 4)
    assert written(1) == written(3)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_that_share_a_service_write_the_bytes_that_each_video_gets_alone(tmp_path):
    recipe = Recipe(preset="fast", engine="gpu")
    names = {f"video {number}": (32, 24) if number % 2 else (24, 32) for number in range(5)}
    sources = {name: write_clip(tmp_path / f"{name}.avi", frames=7, size=size) for name, size in names.items()}

    def extract(folder, videos, address):
        jobs = [Job(sources[name], tmp_path / folder / name, name, "", recipe, flow_service=address) for name in videos]
        rows = [row for _, row in run_jobs(extract_video, jobs, workers=2)]
        assert all((row.state, row.flows) == ("ready", 6) for row in rows), rows

    with flow_process(partial(xla_engine, "fast", 4)) as address:
        extract("together", names, address)
        for name in names:
            extract("alone", [name], address)

    def files(folder):
        return {path.relative_to(tmp_path / folder): path.read_bytes() for path in (tmp_path / folder).rglob("*.jpg")}

    assert files("together") == files("alone")
    assert len(files("together")) == 5 * (7 + 2 * 6)
