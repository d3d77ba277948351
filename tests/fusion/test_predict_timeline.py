import cv2
import numpy as np
import pytest

from fusion.prediction.prediction import Prediction
from fusion.prediction.timeline import as_text, clock, timeline, write_picture

SURE = 8.0


def made(labels_of_view, hop=0.5, classes=("Run", "Sit")):
    logits = np.eye(len(classes), dtype=np.float32)[labels_of_view] * SURE
    seconds = hop * (np.arange(len(logits)) + 0.5)
    return Prediction("a.avi", classes, {"spatial": logits}, {"spatial": seconds}, int(len(logits) * hop * 10), 10.0)


def test_stretches_follow_what_is_seen():
    line = timeline(made([0] * 8 + [1] * 4), window=0.5)

    first, second = line.stretches()
    assert (first.label, first.start, first.end) == ("Run", 0.0, pytest.approx(4.0))
    assert (second.label, second.end) == ("Sit", 6.0)
    assert as_text([first, second]).splitlines()[0] == "0:00.0 to 0:04.0  Run  100.0%"


def test_a_wider_window_ignores_what_flickers():
    flickering = made([0] * 6 + [1] + [0] * 6)

    assert len(timeline(flickering, window=0.5).stretches()) == 3
    assert len(timeline(flickering, window=2.0).stretches()) == 1


def test_streams_with_different_views_share_one_time():
    spatial, temporal = made([0] * 20, hop=0.5), made([1] * 10, hop=1.0)
    both = Prediction(
        "a.avi",
        ("Run", "Sit"),
        {"spatial": spatial.view_logits["spatial"], "temporal": temporal.view_logits["spatial"]},
        {"spatial": spatial.view_seconds["spatial"], "temporal": temporal.view_seconds["spatial"]},
        100,
        10.0,
    )

    line = timeline(both, window=1.0)

    assert {name: len(scores) for name, scores in line.probabilities.items()} == dict.fromkeys(
        ("spatial", "temporal", "fused"), 20
    )
    np.testing.assert_allclose(line.probabilities["fused"], 0.5)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00.0"), (59.96, "1:00.0"), (3723.4, "1:02:03.4")])
def test_moments_read_as_a_clock(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize("count", [2, 8])
def test_frames_on_the_picture_keep_their_proportions(count, tmp_path):
    frame = np.full((60, 80, 3), 90, np.uint8)
    frame[10:50, 20:60] = (200, 30, 200)

    write_picture(tmp_path / "line.png", timeline(made([0] * 8 + [1] * 4)), [frame] * count)

    picture = cv2.imread(str(tmp_path / "line.png"))
    rows, columns = np.nonzero((picture == (200, 30, 200)).all(axis=-1))
    columns = np.unique(columns)
    first, *others = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    assert len(others) == count - 1
    assert np.ptp(first) == pytest.approx(np.ptp(rows), rel=0.05)
