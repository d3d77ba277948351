"""Tests that clips straight from videos have the pixels of stored files, or those of lossless files."""

import dataclasses
import shutil
from itertools import islice

import numpy as np
import pytest
import tensorflow as tf

from data.extraction.decoder import Decoder, resized
from data.extraction.on_demand.workers import ItemWorkers, Wanted, make_here
from data.flow import flow_of_video, quantise
from data.optical_flow.engine import xla_engine
from data.optical_flow.gpu_service import FlowService
from data.optical_flow.trial import may_have_gpu
from data.ready import ready_dataset
from data.store.description import recipe_of
from data.store.index import find_description
from pipelines.clips import video_views
from pipelines.inputs import Input
from pipelines.sampling import clip_items
from pipelines.source import source_of
from pipelines.unreadable import readable_views
from tests.makers.batches import stream_of, take, videos_of
from tests.makers.encoded import RECIPE, indexed, stored, write_videos

CLIPS = (
    Input("rgb"),
    Input("grey", 3),
    Input("sg3i", 3),
    Input("rgb_difference", 2),
    Input("rgb_spread", 3),
    Input("flow", 3),
    Input("flow", 2, segments=3, stride=2),
    Input("trajectory", 3),
    Input("bidirectional", 4),
    Input("flow_stacks", 2),
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Twelve videos in H.264 and MPEG-4."""
    return write_videos(tmp_path_factory.mktemp("videos"))


def copied(videos, root):
    shutil.copytree(videos, root)
    return root


@pytest.fixture(scope="module")
def exact(videos, tmp_path_factory):
    """The videos with nothing but an index."""
    return indexed(copied(videos, tmp_path_factory.mktemp("exact") / "mine"))


@pytest.fixture(
    scope="module",
    params=[pytest.param(False, id="forward"), pytest.param(True, id="backward", marks=pytest.mark.slow)],
)
def both(request, videos, tmp_path_factory):
    """The videos stored, and the same with an index and `--as-stored`; perhaps with backward flow."""
    root = tmp_path_factory.mktemp("both")
    return (
        stored(copied(videos, root / "stored"), backward=request.param),
        indexed(copied(videos, root / "mine"), as_stored=True, backward=request.param),
    )


def lossless(dataset, video):
    """All frames of a video, resized, and the levels of all flow between them, as PNG files would hold them."""
    path = dataset.root / "videos" / video.relative_path
    frames = [resized(frame, RECIPE.short_side) for _, frame in Decoder(path).frames()]
    fields = [quantise(field) for field in flow_of_video(frames, "dis", "balanced")]
    return np.stack(frames), np.stack(fields)


@pytest.mark.parametrize("clip", [Input("rgb"), Input("rgb_difference", 2), Input("flow", 3, stride=2)], ids=str)
def test_clips_are_what_lossless_files_would_hold(exact, clip):
    videos = videos_of(exact)
    whole = {video.name: lossless(exact, video)[clip.is_flow] for video in videos}
    stream = stream_of(exact, clip, batch_size=12, crop_size=32)

    (clips, _) = next(iter(stream.batches()))

    plan = {name: values.numpy() for name, values in stream.plan(0).items()}
    for place, pixels in enumerate(clips.numpy()):
        items = whole[videos[plan["row"][place]].name]
        chosen = items[clip_items(clip, plan["starts"][place, 0], np.int32(len(items)))]
        expected = np.concatenate(list(chosen), axis=-1)
        top, left = (plan["randoms"][place, :2] * (np.array(expected.shape[:2]) - 32 + 1)).astype(int)
        expected = expected[top : top + 32, left : left + 32]
        if plan["randoms"][place, 4] < 0.5:
            expected = expected[:, ::-1].copy()
            if clip.is_flow:
                expected[..., 0::2] = 256 - expected[..., 0::2].astype(int)
        np.testing.assert_array_equal(pixels, expected)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_flow_of_the_gpus_service_is_that_of_the_processors_in_both_directions(videos, tmp_path):
    dataset = indexed(copied(videos, tmp_path / "mine"), method="tvl1", preset="fast", backward=True)
    video, making = videos_of(dataset)[-1], recipe_of(dataset.root)
    path = dataset.root / "videos" / video.relative_path
    wanted = Wanted(path, dataset.frame_folder(video), "flow", (0, 1, 4, 5, 10))
    workers = ItemWorkers(1)

    with FlowService(xla_engine("fast", 4)) as service:
        found = workers.make(wanted, making, service.address)
    workers.close()

    expected = make_here(wanted, making)
    apart = np.abs(found.astype(int) - np.stack([expected[item] for item in wanted.items]))
    assert apart.max() <= 1
    assert apart.mean() < 1e-3


@pytest.mark.skipif(may_have_gpu(), reason="there may be a GPU")
def test_without_its_gpu_flow_is_computed_by_the_processors_and_says_so(videos, tmp_path, capsys):
    def clips(engine):
        root = copied(videos, tmp_path / engine / "mine")
        dataset = indexed(root, method="tvl1", preset="fast", engine=engine)
        return take(dataset, Input("flow", 2), 1, batch_size=4, crop_size=32)[0][0]

    np.testing.assert_array_equal(clips("gpu"), clips("cpu"))
    assert capsys.readouterr().out.count("TensorFlow finds none here. So the processors compute it") == 1


@pytest.mark.parametrize("kind", ["rgb", "flow"])
def test_views_are_what_lossless_files_would_hold(exact, kind):
    videos, clip = videos_of(exact), Input(kind)

    found = list(video_views(exact, videos, clip, num_views=5))

    for video, (views, label) in zip(videos, found, strict=True):
        items = lossless(exact, video)[kind == "flow"]
        starts = source_of(exact, [video], clip).view_starts(tf.constant([0]), 5)[0].numpy()
        assert label == video.label
        np.testing.assert_array_equal(views.numpy(), items[starts])


@pytest.mark.parametrize("augment", ["flip", pytest.param("corners", marks=pytest.mark.slow)])
@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_as_stored_batches_are_those_of_stored_files(both, clip, augment):
    on_disk, from_videos = both

    expected, found = (list(take(dataset, clip, 2, batch_size=5, crop_size=32, augment=augment)) for dataset in both)

    assert find_description(on_disk.root) == find_description(from_videos.root)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(other[0], one[0])
        np.testing.assert_array_equal(other[1], one[1])


@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_as_stored_views_and_validation_are_those_of_stored_files(both, clip):
    if clip.segments == 1:
        expected, found = (list(video_views(each, videos_of(each), clip, num_views=4)) for each in both)
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(other[0], one[0])

    streams = [stream_of(each, clip, held_out=videos_of(each)[:3]) for each in both]

    for one, other in zip(*(stream.validation() for stream in streams), strict=True):
        np.testing.assert_array_equal(other[0], one[0])


def test_as_stored_fields_for_the_device_are_those_of_stored_files(both):
    batches = [next(iter(stream_of(each, Input("flow", 2), on_device=True).batches()))[0] for each in both]

    for name in batches[0]:
        np.testing.assert_array_equal(batches[1][name], batches[0][name])


def test_batches_depend_on_the_seed_and_the_step_alone(exact):
    clip = Input("flow", 2)
    whole = list(take(exact, clip, 3, batch_size=4))

    again = take(exact, clip, 1, batch_size=4, step=2)
    parts = [take(exact, clip, 1, batch_size=4, step=2, shard=(number, 2))[0][0] for number in range(2)]

    np.testing.assert_array_equal(again[0][0], whole[2][0])
    np.testing.assert_array_equal(np.concatenate(parts), whole[2][0])


@pytest.fixture
def damaged(videos, tmp_path):
    """A data set of which one video was cut off after it was indexed."""
    dataset = indexed(copied(videos, tmp_path / "mine"))
    path = dataset.root / "videos" / dataset.videos["left1"].relative_path
    path.write_bytes(path.read_bytes()[:1500])
    return dataset, path


def test_a_video_that_has_changed_is_named_with_the_command_that_helps(damaged):
    dataset, path = damaged
    stream = stream_of(dataset, Input("rgb"), batch_size=12)

    explained = stream.broken(0)

    assert explained.startswith(f"{path} can't be decoded (It has 1,500 bytes, and had")
    assert "Run: ./run doctor mine --root" in explained
    with pytest.raises(ValueError, match=r"A view of left1 can't be read: .*when it was indexed"):
        list(readable_views(dataset, videos_of(dataset), Input("flow", 2), num_views=3))


def test_a_video_that_is_gone_is_named(damaged):
    dataset, path = damaged
    path.unlink()

    assert stream_of(dataset, Input("rgb"), batch_size=12).broken(0).startswith(f"{path} is missing. ")


def test_clips_that_cannot_be_made_are_skipped_and_counted(damaged):
    dataset, _ = damaged
    stream = stream_of(dataset, Input("rgb"), batch_size=12, skipped=set())

    batches = list(islice(stream.batches(), 2))

    assert all(clips.shape == (12, 32, 32, 3) for clips, _ in batches)
    assert stream.num_skipped(2) == {"left1": 2}


def test_a_worker_that_is_killed_is_replaced(exact):
    from data.extraction.on_demand.workers import item_workers

    before = take(exact, Input("rgb"))
    for worker in item_workers()._all:
        worker.companion.kill()

    after = take(exact, Input("rgb"))

    np.testing.assert_array_equal(after[0][0], before[0][0])


def test_nothing_but_an_index_is_stored(exact):
    files = {path.name for path in exact.root.glob("rawframes/**/*") if path.is_file()}

    assert files == {"seeking.bin", "video.json"}
    assert exact.layout.name == "videos"
    assert find_description(exact.root)["jpeg_quality"] is None


def test_an_index_and_stored_files_do_not_mix(both, exact):
    on_disk, _ = both

    with pytest.raises(ValueError, match=r"holds frames or flow already"):
        indexed(on_disk.root)
    with pytest.raises(ValueError, match=r"holds an index of its videos, and no frames or flow"):
        from data.extraction.all_videos import prepare

        prepare(exact, 1, dataclasses.replace(RECIPE, jpeg_quality=None))
    assert ready_dataset("mine", exact.root).layout.name == "videos"
