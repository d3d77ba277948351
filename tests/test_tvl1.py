from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from data.flow_frames import grey
from data.tvl1 import PRESETS, TVL1, TVL1Parameters
from data.tvl1_reference import tvl1_reference
from tests.moving_pictures import shifted_pair, texture

LITTLE_WORK = TVL1Parameters(warps=2, iterations=15)


def solve(first: np.ndarray, second: np.ndarray, parameters: TVL1Parameters = LITTLE_WORK) -> np.ndarray:
    solver = TVL1(parameters)
    return solver.solve(solver.prepare(first), solver.prepare(second))


@pytest.mark.parametrize("size", [(48, 64), (31, 57), (16, 16), (17, 90)])
@pytest.mark.parametrize("choice", [{}, {"smooth": False}, {"match_brightness": False}, {"attachment": 0.05}])
def test_the_kernels_do_what_the_plain_reference_does(size, choice):
    first, second = shifted_pair(2, 1, *size)
    second = (second * 0.9 + 5).astype(np.uint8)
    parameters = TVL1Parameters(warps=2, iterations=12, **choice)

    fast = solve(first, second, parameters)
    plain = tvl1_reference(grey(first).astype(float), grey(second).astype(float), parameters)

    assert np.linalg.norm(fast - plain, axis=-1).mean() < 1e-3


@pytest.mark.parametrize(("x", "y"), [(3, 0), (-3, 0), (0, 3), (0, -3), (5, -4)])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_shift_to_the_right_is_plus_x_and_down_is_plus_y(preset, x, y):
    flow = solve(*shifted_pair(x, y), TVL1Parameters(**PRESETS[preset]))

    middle = np.median(flow[12:-12, 12:-12], axis=(0, 1))
    np.testing.assert_allclose(middle, (x, y), atol=0.02 * max(abs(x), abs(y)))


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


@pytest.mark.parametrize("wrong", [{"warps": 0}, {"step": 0.3}, {"attachment": -1.0}])
def test_parameters_that_cannot_work_are_refused(wrong):
    name, value = next(iter(wrong.items()))

    with pytest.raises(ValueError, match=rf"{name}.*Received {value}"):
        TVL1Parameters(**wrong)
