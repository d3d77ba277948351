import dataclasses
from itertools import islice

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipelines.assemble import clip_of_items
from pipelines.clips import distinct_views, read_clips, train_batches, validation_batches, video_views
from pipelines.drawing import Drawing, batch_videos
from pipelines.inputs import FLOW_KINDS, Input
from pipelines.source import Source
from tests.made_frames import HEIGHT, WIDTH, flat, frame_level, made_dataset, write, x_level, y_level


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Nine videos of 12 frames, of which the n-th frame and the n-th field are levels that say n."""
    return made_dataset(tmp_path_factory.mktemp("made"), {f"v{number}": 12 for number in range(9)})


@pytest.fixture(scope="module")
def textured(tmp_path_factory):
    """Frames and flow of noise, so that every place looks different."""
    generator = np.random.default_rng(0)

    def noise(index):
        small = generator.integers(40, 216, (HEIGHT // 4, WIDTH // 4), np.uint8)
        return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)

    return made_dataset(tmp_path_factory.mktemp("noise"), {"a": 6, "b": 6, "c": 6}, frame=noise, x=noise, y=noise)


def videos_of(dataset):
    return list(dataset.videos.values())


def take(dataset, clip, steps=1, **settings):
    """The first batches as NumPy."""
    settings = {"batch_size": 6, "crop_size": 32} | settings
    batches = train_batches(dataset, videos_of(dataset), clip, **settings)
    return [(clips.numpy(), labels.numpy()) for clips, labels in islice(batches, steps)]


def levels_of(clip):
    """The level of each channel of a clip of flat images."""
    assert (clip == clip[..., :1, :1, :]).all()
    return clip[..., 0, 0, :]


def is_run(levels, level_of, length):
    """Whether the levels are those of consecutive indexes."""
    return any([level_of(start + i) for i in range(length)] == list(levels) for start in range(12))


def test_a_stack_is_consecutive_fields_with_x_and_y_in_turn(dataset):
    ((clips, _),) = take(dataset, Input("flow", 4), drawing=Drawing("none"))

    for levels in levels_of(clips):
        assert is_run(levels[0::2], x_level, 4)
        assert is_run(levels[1::2], y_level, 4)
        assert levels[1] - levels[0] == 2


def test_views_go_from_the_first_clip_of_a_video_to_its_last(dataset):
    ((views, label), *_) = video_views(dataset, videos_of(dataset)[:1], Input("flow", 4), num_views=3)

    assert views.shape == (3, HEIGHT, WIDTH, 8)
    assert label == 0
    np.testing.assert_array_equal(levels_of(views.numpy())[:, 0], [x_level(0), x_level(4), x_level(7)])


def test_distinct_views_hold_each_view_once(dataset):
    ((views, of_view, _),) = distinct_views(dataset, videos_of(dataset)[:1], Input("rgb"), num_views=25)

    assert views.shape == (12, HEIGHT, WIDTH, 3)
    levels = levels_of(views.numpy())[:, 0]
    assert levels[of_view[0]] == frame_level(0)
    assert levels[of_view[-1]] == frame_level(11)
    assert (np.diff(levels[of_view]) >= 0).all()


def test_training_validation_and_test_read_the_same_pixels(textured):
    clip, videos = Input("flow", 3), videos_of(textured)[:1]

    (trained, _) = take(textured, clip, batch_size=8, crop_size=HEIGHT, drawing=Drawing("none"))[0]
    ((views, _),) = video_views(textured, videos, clip, num_views=3)
    ((validated, _),) = validation_batches(textured, videos, clip, batch_size=8, crop_size=HEIGHT)

    left = (WIDTH - HEIGHT) // 2
    centres = views.numpy()[:, :, left : left + HEIGHT]
    np.testing.assert_array_equal(validated, centres)
    assert any((example == view).all() for example in trained for view in centres)


def test_decoding_equals_opencv_bit_for_bit(textured):
    video = videos_of(textured)[0]
    ((views, _),) = video_views(textured, [video], Input("rgb"), num_views=1)

    frame = cv2.imread(str(textured.layout.frame_path(textured.root, video, 2)))[..., ::-1]
    np.testing.assert_array_equal(views[0], frame)


def test_a_short_video_starts_again_instead_of_failing_or_turning_black(tmp_path):
    short = made_dataset(tmp_path, {"short": 4})

    ((clips, _),) = take(short, Input("flow", 7), drawing=Drawing("none"))

    expected = [x_level(index) for index in (0, 1, 2, 0, 1, 2, 0)]
    for levels in levels_of(clips):
        assert list(levels[0::2]) == expected


def test_one_crop_and_one_mirror_hold_for_all_channels_of_a_clip(tmp_path):
    ramp = np.tile(np.linspace(40, 200, WIDTH).astype(np.uint8), (HEIGHT, 1))
    dataset = made_dataset(tmp_path, {"a": 6, "b": 6}, frame=lambda index: ramp)

    ((clips, _),) = take(dataset, Input("grey", 5), batch_size=16)

    assert (clips == clips[..., :1]).all()
    assert len({clip[0, 0, 0] for clip in clips}) > 2


@pytest.mark.parametrize("augment", ["flip", "paper", "corners"])
@pytest.mark.parametrize("length", [1, 2, 5, 6])
@pytest.mark.parametrize("kind", FLOW_KINDS)
def test_mirroring_flow_negates_x_and_leaves_y(dataset, kind, length, augment):
    if kind == "bidirectional" and length % 2:
        pytest.skip("is half forward and half backward")
    whole, mirrored = (one_clip(dataset, Input(kind, length), augment, is_mirrored) for is_mirrored in (False, True))

    assert (mirrored[..., 1::2] == whole[..., 1::2]).all()
    assert (mirrored[..., 0::2] == 256 - whole[..., 0::2].astype(int)).all()


def one_clip(dataset, clip, augment, is_mirrored):
    """A clip from the first start of a video, mirrored or not, in the middle of the frame."""
    source = Source(dataset, videos_of(dataset)[:1], clip)
    randoms = tf.constant([[0.5, 0.5, 0.0, 0.0, 0.0 if is_mirrored else 0.9, 0.5, 0.5, 0.5]])
    examples = {"row": tf.constant([0]), "starts": tf.constant([[1]]), "randoms": randoms}
    return read_clips(source, examples, 32, augment).numpy()


@pytest.mark.parametrize("kind", FLOW_KINDS)
def test_half_of_all_clips_of_flow_are_mirrored(dataset, kind):
    ((clips, _),) = take(dataset, Input(kind, 2), batch_size=32)

    # The fields of these videos move to the right, first of all forward.
    assert 4 < (levels_of(clips)[:, 0] < 128).sum() < 28


def test_labels_travel_with_their_frames(tmp_path):
    counts = {f"v{number}": 3 for number in range(6)}
    dataset = made_dataset(tmp_path, counts)
    for number, video in enumerate(videos_of(dataset)):
        for index in range(3):
            image = np.full((HEIGHT, WIDTH), 20 + 40 * (number % 3), np.uint8)
            cv2.imwrite(str(dataset.layout.frame_path(tmp_path, video, index)), image)

    for clips, labels in take(dataset, Input("rgb"), steps=4):
        np.testing.assert_array_equal(clips[:, 0, 0, 0], 20 + 40 * labels)


def test_the_field_of_a_frame_is_the_one_from_it_to_the_next(dataset):
    frames = next(iter(video_views(dataset, videos_of(dataset)[:1], Input("rgb"), num_views=12)))[0]
    fields = next(iter(video_views(dataset, videos_of(dataset)[:1], Input("flow", 1), num_views=11)))[0]

    for index in range(11):
        assert frames[index, 0, 0, 0] == frame_level(index)
        assert fields[index, 0, 0, 0] == x_level(index)


def test_a_bidirectional_clip_goes_forward_and_backward_from_its_middle(dataset):
    ((views, _), *_) = video_views(dataset, videos_of(dataset)[:1], Input("bidirectional", 4), num_views=1)

    # The middle one of the starts 0..7 is 3, so that the fields are 3..6 around frame 5.
    expected = [x_level(5), x_level(6), 256 - x_level(4), 256 - x_level(3)]
    np.testing.assert_array_equal(levels_of(views.numpy())[0, 0::2], expected)


def test_a_bidirectional_clip_takes_the_backward_fields_that_are_stored(tmp_path):
    dataset = made_dataset(tmp_path, {"a": 12})
    (tmp_path / "flow.json").write_text('{"backward": true}')
    (video,), layout = videos_of(dataset), dataset.layout
    backward = dataclasses.replace(layout, flow_x=layout.back_x, flow_y=layout.back_y)
    for index in range(11):
        for path, level in zip(
            backward.flow_paths(tmp_path, video, index), (20 + 2 * index, 50 + 2 * index), strict=True
        ):
            write(path, flat(level))

    ((views, _),) = video_views(dataset, [video], Input("bidirectional", 4), num_views=1)

    # Forward from frame 5 (counted from 0), then from 5 back to 4 and from 4 back to 3: fields 4 and 3.
    expected = [x_level(5), y_level(5), x_level(6), y_level(6), 28, 58, 26, 56]
    np.testing.assert_array_equal(levels_of(views.numpy())[0], expected)


def test_warped_flow_is_read_as_flow_is_and_refused_where_it_was_not_compensated(tmp_path):
    dataset, described = made_dataset(tmp_path, {"a": 5}), tmp_path / "flow.json"
    videos, clip = videos_of(dataset), Input("warped", 3)
    described.write_text('{"method": "warped"}')

    ((views, _),) = video_views(dataset, videos, clip, num_views=1)
    ((flow, _),) = video_views(dataset, videos, Input("flow", 3), num_views=1)
    described.write_text('{"method": "tvl1"}')

    np.testing.assert_array_equal(views, flow)
    with pytest.raises(ValueError, match=r"made by the method 'tvl1', and is not compensated.*--method warped"):
        video_views(dataset, videos, clip, num_views=1)


def test_a_trajectory_follows_its_point(tmp_path):
    step = 127 // 20 * 2 + 1  # 13 levels are 2.05 pixels.
    columns = np.tile(np.arange(WIDTH, dtype=np.uint8) * 2 + 60, (HEIGHT, 1))
    right = np.full((HEIGHT, WIDTH), 128 + step, np.uint8)
    dataset = made_dataset(tmp_path, {"a": 3}, x=lambda index: right, y=lambda index: columns)

    ((views, _),) = video_views(dataset, videos_of(dataset), Input("trajectory", 2), num_views=1)
    ((plain, _),) = video_views(dataset, videos_of(dataset), Input("flow", 2), num_views=1)

    np.testing.assert_array_equal(views[..., :2], plain[..., :2])
    np.testing.assert_array_equal(views[:, :, :-2, 3], plain[:, :, 2:, 3])


def test_a_trajectory_is_that_of_the_paper_point_by_point():
    generator = np.random.default_rng(0)
    fields = [generator.integers(1, 256, (HEIGHT, WIDTH, 2), np.uint8) for _ in range(6)]

    found = clip_of_items(np.stack(fields), Input("trajectory", 6)).numpy()

    leaves = 0
    for row, column in np.ndindex(HEIGHT, WIDTH):
        # p_1 is the pixel itself, and p_k is p_(k-1) moved by the field before there (Sec. 3.1, equation 2).
        down, right = np.float32(row), np.float32(column)
        for number, field in enumerate(fields):
            y, x = (int(np.clip(np.rint(at), 0, last)) for at, last in ((down, HEIGHT - 1), (right, WIDTH - 1)))
            np.testing.assert_array_equal(found[row, column, 2 * number : 2 * number + 2], field[y, x])
            right += (np.float32(field[y, x, 0]) - 128) * np.float32(20 / 127)
            down += (np.float32(field[y, x, 1]) - 128) * np.float32(20 / 127)
        leaves += not (0 <= down < HEIGHT and 0 <= right < WIDTH)
    assert 0 < leaves < HEIGHT * WIDTH


def test_an_sg3i_image_is_three_grey_frames(dataset):
    ((views, _), *_) = video_views(dataset, videos_of(dataset)[:1], Input("sg3i", stride=3), num_views=2)

    np.testing.assert_array_equal(
        levels_of(views.numpy()), [[frame_level(i) for i in (0, 3, 6)], [frame_level(i) for i in (5, 8, 11)]]
    )


def test_rgb_difference_is_frames_that_the_model_subtracts(dataset):
    ((views, _), *_) = video_views(dataset, videos_of(dataset)[:1], Input("rgb_difference", 2), num_views=1)

    assert views.shape[-1] == 9
    np.testing.assert_array_equal(np.diff(levels_of(views.numpy())[0, ::3].astype(int)), [8, 8])


def test_segments_take_one_snippet_from_each_part(dataset):
    for clips, _ in take(dataset, Input("rgb", segments=3), steps=3):
        levels = levels_of(clips)[..., 0]

        assert clips.shape == (6, 3, 32, 32, 3)
        for part in range(3):
            assert (levels[:, part] >= frame_level(4 * part)).all()
            assert (levels[:, part] <= frame_level(4 * part + 3)).all()


def test_several_labels_become_zeros_and_ones(tmp_path):
    labels_of = [(0, 2), (), (1,)]
    dataset = made_dataset(tmp_path, {"a": 2, "b": 2, "c": 2}, labels=lambda n: labels_of[n], multi_label=True)

    ((_, labels),) = validation_batches(
        dataset, videos_of(dataset), Input("rgb"), batch_size=3, crop_size=32, num_views=1
    )

    assert labels.dtype == tf.float32
    np.testing.assert_array_equal(labels, [[1, 0, 1], [0, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("balance", [False, True])
def test_videos_with_several_labels_are_drawn_with_all_of_them(tmp_path, balance):
    labels_of = [(0, 2), (), (1,)]
    dataset = made_dataset(tmp_path, {"a": 2, "b": 2, "c": 2}, labels=lambda n: labels_of[n], multi_label=True)

    rows = {
        tuple(row) for _, labels in take(dataset, Input("rgb"), 3, drawing=Drawing(balance=balance)) for row in labels
    }

    # A video without a label is of no class, so that it never comes where classes are drawn.
    assert rows == {(1, 0, 1), (0, 1, 0)} | (set() if balance else {(0, 0, 0)})


def test_segments_of_one_example_are_cut_and_mirrored_alike(tmp_path):
    ramp = np.tile(np.linspace(40, 200, WIDTH).astype(np.uint8), (HEIGHT, 1))
    dataset = made_dataset(tmp_path, {"a": 9, "b": 9}, frame=lambda index: ramp)

    ((clips, _),) = take(dataset, Input("grey", 1, segments=3), batch_size=16)

    assert (clips == clips[:, :1]).all()
    directions = np.sign(clips[:, 0, 0, -1, 0].astype(int) - clips[:, 0, 0, 0, 0])
    assert set(directions) == {-1, 1}


def test_a_video_of_fewer_frames_than_segments_gives_some_of_them_twice(tmp_path):
    dataset = made_dataset(tmp_path, {"short": 3})

    ((clips, _),) = take(dataset, Input("flow", 1, segments=4), batch_size=2, drawing=Drawing("none"))

    for levels in levels_of(clips)[:, :, 0]:
        assert set(levels) == {x_level(0), x_level(1)}
        assert (np.diff(levels.astype(int)) >= 0).all()


def test_segments_of_flow_are_stacks_of_their_parts(dataset):
    ((clips, _),) = take(dataset, Input("flow", 2, segments=2), drawing=Drawing("none"))

    for first, second in levels_of(clips):
        assert is_run(first[0::2], x_level, 2)
        assert is_run(second[0::2], x_level, 2)
        # Of the ten starts the first five are the first part's.
        assert first[0] <= x_level(4) < second[0]


def test_starting_at_a_step_reads_no_file_that_only_earlier_steps_show(tmp_path):
    dataset = made_dataset(tmp_path, {f"v{number}": 1 for number in range(12)})
    videos = videos_of(dataset)
    for name in batch_videos(videos, batch_size=6, seed=0, step=0):
        dataset.layout.frame_path(tmp_path, dataset.videos[name], 0).unlink()

    batches = train_batches(dataset, videos, Input("rgb"), batch_size=6, crop_size=32, start_step=1)

    assert next(iter(batches))[0].shape == (6, 32, 32, 3)


@pytest.mark.parametrize("augment", ["flip", "corners"])
@pytest.mark.parametrize("balance", [False, True])
def test_a_batch_depends_on_seed_and_step_alone(textured, augment, balance):
    settings = {"seed": 3, "drawing": Drawing(augment, balance=balance)}
    straight = take(textured, Input("flow", 2), steps=6, **settings)
    again = take(textured, Input("flow", 2), steps=2, start_step=4, **settings)
    other = take(textured, Input("flow", 2), **settings | {"seed": 4})

    for (clips, labels), (expected_clips, expected_labels) in zip(again, straight[4:], strict=True):
        np.testing.assert_array_equal(clips, expected_clips)
        np.testing.assert_array_equal(labels, expected_labels)
    assert (straight[0][0] != other[0][0]).any()
    assert (straight[0][0] != straight[1][0]).any()


@pytest.mark.parametrize(
    ("clip", "drawing"),
    [
        (Input("flow", 2), Drawing("corners")),
        (Input("rgb"), Drawing("corners")),
        (Input("rgb"), Drawing("paper")),
        (Input("rgb"), Drawing("flip", skipped=set())),
        (Input("flow", 2), Drawing("corners", device_crop=True)),
    ],
    ids=lambda case: getattr(case, "kind", getattr(case, "augment", None)),
)
def test_a_batch_does_not_depend_on_how_many_clips_are_made_at_once(textured, clip, drawing, monkeypatch):
    def made():
        batches = train_batches(textured, videos_of(textured), clip, batch_size=6, crop_size=32, drawing=drawing)
        return [tf.nest.map_structure(lambda values: values.numpy(), batch) for batch in batches.take(3)]

    few = made()
    for module in ("clips", "broken"):
        monkeypatch.setattr(f"pipelines.{module}.at_once", lambda: 16)
    monkeypatch.setattr("pipelines.clips.FILES_TOGETHER", 1)

    tf.nest.map_structure(np.testing.assert_array_equal, made(), few)


def test_machines_that_share_a_batch_make_its_parts(textured):
    whole = take(textured, Input("flow", 2), steps=3)

    for shard in range(2):
        parts = take(textured, Input("flow", 2), steps=3, drawing=Drawing(shard=(shard, 2)))
        for (clips, labels), (all_clips, all_labels) in zip(parts, whole, strict=True):
            np.testing.assert_array_equal(clips, all_clips[3 * shard : 3 * shard + 3])
            np.testing.assert_array_equal(labels, all_labels[3 * shard : 3 * shard + 3])


def test_the_videos_of_a_batch_can_be_named_without_loading_it(tmp_path):
    dataset = made_dataset(tmp_path, {f"v{n}": 2 for n in range(3)})
    videos = videos_of(dataset)
    for step, (_, labels) in enumerate(take(dataset, Input("rgb"), steps=3, batch_size=4, seed=5)):
        names = batch_videos(videos, batch_size=4, seed=5, step=step)

        assert [dataset.videos[name].label for name in names] == list(labels)


def test_unprepared_videos_are_refused_with_the_command_that_prepares_them(dataset):
    unprepared = [dataclasses.replace(video, num_flows=0) for video in videos_of(dataset)]

    with pytest.raises(
        ValueError, match=r"9 of 9 videos have no flow on disk, v0 among them. Run: python data/prepare"
    ):
        train_batches(dataset, unprepared, Input("flow", 2), batch_size=2, crop_size=32)
