"""The network for flow that is spread over a video: directions, the camera, mirrors, and the saved file."""

import keras
import numpy as np
import pytest
from keras import ops

from streams.networks.build import build_network
from streams.networks.frames_in_time import parts_of
from streams.networks.motion_in_time import CHANNELS, DIRECTIONS, GRID, _by_direction, _derivatives, _less_mean
from streams.networks.preprocessing import Pixels

# As motion_in_time orders them, y growing downwards.
NAMES = ("right", "right down", "down", "left down", "left", "left up", "up", "right up")
ANGLES = dict(zip(NAMES, np.arange(DIRECTIONS) * 45, strict=True))
SIZE, FIELDS = 24, 4


def vector(angle, length=3.0):
    return length * np.cos(np.deg2rad(angle)), length * np.sin(np.deg2rad(angle))


def directions_of(x, y):
    return np.asarray(_by_direction(ops.convert_to_tensor(x, "float32"), ops.convert_to_tensor(y, "float32")))


@pytest.mark.parametrize("name", NAMES)
def test_motion_in_one_direction_fills_that_directions_map_alone(name):
    found = directions_of(*vector(ANGLES[name], length=3))

    expected = [3.0 if each == name else 0.0 for each in NAMES]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("angle", [10, 44, 60, 91, 134, 200, 224, 280, 350])
def test_a_vector_between_two_directions_is_shared_by_these_two_and_adds_up_to_itself(angle):
    found = directions_of(*vector(angle))

    assert set(np.flatnonzero(found > 1e-5)) == {angle // 45, (angle // 45 + 1) % 8}
    parts = [vector(place, share) for place, share in zip(ANGLES.values(), found, strict=True)]
    np.testing.assert_allclose(np.sum(parts, axis=0), vector(angle), atol=1e-5)


def test_longer_motion_fills_maps_in_proportion():
    np.testing.assert_allclose(directions_of(*vector(70, 8)), 4 * directions_of(*vector(70, 2)), rtol=1e-5)


def test_motion_of_the_camera_is_gone_from_what_is_less_the_mean_and_from_derivatives():
    camera = np.full((1, FIELDS, SIZE, SIZE), 5.0, np.float32)

    np.testing.assert_allclose(_less_mean(camera), 0, atol=1e-5)
    for derivative in _derivatives(camera):
        np.testing.assert_allclose(derivative, 0, atol=1e-5)


def test_what_moves_by_itself_is_seen_the_same_whether_or_not_the_camera_moves():
    generator = np.random.default_rng(0)
    moving = generator.normal(size=(1, FIELDS, SIZE, SIZE)).astype(np.float32)

    np.testing.assert_allclose(_less_mean(moving + 4), _less_mean(moving), atol=1e-5)
    for with_camera, without in zip(_derivatives(moving + 4), _derivatives(moving), strict=True):
        np.testing.assert_allclose(with_camera, without, atol=1e-5)


def test_derivatives_are_how_a_field_changes_to_the_right_and_downwards():
    slope = 2.0 * np.arange(SIZE)[None, :] + 7.0 * np.arange(SIZE)[:, None]

    right, down = (np.asarray(each)[0, 0] for each in _derivatives(slope[None, None].astype(np.float32)))

    np.testing.assert_allclose(right[:, 1:-1], 2)
    np.testing.assert_allclose(down[1:-1], 7)
    assert not right[:, [0, -1]].any()
    assert not down[[0, -1]].any()


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return build_network("motion", Pixels("flow", 2 * FIELDS, SIZE, subtract_mean=False, num_frames=FIELDS), 3)


def features_of(network, flow):
    """The features of flow [H, W, 2 L] in levels, by part."""
    known = keras.Model(network.input, network.get_layer("features").output)(flow[None]).numpy()[0]
    edges = np.cumsum([0, *parts_of(network).values()])
    return {name: known[a:b] for name, a, b in zip(parts_of(network), edges[:-1], edges[1:], strict=True)}


def still():
    return np.full((SIZE, SIZE, 2 * FIELDS), 128, np.uint8)


def test_the_parts_of_a_motion_network_are_named_and_of_known_sizes(network):
    sizes = parts_of(network)

    assert list(sizes) == ["strength", "directions", "moments"]
    assert sizes["moments"] == FIELDS * 6 * 6 * CHANNELS
    assert sizes["directions"] == 8 * 3 * 3 * CHANNELS
    assert sum(sizes.values()) == network.get_layer("features").output.shape[-1]


def test_motion_to_the_right_is_found_in_its_cell_its_moment_and_its_direction_and_nowhere_else(network):
    flow, cell = still(), SIZE // 6
    flow[2 * cell : 3 * cell, cell : 2 * cell, 2 * 3] = 178  # 50 levels to the right in the fourth field.

    moments = features_of(network, flow)["moments"].reshape(FIELDS, 6, 6, 3, DIRECTIONS)[..., 0, :]

    assert tuple(np.argwhere(moments > 0.1)[0]) == (3, 2, 1, NAMES.index("right"))
    assert (moments > 0.1).sum() == 1
    # Roots of pixels: 50 levels of 127 are 7.87 of 20 pixels.
    assert moments.max() == pytest.approx(np.sqrt(50 * 20 / 127), rel=1e-3)


def test_flow_in_the_mirror_has_left_and_right_exchanged(network):
    flow = np.random.default_rng(0).integers(40, 216, still().shape, np.uint8)
    mirrored = flow[:, ::-1].copy()
    mirrored[..., 0::2] = 256 - mirrored[..., 0::2].astype(int)

    seen, turned = (
        features_of(network, each)["moments"].reshape(FIELDS, 6, 6, 3, DIRECTIONS)[..., 0, :]
        for each in (flow, mirrored)
    )

    exchanged = [4, 3, 2, 1, 0, 7, 6, 5]  # Right and left, right down and left down, left up and right up.
    np.testing.assert_allclose(turned, seen[:, :, ::-1][..., exchanged], atol=2e-3)


def test_how_strong_motion_is_does_not_depend_on_where_when_and_which_way(network):
    cell = SIZE // GRID

    def strength(row, column, channel, level):
        flow = still()
        flow[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell, channel] = level
        # The first of four kinds of vectors: flow as it is.
        return features_of(network, flow)["strength"].reshape(6, 4)[:, 0]

    np.testing.assert_allclose(strength(2, 3, 0, 178), strength(8, 5, 2 * 3 + 1, 78), rtol=1e-4)
    assert (strength(2, 3, 0, 238) > strength(2, 3, 0, 178)).all()


def test_a_short_stack_has_as_many_moments_as_fields_and_a_long_one_sixteen():
    for fields, moments in ((2, 2), (16, 16), (20, 16)):
        network = build_network("motion", Pixels("flow", 2 * fields, SIZE, num_frames=fields), 2)

        assert parts_of(network)["moments"] == moments * 6 * 6 * CHANNELS


def test_a_saved_network_opens_with_keras_alone_and_gives_the_same_logits(network, tmp_path):
    network.save(tmp_path / "motion.keras")
    flow = np.random.default_rng(1).integers(1, 256, (3, *still().shape), np.uint8)

    opened = keras.saving.load_model(tmp_path / "motion.keras", safe_mode=True)

    np.testing.assert_allclose(opened(flow).numpy(), network(flow).numpy(), atol=1e-6)


def test_sizes_that_cells_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"multiples of 12\. Received 32"):
        build_network("motion", Pixels("flow", 4, 32, num_frames=2), 2)


@pytest.mark.parametrize(
    ("backbone", "pixels"),
    [
        ("motion", Pixels("flow", 4, SIZE)),
        ("motion", Pixels("rgb", 3, SIZE)),
        ("vgg16", Pixels("flow", 4, 32, num_frames=2)),
        ("motion", Pixels("rgb", 6, SIZE, num_frames=2)),
    ],
)
def test_what_is_spread_is_refused_by_networks_that_cannot_look_at_it(backbone, pixels):
    with pytest.raises(ValueError, match=r"--backbone (motion|vgg16) .*(flow_spread|one clip at a time)"):
        build_network(backbone, pixels, 2)
