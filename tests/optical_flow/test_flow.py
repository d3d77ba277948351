import json
import subprocess
import sys
import tracemalloc
from itertools import pairwise, product
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.flow.pairs import FlowPair, middlebury_pairs
from data.flow import METHODS, flow_between, flow_description, flow_of_video, main
from data.optical_flow.engine import FlowEngine, flow_engine, xla_engine
from data.optical_flow.frames import in_few_bytes
from data.optical_flow.methods import KINDS
from data.optical_flow.parameters import LIMITS
from data.optical_flow.picture import colour_wheel
from tests.makers.moving_pictures import shifted_pair, texture

PROJECT = Path(__file__).resolve().parents[2]


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other, axis=-1).mean())


def near(flow: np.ndarray, pair: FlowPair) -> bool:
    return distance(flow, flow_between(pair.first, pair.second)) < 0.05


@pytest.mark.parametrize("method", sorted({*METHODS} - {"warped"}))  # It takes such a shift for the camera's.
def test_every_method_says_right_is_plus_x_and_down_is_plus_y(method):
    first, second = shifted_pair(3, -2)

    flow = flow_between(first, second, method)

    assert flow.dtype == np.float32
    assert flow.shape == (80, 100, 2)
    # Farnebäck's method comes out short on textures as fine as this.
    tolerance = 0.35 if method == "farneback" else 0.02
    np.testing.assert_allclose(np.median(flow[15:-15, 15:-15], axis=(0, 1)), (3, -2), rtol=tolerance)


def test_warped_flow_knows_what_moves_from_how_the_camera_moves():
    first, second = shifted_pair(4, 0, 120, 160)
    second = second.copy()
    second[40:70, 60:90] = first[40:70, 62:92]  # In the picture, this part moves 2 to the left.

    flow = flow_between(first, second, "warped")

    np.testing.assert_allclose(np.median(flow[90:110, 20:140], axis=(0, 1)), (0, 0), atol=0.05)
    np.testing.assert_allclose(np.median(flow[48:62, 66:82], axis=(0, 1)), (-6, 0), atol=0.3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "magic"}, "method must be one of tvl1, .*Received 'magic'"),
        ({"preset": "slow"}, "preset must be one of accurate, balanced, fast. Received 'slow'"),
        ({"wraps": 3}, "no parameter 'wraps'. Its parameters are attachment, .*warps"),
        (
            {"method": "warped", "wraps": 3},
            "warped has no parameter 'wraps'. Its parameters are attachment, .*corners, .*warps",
        ),
        ({"warps": 2.5}, "tvl1 needs warps to be a whole number. Received 2.5"),
        ({"warps": "3"}, "tvl1 needs warps to be a whole number. Received '3'"),
        ({"warps": [3]}, "tvl1 needs warps to be a whole number. Received \\[3\\]"),
        ({"warps": True}, "tvl1 needs warps to be a whole number. Received True"),
        ({"smooth": "no"}, "tvl1 needs smooth to be True or False. Received 'no'"),
        ({"attachment": float("nan")}, "tvl1 needs attachment from 0.001 to 100. Received nan"),
        ({"huber_slope": -0.1}, "tvl1 needs huber_slope from 0 to 100. Received -0.1"),
        ({"method": "farneback", "winsize": 0}, "farneback needs winsize from 1 to 1000. Received 0"),
        ({"method": "farneback", "flags": 4}, "OpenCV can't compute flow with .*'flags': 4"),
        ({"method": "dis", "PatchSize": -3}, "dis needs PatchSize from 4 to 64. Received -3"),
        ({"method": "dis", "PatchStride": 64}, "dis needs a PatchStride of at most PatchSize, which is 8. Received 64"),
        ({"method": "dis", "PatchSize": 4, "PatchStride": 5}, "at most PatchSize, which is 4. Received 5"),
        ({"huber_slope": 1e300}, r"huber_slope from 0 to 100. Received 1e\+300"),
        ({"step": 1e-300}, "step from 0.001 to 0.25. Received 1e-300"),
        ({"warps": 10**400}, "warps from 1 to 1000. Received 1000"),
        ({"method": "brox", "smoothness": 1e300}, "brox needs smoothness from 0.01 to 1000. Received"),
        ({"method": "brox", "blur": 1e300}, "brox needs blur from 0.1 to 100. Received"),
        ({"method": "warped", "corners": 10**11}, "warped needs corners from 1 to 100000. Received"),
        ({"method": "brox", "scale": 1.0}, "brox needs scale from 0.1 to 0.99. Received 1.0"),
        ({"method": "warped", "corners": 0}, "warped needs corners from 1 to 100000. Received 0"),
    ],
)
def test_wrong_words_are_answered_with_the_right_ones(wrong, message):
    with pytest.raises(ValueError, match=message):
        flow_between(texture(20, 20), texture(20, 20, 1), **wrong)


@pytest.mark.parametrize("method", METHODS)
def test_every_number_of_a_method_has_limits(method):
    defaults, presets = KINDS[method].parameters()
    numbers = {name: value for name, value in defaults.items() if not isinstance(value, bool)}

    assert numbers.keys() <= LIMITS.keys()
    for values in (numbers, *presets.values()):
        assert all(LIMITS[name][0] <= value <= LIMITS[name][1] for name, value in values.items())


@pytest.mark.parametrize("method", ["tvl1", "warped", "brox"])
def test_flow_is_finite_at_the_limits_of_every_parameter(method):
    first, second = shifted_pair(2, 1, 20, 24)
    defaults, _ = KINDS[method].parameters()
    numbers = {name: value for name, value in defaults.items() if not isinstance(value, bool)}
    few = {name: 2 for name, value in numbers.items() if isinstance(value, int) and name != "corners"}
    weights = sorted(numbers.keys() - few.keys())

    for ends in product((0, 1), repeat=len(weights)):
        asked = {name: type(numbers[name])(LIMITS[name][end]) for name, end in zip(weights, ends, strict=True)}

        flow = flow_between(first, second, method, **few, **asked)

        assert np.isfinite(flow).all(), asked


def test_whole_numbers_serve_as_numbers_of_any_type():
    first, second = shifted_pair(2, 1, 40, 40)

    plain = flow_between(first, second, preset="fast", attachment=1.0, warps=1)
    numpy_s = flow_between(first, second, preset="fast", attachment=np.int64(1), warps=np.int32(1))

    np.testing.assert_array_equal(plain, numpy_s)
    assert json.dumps(flow_description(warps=np.int64(1)))


def test_a_video_has_the_flow_of_each_frame_to_its_next():
    frames = [texture(40, 50, seed) for seed in range(4)]

    of_video = list(flow_of_video(iter(frames), preset="fast"))
    of_pairs = [flow_between(a, b, preset="fast") for a, b in pairwise(frames)]

    np.testing.assert_array_equal(of_video, of_pairs)


@pytest.mark.parametrize("frames", [0, 1])
def test_a_video_of_less_than_two_frames_has_no_flow(frames):
    assert list(flow_of_video([texture(40, 40)] * frames)) == []


def test_flow_of_a_video_comes_before_its_end_is_read():
    read = []

    def endless():
        while True:
            read.append(len(read))
            yield texture(20, 20, len(read))

    flows = flow_of_video(endless(), preset="fast")
    next(flows), next(flows)

    assert len(read) == 3


def test_flow_of_a_long_video_takes_no_more_memory_than_that_of_a_short_one():
    def peak(frames: int) -> int:
        tracemalloc.start()
        for _ in flow_of_video((texture(96, 128, seed) for seed in range(frames)), preset="fast"):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(4)

    assert peak(24) < 1.1 * peak(4)


def test_a_description_names_all_that_decides_the_flow():
    described = flow_description("tvl1", "fast", bound=15, warps=1)

    assert described["parameters"] | {"warps": 1, "iterations": 10} == described["parameters"]
    assert (described["method"], described["bound"], described["rule"]) == ("tvl1", 15.0, "centred")
    assert json.loads(json.dumps(described)) == described


def test_the_colour_wheel_is_white_at_rest_and_red_to_the_right():
    flow = np.zeros((1, 3, 2), np.float32)
    flow[0, 1] = (5, 0)
    flow[0, 2] = (-5, 0)

    rest, right, left = colour_wheel(flow)[0]

    np.testing.assert_array_equal(rest, (255, 255, 255))
    np.testing.assert_array_equal(right, (255, 0, 0))
    assert left[1] > 150
    assert left[2] == 255


def test_an_engine_gives_each_pair_its_flow_whatever_the_sizes():
    pairs = [(texture(20, 20, i), texture(20, 20, i + 1)) for i in range(2)] + [(texture(20, 30), texture(20, 30, 1))]

    flows = list(flow_engine("cpu", preset="fast").flow_of_pairs(pairs))

    for flow, (first, second) in zip(flows, pairs, strict=True):
        np.testing.assert_array_equal(flow, flow_between(first, second, preset="fast"))


def test_pairs_of_unlike_pixels_share_no_batch():
    batches = []

    def solve(firsts, seconds):
        batches.append([np.stack(images).dtype for images in (firsts, seconds)])
        return np.zeros((len(firsts), 20, 24, 2), np.float32)

    colour = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    pairs = [(colour, colour), (colour, colour), (colour / 255, colour / 255), (colour, colour[..., 0])]

    flows = list(FlowEngine("gpu", 4, in_few_bytes, solve).flow_of_pairs(pairs))

    assert len(flows) == 4
    assert batches == [[np.uint8] * 2, [np.float32] * 2, [np.uint8] * 2]


def test_only_the_solver_for_it_runs_on_an_accelerator():
    with pytest.raises(ValueError, match=r"only compute tvl1 .* Received 'dis'"):
        flow_engine("gpu", "dis")


@pytest.mark.slow
def test_the_accelerator_agrees_with_the_processor():
    pairs = [shifted_pair(x, 1, 45, 52) for x in (1, 3)] + [(texture(45, 52), texture(45, 52))]
    pairs[1] = (pairs[1][0], (pairs[1][1] * 0.85 + 6).astype(np.uint8))

    on_device = list(xla_engine("fast", batch=2).flow_of_pairs(pairs))

    for flow, (first, second) in zip(on_device, pairs, strict=True):
        assert distance(flow, flow_between(first, second, preset="fast")) < 0.05


@pytest.mark.slow
def test_the_accelerator_agrees_with_the_processor_on_real_pairs(shared_data):
    pairs = middlebury_pairs(shared_data / "flow_truth")

    on_device = xla_engine("balanced", batch=len(pairs)).flow_of_pairs((pair.first, pair.second) for pair in pairs)

    assert {pair.name for pair, flow in zip(pairs, on_device, strict=True) if not near(flow, pair)} == set()


def test_the_command_shows_flow_and_its_numbers(tmp_path, capsys):
    for name, image in zip("ab", shifted_pair(3, -2), strict=True):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    pair = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]

    main([*pair, "--out", str(tmp_path / "flow.png"), "--json", str(tmp_path / "numbers.json")])
    main([*pair, "--out", str(tmp_path / "flow.flo")])

    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["mean_length"] == pytest.approx(13**0.5, rel=0.05)
    assert "clipped at ±20 px: 0.00 %" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "flow.png")).shape == (80, 100, 3)
    assert (tmp_path / "flow.flo").stat().st_size == 12 + 80 * 100 * 8


def test_the_command_takes_parameters_by_name(tmp_path, capsys):
    for name, image in zip("ab", shifted_pair(3, -2), strict=True):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    pair = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]

    main([*pair, "--set", "warps=1", "--set", "smooth=False", "--out", str(tmp_path / "flow.npy")])

    first, second = (cv2.imread(path) for path in pair)
    expected = flow_between(first, second, warps=1, smooth=False)
    np.testing.assert_array_equal(np.load(tmp_path / "flow.npy"), expected)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["no.png", "no.png"], 1),
        (["only-one.png"], 2),
        (["a.png", "b.png", "--out", "x.xyz"], 2),
        (["a.png", "b.png", "--bound", "-5"], 2),
        (["a.png", "b.png", "--bound", "nan"], 2),
        (["a.png", "b.png", "--out", "tests"], 2),
        (["a.png", "b.png", "--set", "warps"], 2),
    ],
)
def test_the_command_fails_with_one_message(words, code):
    done = subprocess.run([sys.executable, "data/flow.py", *words], cwd=PROJECT, capture_output=True, text=True)

    assert done.returncode == code
    assert "Traceback" not in done.stderr
