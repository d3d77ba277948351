"""Clips that are varied: flow that is turned is the flow of the turned video, and all follows from seed and step."""

from itertools import pairwise

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from data.flow import flow_between
from data.optical_flow.levels import dequantise, quantise
from fusion.joint.pairs import PairStream
from pipelines.inputs import Input
from pipelines.variations.clips import Varied
from pipelines.variations.drawn import NUM_RANDOMS, Drawn, Mix, drawn, drawn_mix
from pipelines.variations.mirrored_classes import MirroredClasses, classes_in_mirror
from pipelines.variations.pixels import mixed, mixed_labels, varied
from pipelines.variations.table import VARIATIONS, suiting, variations_of
from tests.makers.batches import stream_of
from tests.makers.frames import HEIGHT, WIDTH, made_dataset
from tests.makers.moving_pictures import texture

SIDE = 128
FLOW, FRAME = Input("flow", 1), Input("rgb")


def how(moves=((1.0, 0.0), (0.0, 1.0)), speed=1.0, backwards=False, colours=(1.0, 1.0, 1.0), erased=(0.0,) * 4):
    """Returns one way to vary one clip."""
    return Drawn(
        tf.constant([moves], tf.float32),
        tf.constant([speed]),
        tf.constant([backwards]),
        tf.constant([colours]),
        tf.constant([erased]),
    )


def vary(flow, clip=FLOW, rule="centred", **changes):
    """Varies flow in pixels [H, W, 2 L], by way of its levels."""
    levels = varied(tf.constant(quantise(flow, rule=rule))[None], clip, rule, how(**changes), moves_places=True)
    return dequantise(levels.numpy()[0], rule=rule)


def moved(image, moves):
    """Returns an image of which each point is moved around the centre, by OpenCV."""
    moves, centre = np.array(moves), np.array([(SIDE - 1) / 2] * 2)
    matrix = np.concatenate([moves, (centre - moves @ centre)[:, None]], axis=1)
    return cv2.warpAffine(image, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)


def error(one, other):
    """Returns the mean distance of vectors in the middle, where nothing came from outside."""
    middle = slice(SIDE // 3, -SIDE // 3)
    return np.linalg.norm((one - other)[middle, middle], axis=-1).mean()


ANGLE = np.radians(30)
MOVES = {
    "rotate": ((np.cos(ANGLE), -np.sin(ANGLE)), (np.sin(ANGLE), np.cos(ANGLE))),
    "scale": ((1.25, 0.0), (0.0, 1.25)),
    "stretch": ((1.25, 0.0), (0.0, 0.8)),
    "shear": ((1.0, 0.3), (0.0, 1.0)),
}


@pytest.fixture(scope="module")
def whirl():
    """Two frames, of which the second is turned by some degrees and shifted, and the flow between them."""
    first = texture(SIDE, SIDE)
    turn = cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), 4, 1.0)
    turn[:, 2] += (3.0, -2.0)
    second = cv2.warpAffine(first, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    return first, second, flow_between(first, second, preset="fast")


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("rule", ["centred", "classic", "truncated"])
def test_varied_flow_is_the_flow_of_the_varied_video(whirl, name, rule):
    first, second, flow = whirl
    expected = flow_between(moved(first, MOVES[name]), moved(second, MOVES[name]), preset="fast")

    found = vary(flow, rule=rule, moves=MOVES[name])

    unturned = np.stack([moved(plane, MOVES[name]) for plane in np.moveaxis(flow, -1, 0)], axis=-1)
    assert error(found, expected) < 0.25
    assert error(unturned, expected) > 2 * error(found, expected)


def test_nothing_changes_what_is_not_varied():
    levels = tf.constant(np.random.default_rng(0).integers(1, 256, (1, 16, 16, 4), np.uint8))

    same = varied(levels, Input("flow", 2), "centred", how(), moves_places=True)

    np.testing.assert_array_equal(same, levels)


def pan(frames, step=2):
    """Returns frames of a texture that moves right by `step` pixels a frame, and down by half of it."""
    image = texture(SIDE + 64, SIDE + 64)
    return [image[32 - n * step // 2 :][:SIDE, 32 - n * step :][:, :SIDE] for n in range(frames)]


def flow_of(frames):
    return np.concatenate([flow_between(a, b, preset="fast") for a, b in pairwise(frames)], axis=-1)


def test_flow_played_backwards_is_the_flow_of_the_video_played_backwards():
    frames = [*pan(3), pan(4, 3)[3]]  # The last one moves another way, so that the order shows.

    found = vary(flow_of(frames), Input("flow", 3), backwards=True)

    assert error(found, flow_of(frames[::-1])) < 0.4
    assert error(found, flow_of(frames)) > 3


def test_faster_flow_is_the_flow_of_every_second_frame():
    frames = pan(5)

    slow = flow_of(frames)[..., :4]
    found = vary(slow, Input("flow", 2), speed=2.0)

    assert error(found, flow_of(frames[::2])) < 0.3
    assert error(slow, flow_of(frames[::2])) > 2


def test_frames_are_played_backwards_in_every_kind():
    levels = np.arange(12, dtype=np.uint8) * 10
    clip = tf.constant(np.broadcast_to(levels, (1, 4, 4, 12)))
    turned = {
        "rgb_difference": (3, [9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2]),
        "grey": (12, list(range(12))[::-1]),
        "rgb_spread": (4, [9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2]),
    }

    for kind, (length, order) in turned.items():
        found = varied(clip, Input(kind, length), "centred", how(backwards=True), moves_places=False)
        np.testing.assert_array_equal(found[0, 0, 0], levels[order])


def test_flow_in_both_directions_exchanges_them():
    levels = np.array([10, 20, 30, 40, 50, 60, 70, 80], np.uint8)
    clip = tf.constant(np.broadcast_to(levels, (1, 4, 4, 8)))

    found = varied(clip, Input("bidirectional", 4), "centred", how(backwards=True), moves_places=False)

    np.testing.assert_array_equal(found[0, 0, 0], [50, 60, 70, 80, 10, 20, 30, 40])


def test_colours_are_those_of_their_factors():
    pixel = tf.constant(np.broadcast_to(np.array([200, 100, 40], np.uint8), (1, 2, 2, 3)))

    def found(**colours):
        given = [colours.get(name, 1.0) for name in ("brightness", "contrast", "saturation")]
        return varied(pixel, FRAME, "centred", how(colours=given), moves_places=False)[0, 0, 0].numpy().astype(int)

    np.testing.assert_allclose(found(brightness=0.5), [100, 50, 20], atol=1)
    np.testing.assert_allclose(found(contrast=0.5), [164, 114, 84], atol=1)
    luma = 0.299 * 200 + 0.587 * 100 + 0.114 * 40
    np.testing.assert_allclose(found(saturation=0.0), [luma] * 3, atol=1)


def test_what_is_erased_is_grey_and_of_flow_does_not_move():
    clips = tf.zeros([1, 8, 8, 4], tf.uint8) + 200
    rectangle = (0.25, 0.5, 0.75, 1.0)

    flow = varied(clips, Input("flow", 2), "centred", how(erased=rectangle), moves_places=False).numpy()
    frame = varied(clips[..., :3], FRAME, "centred", how(erased=rectangle), moves_places=False).numpy()

    inside = np.zeros((8, 8), bool)
    inside[2:6, 4:] = True
    assert (flow[0][inside] == 128).all()
    assert (flow[0][~inside] == 200).all()
    assert (np.abs(frame[0][inside].astype(int) - 127.5) < 1).all()


def randoms(number=2000):
    return tf.random.stateless_uniform([number, NUM_RANDOMS], [1, 2])


def test_amounts_bound_what_is_drawn():
    found = drawn({"rotate": 20.0, "speed": 2.0, "backwards": 0.3, "erase": 0.25, "contrast": 0.4}, randoms())

    angles = np.degrees(np.arctan2(found.moves[:, 1, 0], found.moves[:, 0, 0]))
    assert 19 < angles.max() <= 20
    assert -20 <= angles.min() < -19
    np.testing.assert_allclose(np.linalg.det(found.moves), 1, atol=1e-5)
    assert 0.5 <= found.speed.numpy().min() < 0.52
    assert found.is_backwards.numpy().mean() == pytest.approx(0.3, abs=0.03)
    areas = (found.erased[:, 2] - found.erased[:, 0]) * (found.erased[:, 3] - found.erased[:, 1])
    assert np.mean(areas > 0) == pytest.approx(0.25, abs=0.03)
    assert areas.numpy().max() <= 0.331
    assert (found.colours[:, 0] == 1).numpy().all()
    assert 0.6 <= found.colours.numpy()[:, 1].min() < 0.62


def test_random_lets_each_clip_draw_that_many_alike_often():
    names = ["rotate", "scale", "shear", "speed"]
    found = drawn({name: VARIATIONS[name].usual for name in names} | {"random": 2.0}, randoms())

    gram = np.einsum("bji,bjk->bik", found.moves, found.moves)
    is_on = np.stack(
        [
            np.abs(gram[:, 0, 1]) > 1e-4,  # Sheared: axes are no longer at right angles.
            np.abs(np.linalg.det(found.moves) - 1) > 1e-4,
            np.abs(found.speed - 1) > 1e-4,
        ],
        axis=1,
    )
    np.testing.assert_allclose(is_on.mean(axis=0), 0.5, atol=0.04)
    assert is_on.sum(axis=1).max() == 2


def test_clips_and_classes_are_mixed_by_the_same_share():
    clips = tf.constant(np.repeat([[0], [100], [200]], 4 * 4, axis=1).reshape(3, 4, 4, 1).astype(np.uint8))
    labels = tf.one_hot([0, 1, 2], 3)

    mix = Mix(tf.constant(0.75), tf.zeros([4]))
    np.testing.assert_array_equal(mixed(clips, mix)[:, 0, 0, 0], [50, 100, 150])
    np.testing.assert_allclose(mixed_labels(labels, mix), [[0.75, 0, 0.25], [0, 1, 0], [0.25, 0, 0.75]])

    cut = Mix(tf.constant(1.0), tf.constant([0.0, 0.0, 0.5, 0.5]))
    np.testing.assert_array_equal(mixed(clips, cut)[0, :, :, 0], [[200, 200, 0, 0]] * 2 + [[0, 0, 0, 0]] * 2)
    np.testing.assert_allclose(mixed_labels(labels, cut)[0], [0.75, 0, 0.25])


def test_shares_of_mixes_are_those_of_beta_and_both_kinds_are_as_frequent():
    drawn_by = [
        drawn_mix({"mixup": 1.0, "cutmix": 1.0}, each) for each in tf.random.stateless_uniform([400, 4], [0, 1])
    ]

    shares = np.array([float(mix.share) for mix in drawn_by])
    is_mixup = np.array([float(mix.rectangle[2]) == 0 for mix in drawn_by])
    assert is_mixup.mean() == pytest.approx(0.5, abs=0.08)
    assert (shares[~is_mixup] == 1).all()
    assert shares[is_mixup].mean() == pytest.approx(0.5, abs=0.06)
    assert shares[is_mixup].std() == pytest.approx(12**-0.5, abs=0.04)


ALL = {name: each.usual for name, each in VARIATIONS.items() if name not in ("mixup", "cutmix", "random")}


def first(clips, step=0, shard=(0, 1)):
    """Cuts the first batch from a step on."""
    return clips.cut(*next(iter(clips.batches(step, shard))))


def test_clips_cut_on_the_device_are_varied_as_those_of_the_host(smooth):
    found = [
        first(Varied(stream_of(smooth, Input("flow", 2), batch_size=8, on_device=device), ALL, 2, 0))[0]
        for device in (False, True)
    ]

    difference = np.abs(found[0].numpy().astype(int) - found[1])
    assert difference.mean() < 0.3
    assert difference.max() <= 6  # A level more or less, enlarged, sheared and sped up.


def test_batches_depend_on_seed_and_step_alone_and_parts_make_the_whole(smooth):
    def clips(seed=0):
        return Varied(stream_of(smooth, Input("rgb"), batch_size=4), ALL, 2, seed)

    whole, _ = first(clips(), step=3)

    np.testing.assert_array_equal(whole, first(clips(), step=3)[0])
    parts = [first(clips(), 3, (part, 2))[0] for part in (0, 1)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert not np.array_equal(whole, first(clips(seed=1), step=3)[0])
    assert not np.array_equal(whole, first(clips(), step=4)[0])


def test_both_streams_of_a_network_are_varied_alike(tmp_path):
    def white(index):
        return np.full((HEIGHT, WIDTH), 250, np.uint8)

    dataset = made_dataset(tmp_path, {"a": 6, "b": 7}, frame=white, x=white, y=white)
    pairs = PairStream(stream_of(dataset, Input("rgb")), stream_of(dataset, Input("flow", 2)))

    clips, labels = first(Varied(pairs, {"rotate": 40.0, "erase": 1.0, "cutmix": 1.0}, 2, 0))

    assert labels.shape == (6, 2)
    np.testing.assert_allclose(tf.reduce_sum(labels, axis=1), 1, atol=1e-6)
    # What came from outside or is covered is grey in frames, and in flow does not move.
    frames = np.abs(clips["rgb"].numpy()[..., 0].astype(int) - 127.5) < 1
    length = np.linalg.norm(clips["flow"].numpy()[..., :2].astype(int) - 128.0, axis=-1)
    assert 0.05 < frames.mean() < 0.6
    assert np.mean(frames == (length < 1)) > 0.97


def test_segments_of_an_example_are_varied_alike(smooth):
    clip = Input("flow", 1, segments=2)
    clips = tf.zeros([3, 2, 32, 32, 2], tf.uint8) + 250

    found = varied(clips, clip, "centred", drawn(ALL, randoms(3)), moves_places=True)

    np.testing.assert_array_equal(found[:, 0], found[:, 1])


def test_names_amounts_and_what_they_suit_are_checked():
    assert variations_of(["rotate:10", "mixup"]) == {"rotate": 10.0, "mixup": 0.2}
    assert set(suiting(variations_of(["random"]), ["random"], {"flow": 10})) == {
        *("random", "rotate", "scale", "stretch", "shear", "speed")
    }
    assert set(variations_of(["random", "backwards", "speed"])) == {"random", "backwards", "speed"}
    for word, said in {
        "turn": "no variation 'turn'",
        "rotate:much": "from 0 to 180",
        "scale:0.5": "from 1 to 4",
        "random:1.5": "from 1 to 9",
    }.items():
        with pytest.raises(ValueError, match=said):
            variations_of([word])
    with pytest.raises(ValueError, match=r"speed .* changes no clip of rgb"):
        suiting({"speed": 2.0}, ["speed"], {"rgb": 1})
    with pytest.raises(ValueError, match=r"backwards .* changes no clip of rgb"):
        suiting({"backwards": 0.5}, ["backwards"], {"rgb": 1})
    with pytest.raises(ValueError, match="trajectory"):
        suiting({"backwards": 0.5}, ["backwards"], {"trajectory": 5})


def test_classes_that_swap_in_a_mirror_are_those_of_mirrored_clips(smooth):
    plain = stream_of(smooth, FRAME, batch_size=32, augment="flip")
    turned = MirroredClasses.of(plain, classes_in_mirror(["a:b"], ["a", "b"]))

    labels = [next(iter(clips.batches()))[1].numpy() for clips in (plain, turned)]

    is_mirrored = plain.plan(0)["randoms"][:, 4].numpy() < 0.5
    assert 8 < is_mirrored.sum() < 24
    np.testing.assert_array_equal(labels[1], np.where(is_mirrored, 1 - labels[0], labels[0]))


def test_pairs_of_classes_come_from_words_or_a_file(tmp_path):
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("turn left:turn right\n\nup : down\n", encoding="utf-8")
    classes = ["up", "turn left", "wave", "turn right", "down"]

    assert classes_in_mirror([str(pairs)], classes) == (4, 3, 2, 1, 0)
    assert classes_in_mirror(["up:down"], classes) == (4, 1, 2, 3, 0)
    for words, said in {
        ("up:left",): "no class 'left'",
        ("up:down", "up:wave"): "Name each in one pair",
        ("up:up",): "one other class",
        ("pears.txt",): "no such file",
    }.items():
        with pytest.raises(ValueError, match=said):
            classes_in_mirror(words, classes)


def test_views_in_a_mirror_are_scored_as_the_classes_that_they_show():
    from streams.networks.scoring import view_scorer

    inputs = keras.Input((16, 16, 3), dtype="uint8", name="rgb")
    halves = keras.ops.cast(inputs, "float32")
    left, right = (keras.ops.mean(half, axis=(1, 2, 3)) for half in (halves[:, :, :8], halves[:, :, 8:]))
    network = keras.Model(inputs, keras.ops.stack([left, right], axis=1))
    view = np.zeros((1, 16, 16, 3), np.uint8)
    view[:, :, :8] = 200

    plain = view_scorer(network, num_crops=10)(tf.constant(view)).numpy()
    aware = view_scorer(network, num_crops=10, in_mirror=(1, 0))(tf.constant(view)).numpy()

    np.testing.assert_allclose(plain, [[100, 100]])
    np.testing.assert_allclose(aware, [[200, 0]])
