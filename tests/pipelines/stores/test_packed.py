import dataclasses
import json
import re
import zipfile
from itertools import islice

import numpy as np
import pytest

from data.catalog import OURS, PACKED, Layout
from data.pack import pack, unpack
from data.store.whole_folder import archive_path
from pipelines.clips import video_views
from pipelines.inputs import Input
from pipelines.unreadable import readable_views
from tests.makers.batches import stream_of
from tests.makers.frames import made_dataset, write

CLIPS = (
    Input("rgb"),
    Input("grey", 3),
    Input("rgb_difference", 2),
    Input("flow", 3, segments=2),
    Input("bidirectional", 2),
    Input("trajectory", 3),
)


@pytest.fixture
def loose(tmp_path):
    """Three videos of which one is shorter than a clip, with backward flow of its own."""
    dataset = made_dataset(tmp_path, {"a": 7, "b": 3, "c": 5})
    (tmp_path / "flow.json").write_text(json.dumps({"backward": True, "bound": 20.0}))
    generator = np.random.default_rng(0)
    for video in dataset.videos.values():
        for index in range(video.num_flows):
            for pattern in (OURS.back_x, OURS.back_y):
                layout = dataclasses.replace(OURS, frame=pattern)
                write(layout.frame_path(tmp_path, video, index), generator.integers(60, 200, (40, 48), np.uint8))
    return dataset


def packed(dataset):
    pack(dataset)
    return dataclasses.replace(dataset, layout=Layout(PACKED))


def everything(dataset):
    """The first batches and the views of several kinds of clips."""
    videos = list(dataset.videos.values())
    for clip in CLIPS:
        batches = stream_of(dataset, clip, batch_size=4, augment="corners").batches()
        yield from (clips.numpy() for clips, _ in islice(batches, 2))
        yield from (views.numpy() for views, _ in video_views(dataset, videos, clip, num_views=4))


def snapshot(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_packed_and_loose_files_give_the_same_clips(loose):
    expected = list(everything(loose))

    found = list(everything(packed(loose)))

    assert len(list(loose.root.rglob("*.jpg"))) == 0
    for clips, expected_clips in zip(found, expected, strict=True):
        np.testing.assert_array_equal(clips, expected_clips)


def test_unpacking_gives_every_byte_back(loose):
    before = snapshot(loose.root)

    unpack(packed(loose))

    assert snapshot(loose.root) == before


def test_an_archive_opens_with_any_zip_tool(loose):
    video = loose.videos["b"]
    frame = loose.layout.frame_path(loose.root, video, 1).read_bytes()

    dataset = packed(loose)

    with zipfile.ZipFile(archive_path(dataset, video)) as archive:
        assert archive.testzip() is None
        assert archive.read("img_00002.jpg") == frame


def test_packing_goes_on_where_it_was_interrupted(loose):
    from data.store.whole_folder import pack_video

    pack_video(loose, loose.videos["a"])

    assert pack(loose) == 3
    assert json.loads((loose.root / "layout.json").read_text()) == {"name": PACKED}


def test_a_damaged_archive_is_named(loose):
    dataset = packed(loose)
    path = archive_path(dataset, dataset.videos["a"])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)

    message = stream_of(dataset, Input("rgb")).broken(0)

    assert message.startswith(f"{path} is damaged in ")


def test_a_missing_archive_is_named_with_the_command_that_makes_it(loose):
    dataset = packed(loose)
    path = archive_path(dataset, dataset.videos["b"])
    path.unlink()

    explained = stream_of(dataset, Input("rgb"), batch_size=3).broken(0)

    assert re.search(rf"{path} is missing\..*./run doctor made --root .* --fix", explained)


@pytest.mark.parametrize("clip", CLIPS)
def test_an_archive_that_is_cut_off_is_named(loose, clip):
    dataset = packed(loose)
    path = archive_path(dataset, dataset.videos["b"])
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(ValueError, match=rf"A view of b can't be read: {path} can't be.*./run doctor made"):
        list(readable_views(dataset, list(dataset.videos.values()), clip, num_views=3))


def test_foreign_layouts_stay_as_they_are(loose):
    with pytest.raises(ValueError, match=r"Only data that ./run prepare made can be packed"):
        pack(dataclasses.replace(loose, layout=Layout("mmaction2")))


def test_what_is_half_packed_is_neither_read_nor_prepared_again(loose):
    from data.catalog import HALF_PACKED
    from data.store.whole_folder import begin_storing

    (loose.root / "layout.json").write_text(json.dumps({"name": HALF_PACKED}))
    half = dataclasses.replace(loose, layout=Layout(HALF_PACKED))

    with pytest.raises(ValueError, match=r"half packed. Type ./run pack made --root .* to finish"):
        stream_of(half, Input("rgb"), batch_size=2).batches()
    with pytest.raises(ValueError, match=r"with: ./run pack made --root .* --unpack"):
        begin_storing(loose.root, "made", packed=False)
