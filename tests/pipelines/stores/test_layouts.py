import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from data.catalog import Layout
from pipelines.clips import video_views
from pipelines.inputs import Input
from pipelines.source import Source
from tests.makers.batches import clip_of_items, stream_of
from tests.makers.frames import flat, made_dataset, x_level, y_level

GRAZ = Layout(
    "graz",
    frame="jpegs/{video}/frame{number}.jpg",
    flow_x="flow/u/{video}/frame{number}.jpg",
    flow_y="flow/v/{video}/frame{number}.jpg",
    digits=6,
    flow_digits=6,
    first=1,
    rule="classic",
)
PLAIN = Layout("plain", frame="{folder}/{video}/frame{number}.jpg", digits=0, first=0)


def first_views(dataset, clip, num_views=1):
    return next(iter(video_views(dataset, list(dataset.videos.values()), clip, num_views=num_views)))[0].numpy()


@pytest.mark.parametrize("layout", [GRAZ, PLAIN])
def test_frames_of_other_tools_are_read_in_place(tmp_path, layout):
    dataset = made_dataset(tmp_path, {"v_a": 12}, layout=layout)

    views = first_views(dataset, Input("grey", 3), num_views=10)

    np.testing.assert_array_equal(views[-1, 0, 0], [20 + 8 * index for index in (9, 10, 11)])


def test_a_folder_that_another_tool_spelt_differently_is_read_under_the_name_of_its_video(tmp_path):
    layout = Layout("theirs", frame="{folder}/{video}/frame{number}.jpg", flow_x="u/{video}/{number}.jpg")
    spelt = made_dataset(tmp_path, {"v_HandStand": 5}, layout=layout)
    stored = dataclasses.replace(spelt.videos["v_HandStand"], name="v_Handstand", stored="v_HandStand")
    dataset = dataclasses.replace(spelt, videos={"v_Handstand": stored})

    assert Source(dataset, [stored], Input("rgb")).columns("name", [0]).numpy().tolist() == [b"v_Handstand"]
    for clip in (Input("rgb"), Input("flow", 2)):
        np.testing.assert_array_equal(first_views(dataset, clip, 3), first_views(spelt, clip, 3))


def test_the_classic_rule_mirrors_around_its_own_stillness(tmp_path):
    dataset = made_dataset(tmp_path, {"v_a": 3}, layout=GRAZ)
    batches = stream_of(dataset, Input("flow", 1), batch_size=16, augment="flip").batches()

    clips = next(iter(batches))[0].numpy()[:, 0, 0].astype(int)

    assert {x for x, _ in clips} <= {x_level(0), x_level(1), 255 - x_level(0), 255 - x_level(1)}
    assert any(x < 128 for x, _ in clips)
    assert {y for _, y in clips} <= {y_level(0), y_level(1)}


def test_files_of_float_flow_are_read_as_levels(tmp_path):
    layout = Layout("floats", flow_x="flows/{video}/flow_{number}_{next}.npy", flow_digits=0, rule="floats")
    dataset = dataclasses.replace(made_dataset(tmp_path, {"v_a": 4}), layout=layout)
    folder = tmp_path / "flows" / "v_a"
    folder.mkdir(parents=True)
    for number in range(1, 4):
        field = np.zeros((40, 48, 2), np.float32)
        field[..., 0] = number * 20 / 127
        np.save(folder / f"flow_{number}_{number + 1}.npy", field)

    views = first_views(dataset, Input("flow", 3))
    batches = stream_of(dataset, Input("flow", 3), batch_size=2).batches()

    np.testing.assert_array_equal(views[0, 5, 5], [129, 128, 130, 128, 131, 128])
    assert next(iter(batches))[0].shape == (2, 32, 32, 6)


@pytest.mark.parametrize("clip", [Input("flow", 4), Input("bidirectional", 4), Input("trajectory", 4)])
def test_clips_made_of_fields_in_memory_are_those_that_are_read(tmp_path, clip):
    generator = np.random.default_rng(0)
    dataset = made_dataset(tmp_path, {"a": 5}, x=lambda index: flat(int(generator.integers(60, 200))))
    fields = first_views(dataset, Input("flow", 1), num_views=4)

    made = clip_of_items(fields, clip)

    np.testing.assert_array_equal(made, first_views(dataset, clip)[0])
    assert made.dtype == tf.uint8
