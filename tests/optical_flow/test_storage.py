import json

import cv2
import numpy as np
import pytest

from data.flow import (
    dequantise,
    flow_between,
    flow_image_pairs,
    mirror_levels,
    quantise,
    read_flow,
    read_flow_images,
    write_flo,
)
from data.store.description import Recipe
from tests.makers.moving_pictures import shifted_pair

RULES = ("centred", "classic", "truncated")


def through_jpeg(levels: np.ndarray, quality: int = 95) -> np.ndarray:
    planes = []
    for plane in np.moveaxis(levels, -1, 0):
        _, content = cv2.imencode(".jpg", np.ascontiguousarray(plane), [cv2.IMWRITE_JPEG_QUALITY, quality])
        planes.append(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE))
    return np.stack(planes, axis=-1)


def some_flow(reach: float = 20.0) -> np.ndarray:
    return np.random.default_rng(0).uniform(-reach, reach, (40, 50, 2)).astype(np.float32)


def test_standing_still_is_level_128_and_comes_back_as_exactly_zero():
    levels = quantise(np.zeros((32, 32, 2)))

    np.testing.assert_array_equal(levels, 128)
    np.testing.assert_array_equal(dequantise(through_jpeg(levels)), 0)


def test_the_classic_rule_takes_stillness_for_motion_and_is_read_as_it_was_written():
    levels = quantise(np.zeros((4, 4, 2)), rule="classic")

    np.testing.assert_array_equal(levels, 128)
    np.testing.assert_allclose(dequantise(levels, rule="classic"), 20 / 255, rtol=1e-5)


def test_the_truncated_rule_is_that_of_mmaction2s_tool_and_reads_it_without_bias():
    flow = some_flow(19)
    # As the tool does it: moved, scaled and turned into bytes, which cuts the fraction off.
    theirs = ((flow + 20) * (255 / 40)).astype(np.uint8)

    np.testing.assert_array_equal(quantise(flow, rule="truncated"), theirs)
    assert abs((dequantise(theirs, rule="truncated") - flow).mean()) < 0.002
    assert (dequantise(theirs, rule="classic") - flow).mean() == pytest.approx(-20 / 255, abs=0.002)
    assert quantise(np.zeros(1), rule="truncated") == 127


def test_the_opposite_of_truncated_levels_is_what_the_opposite_flow_is_cut_to():
    flow = some_flow(19)

    turned = mirror_levels(quantise(flow, rule="truncated"), "truncated")

    np.testing.assert_array_equal(turned, quantise(-flow, rule="truncated"))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bound", [5.0, 20.0])
def test_storing_costs_half_a_level_at_most(rule, bound):
    flow = some_flow(bound)

    back = dequantise(quantise(flow, bound, rule), bound, rule)

    half_a_level = bound / (254 if rule == "centred" else 255)
    assert np.abs(back - flow).max() <= half_a_level * 1.001


@pytest.mark.parametrize("rule", ["centred", "classic"])
def test_what_moves_beyond_the_bound_is_clipped_to_it(rule):
    flow = np.array([[[-500.0, 500.0], [-np.inf, np.inf]]])

    np.testing.assert_allclose(dequantise(quantise(flow, 20, rule), 20, rule), [[[-20, 20], [-20, 20]]], rtol=1e-6)


@pytest.mark.parametrize(("x", "y"), [(5, 0), (-5, 0), (0, 5), (0, -5), (7, -6)])
def test_a_shift_keeps_its_direction_and_its_size_through_storage(x, y):
    flow = flow_between(*shifted_pair(x, y))

    stored = dequantise(through_jpeg(quantise(flow, 20.0)), 20.0)

    middle = np.median(stored[15:-15, 15:-15], axis=(0, 1))
    np.testing.assert_allclose(middle, (x, y), atol=0.02 * np.hypot(x, y))


@pytest.mark.parametrize(
    ("key", "other"),
    [("method", "dis"), ("preset", "fast"), ("made_by", {"tvl1": 1}), ("parameters", {}), ("bound", 10.0)],
)
def test_flow_that_was_made_otherwise_never_joins_a_folder(tmp_path, key, other):
    Recipe().keep(tmp_path)
    description = json.loads((tmp_path / "flow.json").read_text())
    (tmp_path / "flow.json").write_text(json.dumps({**description, key: other}))

    with pytest.raises(ValueError, match="They must not mix"):
        Recipe().keep(tmp_path)


@pytest.mark.parametrize("bound", [0, -5.0, float("nan"), 1e300])
def test_a_recipe_has_a_bound_that_flow_can_be_clipped_at(bound):
    with pytest.raises(ValueError, match=r"bound of flow must be from 0\.01 to 10000 pixels. Received"):
        Recipe(bound=bound)


def test_flow_of_another_method_is_told_by_its_name_first(tmp_path):
    Recipe(method="dis").keep(tmp_path)

    with pytest.raises(ValueError, match="made with method = 'dis', and this command asks for 'tvl1'"):
        Recipe().keep(tmp_path)


def test_the_mirror_of_levels_is_the_level_of_the_mirrored_motion():
    # Exact halves between levels are where rounding could be lopsided.
    halves = (np.arange(-127, 127) + 0.5) * 20 / 127
    flow = np.concatenate([some_flow(25).ravel(), halves, [0, 20, -20]]).astype(np.float32)

    np.testing.assert_array_equal(mirror_levels(quantise(flow)), quantise(-flow))
    np.testing.assert_array_equal(dequantise(mirror_levels(quantise(flow))), -dequantise(quantise(flow)))


def test_mirroring_twice_changes_no_level_that_we_write():
    levels = np.arange(1, 256, dtype=np.uint8)

    np.testing.assert_array_equal(mirror_levels(mirror_levels(levels)), levels)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"flow": np.full((2, 2, 2), np.nan)}, "NaN"),
        ({"bound": 1e300}, "from 0.01 to 10000 pixels. Received 1e"),
        ({"bound": 0}, "from 0.01 to 10000 pixels. Received 0"),
        ({"rule": "linear"}, "one of centred, classic, truncated, floats. Received 'linear'"),
    ],
)
def test_what_cannot_be_stored_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        quantise(**{"flow": np.zeros((2, 2, 2)), **wrong})


def test_flow_files_come_back_as_they_were_written(tmp_path):
    flow = some_flow()
    write_flo(tmp_path / "flow.flo", flow)
    np.save(tmp_path / "flow.npy", flow)
    np.save(tmp_path / "planes.npy", np.moveaxis(flow, -1, 0).astype(np.float64))
    np.save(tmp_path / "columns.npy", np.asfortranarray(flow))
    (tmp_path / "LOUD.FLO").write_bytes((tmp_path / "flow.flo").read_bytes())

    for name in ("flow.flo", "flow.npy", "planes.npy", "columns.npy", "LOUD.FLO"):
        np.testing.assert_array_equal(read_flow(tmp_path / name), flow)
        np.testing.assert_array_equal(read_flow(str(tmp_path / name)), flow)


def test_what_a_flo_file_does_not_know_is_nan(tmp_path):
    flow = some_flow()
    flow[3, 4] = 1.7e9
    write_flo(tmp_path / "flow.flo", flow)

    unknown = np.isnan(read_flow(tmp_path / "flow.flo"))

    assert unknown[3, 4].all()
    assert unknown.sum() == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.flo", b"PI", "not a .flo file"),
        ("a.flo", b"RIFF" + bytes(100), "not a .flo file"),
        ("a.flo", b"PIEH" + (8).to_bytes(4, "little") * 2 + bytes(9), "8×8 flow doesn't fit its 21 bytes"),
        ("a.npy", b"nonsense", "can't be read as an array"),
        ("a.npy", b"", "can't be read as an array"),
        ("a.txt", b"", "end in .flo or .npy"),
    ],
)
def test_damaged_flow_files_are_refused_with_the_reason(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ValueError, match=message):
        read_flow(tmp_path / name)


def test_an_archive_of_arrays_is_not_taken_for_one(tmp_path):
    np.savez(tmp_path / "flow.npz", flow=some_flow())
    (tmp_path / "flow.npz").rename(tmp_path / "flow.npy")

    with pytest.raises(ValueError, match=r"flow\.npy can't be read as an array"):
        read_flow(tmp_path / "flow.npy")


@pytest.mark.parametrize("cut", [1, 20, 200])
@pytest.mark.parametrize("name", ["x.jpg", "x.JPEG"])
def test_an_image_of_flow_that_is_cut_off_is_refused(tmp_path, name, cut):
    levels = quantise(some_flow())[..., 0]
    for path in (tmp_path / name, tmp_path / "y.jpg"):
        path.write_bytes(cv2.imencode(".jpg", levels)[1].tobytes())
    assert read_flow_images(str(tmp_path / name), tmp_path / "y.jpg").shape == (40, 50, 2)

    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-cut])

    with pytest.raises(ValueError, match=f"{name} can't be read as an image: it is damaged or cut off"):
        read_flow_images(tmp_path / name, tmp_path / "y.jpg")
    with pytest.raises(FileNotFoundError, match=r"no image of flow .*other\.jpg"):
        read_flow_images(tmp_path / "other.jpg", tmp_path / "y.jpg")


@pytest.mark.parametrize(
    "names",
    [
        ("u/frame000001.jpg", "v/frame000001.jpg"),
        ("x/7.png", "y/7.png"),
        ("flow_x_00001.jpg", "flow_y_00001.jpg"),
        ("x_00001.jpg", "y_00001.jpg"),
    ],
)
def test_images_of_flow_are_found_and_read_in_other_tools_layouts(tmp_path, names):
    flow = np.dstack([np.full((16, 16), 5.0), np.full((16, 16), -10.0)])
    for name, plane in zip(names, np.moveaxis(quantise(flow, rule="classic"), -1, 0), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), plane)

    pairs = flow_image_pairs(tmp_path)

    assert pairs == [(tmp_path / names[0], tmp_path / names[1])]
    np.testing.assert_allclose(read_flow_images(*pairs[0], rule="classic"), flow, atol=0.25)


def test_a_flow_image_without_its_partner_is_reported(tmp_path):
    for name in ("flow_x_1.jpg", "flow_y_1.jpg", "flow_x_2.jpg"):
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8), np.uint8))

    with pytest.raises(ValueError, match=r"number 2 has only .*flow_x_2\.jpg"):
        flow_image_pairs(tmp_path)
