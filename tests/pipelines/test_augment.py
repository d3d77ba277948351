import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipelines import augment, decode


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def smooth(generator, height, width, channels):
    small = generator.integers(30, 226, (height // 8, width // 8, channels), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def test_mirroring_flow_twice_changes_nothing(generator):
    stack = generator.integers(1, 256, (6, 8, 4), np.uint8)

    np.testing.assert_array_equal(augment.mirror_flow(augment.mirror_flow(tf.constant(stack))), stack)


@pytest.mark.parametrize(
    ("rule", "levels", "opposites"),
    [
        ("centred", [0, 1, 127, 128, 129, 255], [255, 255, 129, 128, 127, 1]),
        ("classic", [0, 127, 255], [255, 128, 0]),
        ("truncated", [0, 127, 254, 255], [254, 127, 0, 0]),
    ],
)
def test_the_opposite_of_a_level_is_that_of_its_rule(rule, levels, opposites):
    found = augment.opposite(tf.constant(levels, tf.uint8), rule)

    np.testing.assert_array_equal(found, opposites)


@pytest.mark.parametrize("name", ["none", "flip", "paper", "corners", "multi-scale"])
def test_boxes_stay_in_the_frame(generator, name):
    boxes = np.array(
        [
            augment.random_box(name, tf.constant([72, 80]), 64, tf.constant(generator.random(8), tf.float32))
            for _ in range(200)
        ]
    )

    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 0] + boxes[:, 2] <= 72).all()
    assert (boxes[:, 1] + boxes[:, 3] <= 80).all()


def test_sides_of_corner_crops_are_drawn_apart_and_boxes_lie_in_corners_or_the_centre(generator):
    randoms = generator.random((400, 8)).astype(np.float32)

    boxes = [augment.random_box("corners", tf.constant([256, 340]), 224, tf.constant(r)) for r in randoms]

    sides = {(int(box[2]), int(box[3])) for box in boxes}
    assert sides == {(a, b) for a in (256, 224, 192, 168) for b in (256, 224, 192, 168)}
    for top, left, height, width in np.array(boxes):
        assert top in (0, 256 - height, (256 - height) // 2)
        assert left in (0, 340 - width, (340 - width) // 2)


# What the code of temporal segment networks cuts from frames of 340 x 256 for a network of 224 (MultiScaleCropper and
# fillFixOffset of its Caffe; GroupMultiScaleCrop of its PyTorch version): the pairs of sides, each as likely, ...
PAIRS = {
    (256, 256), (256, 224), (224, 256), (224, 224), (224, 192), (192, 224), (192, 192),
}  # fmt: skip
SMALL_PAIRS = {(192, 168), (168, 192), (168, 168)}
# ... and top and left of squares of 224, whose room is 32 and 116.
PLACES = {
    (0, 0), (0, 116), (32, 0), (32, 116), (16, 58), (0, 58), (32, 58), (16, 0), (16, 116),
    (8, 29), (8, 87), (24, 29), (24, 87),
}  # fmt: skip


@pytest.mark.parametrize(("is_motion", "pairs"), [(False, PAIRS | SMALL_PAIRS), (True, PAIRS)])
def test_multi_scale_crops_are_those_of_temporal_segment_networks(generator, is_motion, pairs):
    randoms = generator.random((1500, 8)).astype(np.float32)
    frame = tf.constant([256, 340])

    boxes = np.array([augment.random_box("multi-scale", frame, 224, each, is_motion=is_motion) for each in randoms])

    sides = [tuple(box[2:].tolist()) for box in boxes]
    assert set(sides) == pairs
    assert {tuple(box[:2].tolist()) for box in boxes if tuple(box[2:]) == (224, 224)} == PLACES
    # 1500 draws of one in ten or one in seven.
    assert max(abs(sides.count(pair) / 1500 - 1 / len(pairs)) for pair in pairs) < 0.04


def test_a_multi_scale_side_that_is_nearly_that_of_the_network_is_taken_for_it(generator):
    boxes = [
        augment.random_box("multi-scale", tf.constant([258, 340]), 224, each)
        for each in generator.random((300, 8)).astype(np.float32)
    ]

    # 7/8 of 258 are 225.75, and 3/4 are 193.5.
    assert {int(side) for box in boxes for side in box[2:]} == {258, 224, 193, 170}


def test_colour_jitter_of_the_middle_changes_nothing_and_all_frames_alike(generator):
    frame = generator.integers(0, 256, (8, 8, 3), np.uint8)
    clips = tf.constant(np.stack([np.concatenate([frame, frame], axis=-1)] * 2))

    same, changed = augment.jitter_colour(clips, tf.constant([[0.5, 0.5, 0.5], [0.1, 0.9, 0.8]])).numpy()

    np.testing.assert_array_equal(same, clips[0])
    assert (changed != clips[1].numpy()).any()
    np.testing.assert_array_equal(changed[..., :3], changed[..., 3:])


def test_the_accurate_transform_keeps_flow_better_than_the_default(generator):
    levels = smooth(generator, 128, 160, 1)[..., 0]
    contents = tf.constant(cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())

    ours = decode.decode_image(contents, 1)[..., 0].numpy().astype(float)

    default = tf.io.decode_jpeg(contents, channels=1)[..., 0].numpy().astype(float)
    assert np.abs(ours - levels).mean() <= np.abs(default - levels).mean()
    np.testing.assert_array_equal(ours, cv2.imdecode(np.frombuffer(contents.numpy(), np.uint8), cv2.IMREAD_GRAYSCALE))


@pytest.mark.parametrize("sampling", ["411", "420", "422", "440", "444"])
def test_colour_equals_opencv_bit_for_bit_and_a_box_is_part_of_the_whole(generator, sampling):
    colour = smooth(generator, 48, 64, 3)
    how = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")]
    stored = cv2.imencode(".jpg", colour, how)[1]

    whole = decode.decode_image(tf.constant(stored.tobytes()), 3).numpy()

    np.testing.assert_array_equal(whole, cv2.imdecode(stored, cv2.IMREAD_COLOR_RGB))
    for top, left, height, width in [
        (0, 0, 48, 64),
        (0, 0, 1, 1),
        (47, 63, 1, 1),
        (16, 16, 16, 16),
        *boxes_in(generator),
    ]:
        box = decode.decode_image(tf.constant(stored.tobytes()), 3, tf.constant([top, left, height, width]))
        np.testing.assert_array_equal(box, whole[top : top + height, left : left + width])


def boxes_in(generator, height=48, width=64, count=60):
    """Boxes of all sizes, anywhere in a frame."""
    for _ in range(count):
        top, left = generator.integers(0, height), generator.integers(0, width)
        yield top, left, generator.integers(1, height - top + 1), generator.integers(1, width - left + 1)


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, lambda field: np.moveaxis(field, -1, 0)])
def test_flow_of_floats_becomes_levels_whatever_its_order_in_memory(tmp_path, generator, kind, form):
    from data.optical_flow.levels import quantise

    field = generator.normal(0, 8, (6, 9, 2)).astype(kind)
    np.save(tmp_path / "flow_1_2.npy", form(field))
    contents = tf.io.read_file(str(tmp_path / "flow_1_2.npy"))

    x, y = decode.decode_floats(contents, 20.0, tf.constant([1, 2, 4, 5]))

    np.testing.assert_array_equal(decode.floats_size(contents), [6, 9])
    expected = quantise(field)[1:5, 2:7]
    np.testing.assert_array_equal(np.concatenate([x, y], axis=-1), expected)
