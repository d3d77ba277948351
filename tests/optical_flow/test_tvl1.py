import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from benchmarks.flow.pairs import end_point_error, made_up_pair
from data.optical_flow.frames import grey
from data.optical_flow.tvl1.parameters import PRESETS, TVL1Parameters
from data.optical_flow.tvl1.sampling import image_pitch
from data.optical_flow.tvl1.solver import TVL1
from tests.makers.moving_pictures import shifted_pair, texture
from tests.makers.tvl1_reference import tvl1_reference

LITTLE_WORK = TVL1Parameters(warps=2, iterations=15)


def solve(first: np.ndarray, second: np.ndarray, parameters: TVL1Parameters = LITTLE_WORK) -> np.ndarray:
    solver = TVL1(parameters)
    return solver.solve(solver.prepare(first), solver.prepare(second))


@pytest.mark.parametrize("size", [(48, 64), (31, 57), (16, 16), (17, 90)])
@pytest.mark.parametrize(
    "choice", [{}, {"smooth": False}, {"match_brightness": False}, {"attachment": 0.05}, {"huber_slope": 0.0}]
)
def test_the_kernels_do_what_the_plain_reference_does(size, choice):
    first, second = shifted_pair(2, 1, *size)
    second = (second * 0.9 + 5).astype(np.uint8)
    parameters = TVL1Parameters(warps=2, iterations=12, **choice)

    fast = solve(first, second, parameters)
    plain = tvl1_reference(grey(first).astype(float), grey(second).astype(float), parameters)

    assert np.linalg.norm(fast - plain, axis=-1).mean() < 1e-3


def test_a_level_that_takes_several_sweeps_is_solved_as_in_one():
    first, second = shifted_pair(2, 1, 40, 700)

    fast = solve(first, second, TVL1Parameters(warps=1, iterations=20))
    plain = tvl1_reference(first.astype(float), second.astype(float), TVL1Parameters(warps=1, iterations=20))

    assert np.linalg.norm(fast - plain, axis=-1).mean() < 1e-3


@pytest.mark.parametrize("size", [(16, 3840), (3840, 16), pytest.param((2160, 3840), marks=pytest.mark.slow)])
def test_frames_may_be_as_long_and_as_large_as_4k(size):
    flow = solve(*shifted_pair(1, -1, *size), TVL1Parameters(**PRESETS["fast"]))

    np.testing.assert_allclose(np.median(flow, axis=(0, 1)), (1, -1), atol=0.02)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [(120, 160), (121, 159)])
@pytest.mark.parametrize(
    ("change", "change_flow"),
    [
        (lambda image: image[:, ::-1], lambda flow: flow[:, ::-1] * (-1, 1)),
        (lambda image: image[::-1], lambda flow: flow[::-1] * (1, -1)),
        (lambda image: image.T, lambda flow: flow.transpose(1, 0, 2)[..., ::-1]),
    ],
    ids=["mirrored", "upside down", "transposed"],
)
def test_mirrored_scenes_with_motion_edges_move_as_the_scenes_do(preset, size, change, change_flow):
    pair = made_up_pair("small motion", 4, size=size)
    parameters = TVL1Parameters(**PRESETS[preset])

    flow = solve(pair.first, pair.second, parameters)
    changed = solve(change(pair.first), change(pair.second), parameters)

    assert np.linalg.norm(changed - change_flow(flow), axis=-1).mean() < 0.05


@pytest.mark.parametrize(("x", "y"), [(3, 0), (-3, 0), (0, 3), (0, -3), (5, -4)])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_shift_to_the_right_is_plus_x_and_down_is_plus_y(preset, x, y):
    flow = solve(*shifted_pair(x, y), TVL1Parameters(**PRESETS[preset]))

    middle = np.median(flow[12:-12, 12:-12], axis=(0, 1))
    np.testing.assert_allclose(middle, (x, y), atol=0.02 * max(abs(x), abs(y)))


def test_smooth_motion_is_not_broken_into_steps():
    pair = made_up_pair("smooth noise", 1, size=(96, 128))

    even = solve(pair.first, pair.second, TVL1Parameters(huber_slope=0.03))
    stepped = solve(pair.first, pair.second, TVL1Parameters(huber_slope=0.0))

    assert end_point_error(even, pair.truth) < 0.9 * end_point_error(stepped, pair.truth)


def test_stripes_too_narrow_for_half_the_pixels_fade():
    # What is left of them would show as wider ones, which move the other way.
    stripes = 128 + 100 * np.cos(2 * np.pi / 3 * np.arange(96)) + np.zeros((64, 1))

    height, width = (frame := TVL1(TVL1Parameters(smooth=False)).prepare(stripes)).sizes[1]
    coarse = frame.images[1][: (height + 4) * image_pitch(width) * 4].reshape(height + 4, -1, 4)[8:-8, 8:40, 0]

    assert np.abs(coarse - 128).max() < 15


@pytest.mark.parametrize("image", [texture(64, 80), np.zeros((40, 40)), np.full((33, 50), 255, np.uint8)])
def test_where_nothing_changes_nothing_moves(image):
    flow = solve(image, image.copy())

    np.testing.assert_array_equal(flow, 0)


def test_a_change_of_exposure_is_not_taken_for_motion():
    first, second = shifted_pair(2, 1)

    steady = solve(first, second)
    darker = solve(first, (second * 0.8 + 4).astype(np.uint8))

    assert np.linalg.norm(darker - steady, axis=-1).mean() < 0.1


def test_a_scene_cut_gives_finite_flow():
    flow = solve(texture(64, 80, seed=1), texture(64, 80, seed=2))

    assert np.isfinite(flow).all()


def test_the_same_frames_give_the_same_flow_whoever_computes_it():
    solver = TVL1(LITTLE_WORK)
    frames = [solver.prepare(texture(60, 70, seed)) for seed in range(4)]
    pairs = [(a, b) for a in frames for b in frames]

    alone = [solver.solve(a, b) for a, b in pairs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda pair: solver.solve(*pair), pairs))

    np.testing.assert_array_equal(alone, together)


def test_a_solver_forgets_the_sizes_it_has_seen():
    solver = TVL1(LITTLE_WORK)
    small, large = shifted_pair(2, 1, 40, 50), shifted_pair(2, 1, 90, 70)

    def flow(pair):
        return solver.solve(*map(solver.prepare, pair))

    before, _, after = flow(small), flow(large), flow(small)

    np.testing.assert_array_equal(before, after)


@pytest.mark.slow
def test_a_solver_keeps_little_memory_after_a_large_pair():
    solver = TVL1(TVL1Parameters(warps=1, iterations=1))
    first, second = shifted_pair(1, 0, 2160, 3840)

    tracemalloc.start()
    solver.solve(solver.prepare(first), solver.prepare(second))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert kept < 3e8


@pytest.mark.parametrize("wrong", [{"warps": 0}, {"step": 0.3}, {"attachment": -1.0}])
def test_parameters_that_cannot_work_are_refused(wrong):
    name, value = next(iter(wrong.items()))

    with pytest.raises(ValueError, match=rf"{name}.*Received {value}"):
        TVL1Parameters(**wrong)
