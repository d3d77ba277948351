"""Flow accepts frames of any type, layout and size, and has one clear error for arrays that are no frames."""

import numpy as np
import pytest

from data.flow import METHODS, flow_between, flow_of_video
from tests.makers.moving_pictures import shifted_pair, texture


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other, axis=-1).mean())


@pytest.mark.parametrize(
    "same",
    [
        lambda frame: np.repeat(frame[..., None], 3, axis=2),
        lambda frame: frame[..., None],
        lambda frame: frame.astype(np.float32),
        lambda frame: frame / 255,
        lambda frame: np.asfortranarray(frame),
        lambda frame: np.repeat(frame, 2, axis=1)[:, ::2],
    ],
    ids=["RGB", "one channel", "float to 255", "float to 1", "Fortran order", "strided"],
)
def test_frames_may_come_in_any_dress(same):
    first, second = shifted_pair(2, 1, 50, 60)

    plain = flow_between(first, second, preset="fast")
    dressed = flow_between(same(first), same(second), preset="fast")

    assert distance(plain, dressed) < 1e-3


def test_a_dark_frame_means_what_the_frame_beside_it_means():
    dark, bright = (frame.astype(np.float32) for frame in shifted_pair(2, 1, 40, 50))
    dark = dark / 255

    as_levels = flow_between(dark, bright, "dis")
    of_video = next(flow_of_video([np.zeros_like(dark), bright, dark], "dis"))
    next_to_last = next(flow_of_video([bright, dark], "dis"))

    np.testing.assert_array_equal(
        as_levels, flow_between(dark.round().astype(np.uint8), bright.astype(np.uint8), "dis")
    )
    np.testing.assert_array_equal(of_video, flow_between(np.zeros_like(dark), bright, "dis"))
    np.testing.assert_array_equal(next_to_last, flow_between(bright, dark, "dis"))


def test_levels_a_little_beyond_white_stay_white():
    first, second = (np.clip(frame.astype(np.float32) * 2, 0, 255) for frame in shifted_pair(2, 1, 40, 50))

    np.testing.assert_array_equal(
        flow_between(first * 1.001, second * 1.001, "dis"), flow_between(first * 1.0001, second * 1.0001, "dis")
    )


@pytest.mark.parametrize("method", METHODS)
def test_frames_may_come_in_a_buffer_that_is_used_again(method):
    frames = [frame.astype(np.float32) for frame in shifted_pair(3, -2)]

    def reusing():
        buffer = np.empty_like(frames[0])
        for frame in frames:
            buffer[:] = frame
            yield buffer

    np.testing.assert_array_equal(next(flow_of_video(reusing(), method)), flow_between(*frames, method))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_no_motion_where_nothing_moves(method):
    still = texture(60, 80)

    np.testing.assert_array_equal(flow_between(still, still.copy(), method), 0)


@pytest.mark.parametrize("method", ["tvl1", "brox"])
@pytest.mark.parametrize(
    ("change", "change_flow"),
    [
        (lambda image: 255 - image, lambda flow: flow),
        (lambda image: image[:, ::-1], lambda flow: flow[:, ::-1] * (-1, 1)),
        (lambda image: image[::-1], lambda flow: flow[::-1] * (1, -1)),
        (lambda image: image.T, lambda flow: flow.transpose(1, 0, 2)[..., ::-1]),
    ],
    ids=["negative", "mirrored", "upside down", "transposed"],
)
def test_changing_both_frames_alike_changes_their_flow_accordingly(method, change, change_flow):
    first, second = shifted_pair(3, -2, 64, 96)

    flow = flow_between(first, second, method)
    changed = flow_between(change(first), change(second), method)

    assert distance(changed, change_flow(flow)) < 0.05


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (texture(40, 40), texture(40, 42), "same size. Received 40×40 and 42×40"),
        (texture(40, 15), texture(40, 15), "at least 16×16 pixels. Received 15×40"),
        (np.full((20, 20), np.nan), np.zeros((20, 20)), "NaN or infinity"),
        (np.full((20, 20), 1e20), np.zeros((20, 20)), r"0..255, or 0..1. Received 1e\+20"),
        (np.zeros((20, 20, 4)), np.zeros((20, 20, 4)), r"shape \(20, 20, 4\)"),
        (np.zeros((20, 20), np.int64), np.zeros((20, 20), np.int64), "uint8 or float pixels. Received int64"),
    ],
)
def test_frames_that_have_no_flow_are_refused_with_the_reason(first, second, message):
    with pytest.raises(ValueError, match=message):
        flow_between(first, second)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_result_or_one_error_for_frames_that_show_no_motion(method):
    black, white = np.zeros((40, 48), np.uint8), np.full((40, 48), 255, np.uint8)

    for first, second in ((black, white), (texture(40, 48, 1), texture(40, 48, 2)), (texture(40, 48), black)):
        assert np.isfinite(flow_between(first, second, method)).all()
    for still in (black, white):
        np.testing.assert_array_equal(flow_between(still, still.copy(), method), 0)
    with pytest.raises(ValueError, match="same size"):
        flow_between(black, black[:38], method)
    with pytest.raises(ValueError, match="NaN"):
        flow_between(np.full((40, 48), np.nan), black, method)
    assert list(flow_of_video([black], method)) == []
