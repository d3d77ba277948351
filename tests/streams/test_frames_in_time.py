"""The features of a frozen network for frames spread over a video: look forgets their order, the other parts don't."""

import keras
import numpy as np
import pytest

from streams.networks.build import build_network
from streams.networks.frames_in_time import frames_of, parts_in_time, parts_of
from streams.networks.preprocessing import Pixels

FRAMES = 4


@pytest.fixture(scope="module")
def tiny():
    """A network whose maps are the frames themselves: the middle one the red channel, the last one all three."""
    inputs = keras.Input((8, 8, 3 * FRAMES))
    apart = frames_of(inputs)
    return keras.Model(inputs, parts_in_time(apart[..., :1], apart, FRAMES))


def parts(network, clips):
    known, edges = network(clips).numpy(), np.cumsum([0, *parts_of(network).values()])
    return {name: known[:, a:b] for name, a, b in zip(parts_of(network), edges[:-1], edges[1:], strict=True)}


def clip_of(frames):
    """Frames [K, H, W, 3] as one clip."""
    return np.concatenate(list(frames), axis=-1)[None].astype(np.float32)


def test_frames_of_a_clip_come_apart_in_their_order():
    clips = np.arange(2 * 5 * 7 * 9, dtype=np.float32).reshape(2, 5, 7, 9)

    apart = np.asarray(frames_of(clips))

    np.testing.assert_array_equal(
        apart, np.concatenate([[clip[..., 3 * k : 3 * k + 3] for k in range(3)] for clip in clips])
    )


def test_the_look_of_a_video_does_not_depend_on_the_order_of_its_frames_and_all_else_does(tiny):
    frames = np.random.default_rng(0).random((FRAMES, 8, 8, 3))

    forward, backward = parts(tiny, clip_of(frames)), parts(tiny, clip_of(frames[::-1]))

    np.testing.assert_allclose(forward["look"], backward["look"], atol=1e-6)
    np.testing.assert_allclose(forward["look"][0], frames.mean(axis=(0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(forward["step"], -backward["step"][:, ::-1], atol=1e-6)
    assert np.abs(forward["order"] - backward["order"]).max() > 0.01


def test_a_video_that_stands_still_has_no_step_and_no_change(tiny):
    still = parts(tiny, clip_of(np.repeat(np.random.default_rng(0).random((1, 8, 8, 3)), FRAMES, axis=0)))

    for name in ("step", "change", "changes"):
        np.testing.assert_allclose(still[name], 0, atol=1e-6)


def test_a_small_thing_that_moves_changes_the_map_though_its_mean_stays(tiny):
    frames = np.zeros((FRAMES, 8, 8, 3))
    for number in range(FRAMES):
        frames[number, number, number, 0] = 1.0

    seen = parts(tiny, clip_of(frames))

    np.testing.assert_allclose(seen["step"], 0, atol=1e-6)
    np.testing.assert_allclose(seen["changes"], 1, atol=1e-6)
    np.testing.assert_allclose(seen["change"], 1, atol=1e-6)


def test_of_many_frames_every_second_one_is_kept_in_order():
    inputs = keras.Input((4, 4, 3 * 12))
    apart = frames_of(inputs)
    network = keras.Model(inputs, parts_in_time(apart, apart, 12))

    assert parts_of(network) == {"look": 3, "order": 6 * 3, "step": 5 * 3, "change": 3, "changes": 6 * 3}


@pytest.mark.parametrize("backbone", ["mobilenet", "mobilenet_v2"])
def test_a_saved_network_opens_with_keras_alone_and_gives_the_same_logits(backbone, tmp_path):
    keras.utils.set_random_seed(0)
    network = build_network(backbone, Pixels("rgb", 6, 32, num_frames=2), 3)
    network.save(tmp_path / "frames.keras")
    clips = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 6), np.uint8)

    opened = keras.saving.load_model(tmp_path / "frames.keras", safe_mode=True)

    assert list(parts_of(opened)) == ["look", "order", "step", "change", "changes"]
    np.testing.assert_allclose(opened(clips).numpy(), network(clips).numpy(), atol=1e-5)


def test_a_network_whose_features_have_no_parts_has_one():
    network = build_network("small", Pixels("rgb", 3, 32), 2)

    assert parts_of(network) == {"features": network.get_layer("features").output.shape[-1]}
