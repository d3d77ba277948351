"""Other projects' own classes read our folders and lists, and see the arrays that our pipeline makes.

These tests run where the projects are installed: mmaction2 as a package, tsn-pytorch as a folder on PYTHONPATH.
"""

import numpy as np
import pytest

from data.catalog import Split
from data.sets.mmaction_lists import write_lists
from pipelines.clips import video_views
from pipelines.inputs import Input
from tests.makers.frames import HEIGHT, WIDTH, made_dataset

pytestmark = pytest.mark.slow
RGB, FLOW = ("rgb", Input("rgb")), ("flow", Input("flow", 5))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three videos of noise in colour, tested on all, with lists for mmaction2."""
    random = np.random.default_rng(0)

    def noise(_):
        return random.integers(0, 256, (HEIGHT, WIDTH), np.uint8)

    def colours(_):
        return random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)

    counts = {"a": 31, "b": 47, "c": 80}
    made = made_dataset(tmp_path_factory.mktemp("made"), counts, frame=colours, x=noise, y=noise)
    made.splits[1] = Split(tuple(counts), tuple(counts))
    write_lists(made)
    return made


def views_of(dataset, clip, num_views, sampling):
    videos = dataset.part(1, "test")
    return [views.numpy() for views, _ in video_views(dataset, videos, clip, num_views=num_views, sampling=sampling)]


@pytest.mark.parametrize(("modality", "clip"), [RGB, FLOW], ids=["rgb", "flow"])
def test_tsn_pytorch_sees_what_our_pipeline_makes(dataset, modality, clip, tmp_path):
    theirs = pytest.importorskip("dataset", reason="tsn-pytorch is not on PYTHONPATH")
    if not hasattr(theirs, "TSNDataSet"):
        pytest.skip("the module dataset is not that of tsn-pytorch")
    videos = dataset.part(1, "test")
    counts = [video.num_frames if modality == "rgb" else video.num_flows for video in videos]
    lines = [f"{dataset.frame_folder(v)} {count} {v.label}" for v, count in zip(videos, counts, strict=True)]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    found = theirs.TSNDataSet(
        "",
        str(tmp_path / "list.txt"),
        num_segments=25,
        new_length=clip.length,
        modality={"rgb": "RGB", "flow": "Flow"}[modality],
        image_tmpl={"rgb": "img_{:05d}.jpg", "flow": "flow_{}_{:05d}.jpg"}[modality],
        test_mode=True,
        transform=lambda images: np.stack([np.asarray(image) for image in images]),
    )

    for number, views in enumerate(views_of(dataset, clip, 25, "middles")):
        images, label = found[number]
        expected = (
            images if modality == "rgb" else images.reshape(25, clip.channels, HEIGHT, WIDTH).transpose(0, 2, 3, 1)
        )
        np.testing.assert_array_equal(views, expected)
        assert label == videos[number].label


@pytest.mark.parametrize(("modality", "clip"), [RGB, FLOW], ids=["rgb", "flow"])
def test_mmaction2_sees_what_our_pipeline_makes(dataset, modality, clip):
    theirs = pytest.importorskip("mmaction.datasets", reason="mmaction2 is not installed")
    # Its package on PyPI lacks a file of its networks, so only the data sets are registered.
    pytest.importorskip("mmengine").init_default_scope("mmaction")
    # It takes single frames from the middles of equal parts, and stacks from the first to the last. Halfway between two
    # fields it rounds to the even one and we round up; of eight stacks none lies there.
    sampling = "middles" if modality == "rgb" else "ends"
    kind = {"rgb": "rawframes", "flow": "flow"}[modality]
    found = theirs.RawframeDataset(
        ann_file=str(dataset.root / "mmaction2" / f"{dataset.name}_val_split_1_{kind}.txt"),
        pipeline=[
            {"type": "SampleFrames", "clip_len": clip.length, "frame_interval": 1, "num_clips": 8, "test_mode": True},
            {"type": "RawFrameDecode"},
        ],
        data_prefix={"img": str(dataset.root / "rawframes")},
        filename_tmpl={"rgb": "img_{:05d}.jpg", "flow": "flow_{}_{:05d}.jpg"}[modality],
        modality={"rgb": "RGB", "flow": "Flow"}[modality],
        test_mode=True,
    )

    for number, views in enumerate(views_of(dataset, clip, 8, sampling)):
        seen = found[number]
        images = np.stack(seen["imgs"])
        if modality == "flow":  # Pairs of x and y, [8 * length, H, W, 2].
            fields = images.reshape(8, clip.length, HEIGHT, WIDTH, 2)
            images = fields.transpose(0, 2, 3, 1, 4).reshape(8, HEIGHT, WIDTH, clip.channels)
        np.testing.assert_array_equal(views, images)
        assert seen["label"] == dataset.part(1, "test")[number].label
