import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from data.sets.segments import Segment
from fusion.methods.kept import Doubt, Fusion
from fusion.prediction.over_time.annotate import draw
from fusion.prediction.over_time.colours import DARK, LIGHT
from fusion.prediction.over_time.judged import average_precisions, judged
from fusion.prediction.over_time.picture import frames_that_fit, write_picture
from fusion.prediction.over_time.segments import write_segments
from fusion.prediction.over_time.timeline import as_text, clock, timeline
from fusion.prediction.prediction import Prediction

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


def found(label, start, end, confidence=0.5, video="a.avi"):
    return Segment(video, start, end, label, confidence)


def test_segments_are_judged_by_average_precision():
    labelled = [found("Run", 0, 10), found("Run", 20, 30), found("Sit", 0, 10, video="b.avi")]
    guesses = [
        found("Run", 1, 10, 0.9),  # Right.
        found("Run", 0, 9, 0.8),  # Claims what was found already: wrong.
        found("Run", 21, 30, 0.7),  # Right, at a precision of two thirds.
        found("Sit", 0, 4.9, 0.9, "b.avi"),  # Overlaps too little.
        found("Stand", 0, 9, 0.9),  # A class that nobody labelled.
    ]

    assert average_precisions(guesses, labelled) == {"Run": pytest.approx((1 + 2 / 3) / 2), "Sit": 0.0}
    assert judged(guesses, labelled)["mean_average_precision"] == pytest.approx((1 + 2 / 3) / 4)
    assert judged(labelled, labelled)["mean_average_precision"] == 1.0
    # An answer "unsure" is no guess, and videos without labels are nobody's business.
    assert judged([*labelled, found("unsure", 12, 13), found("Run", 0, 1, 1.0, "c.avi")], labelled) == judged(
        labelled, labelled
    )


@pytest.mark.parametrize("extension", ["csv", "json"])
def test_segments_are_written_with_start_end_class_and_confidence(extension, tmp_path):
    path = tmp_path / f"segments.{extension}"

    write_segments(path, [found("Run", 0, 1.23456), found("=Sit", 1.23456, 2, 0.75)])

    rows = list(csv.DictReader(path.open())) if extension == "csv" else json.loads(path.read_text())
    assert list(rows[0]) == ["video", "start", "end", "class", "confidence"]
    assert [float(rows[1][name]) for name in ("start", "end", "confidence")] == [1.235, 2, 0.75]
    assert rows[1]["class"] == ("'=Sit" if extension == "csv" else "=Sit")


def both(doubt=None):
    spatial, temporal = made([0] * 8 + [1] * 12), made([0] * 10 + [1] * 10)
    logits = {"spatial": spatial.view_logits["spatial"] / 8, "temporal": temporal.view_logits["spatial"] / 2}
    seconds = dict.fromkeys(logits, spatial.view_seconds["spatial"])
    return Prediction("a.avi", ("Run", "Sit"), logits, seconds, 100, 10.0, fusion=Fusion(doubt=doubt))


def test_below_the_threshold_a_stretch_is_unsure():
    line = timeline(both(Doubt(0.7, 0.95, 100)), window=0.5)

    assert [stretch.label for stretch in line.stretches()] == ["Run", "unsure", "Sit"]
    assert [stretch.label for stretch in line.stretches("spatial")] == ["Run", "Sit"]
    assert {"start", "end", "class", "confidence"} == set(line.stretches()[0].as_dictionary())


def test_the_picture_keeps_the_proportions_of_frames_and_draws_curves_as_long_as_the_bars(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    frame = np.zeros((90, 160, 3), np.uint8)

    write_picture(tmp_path / "line.png", timeline(both(Doubt(0.7, 0.95, 100))), [frame] * frames_that_fit(90, 160))

    (figure,) = drawn
    frames, bars, curves = figure.axes
    for image in frames.images:
        box = image.get_window_extent()
        assert box.width / box.height == pytest.approx(160 / 90, rel=0.01)
    for line in curves.lines[:2]:
        assert line.get_xdata()[[0, -1]].tolist() == [0, 10.0]
    assert bars.get_xlim() == curves.get_xlim() == (0, 10)
    assert {text.get_text() for text in bars.texts} == {"Run", "unsure", "Sit"}
    assert "both streams, fused" in curves.get_title("left")


def test_the_annotated_frame_is_the_frame_itself_above_a_panel():
    random = np.random.default_rng(0)
    line = timeline(both())

    for size in ((48, 64), (480, 854), (1080, 1920)):
        frame = random.integers(0, 256, (*size, 3), np.uint8)
        shown = draw(frame, np.ones((24, 32, 2), np.float32), line, ["Run", "Sit"], 1.0, "a.avi")
        left = (shown.shape[1] - size[1]) // 2
        np.testing.assert_array_equal(shown[: size[0], left : left + size[1]], frame)
        assert shown.shape[0] > size[0] and shown.shape[1] == max(640, size[1])


def test_one_set_of_colours_is_used_on_every_page():
    project = Path(__file__).resolve().parents[3]
    report = (project / "fusion" / "report" / "templates" / "report.css").read_text()
    page = (project / "fusion" / "serving" / "page.css").read_text()
    names = {"spatial": "first", "temporal": "second", "fused": "fused"}

    for stream, name in names.items():
        assert {LIGHT[stream], DARK[stream]} == set(re.findall(rf"--{name}: (#\w+)", report))
        assert f"--{stream}: light-dark({LIGHT[stream]}, {DARK[stream]})" in page


def test_with_a_delay_nothing_later_is_used_and_a_decision_holds_until_the_next():
    seen = made([0] * 10 + [1] * 10)  # Views every half second around which a quarter of a second is seen.
    seen = Prediction("a.avi", ("Run", "Sit"), seen.view_logits, seen.view_seconds, 100, 10.0, reach={"spatial": 0.25})

    at_once, later = timeline(seen, 0.5, delay=0.0), timeline(seen, 0.5, delay=0.5)

    assert at_once.times[0] == pytest.approx(0.5)  # The first view has been seen whole.
    (_, change), (_, change_later) = at_once.stretches(), later.stretches()
    assert change.start == pytest.approx(5.5) and change_later.start == pytest.approx(5.0)
    # What comes later changes nothing of what was decided before.
    other = dict(seen.view_logits, spatial=np.concatenate([seen.view_logits["spatial"][:12], np.zeros((8, 2))]))
    changed = Prediction("a.avi", ("Run", "Sit"), other, seen.view_seconds, 100, 10.0, reach=seen.reach)
    before = at_once.times < 6.4
    np.testing.assert_array_equal(
        timeline(changed, 0.5, delay=0.0).probabilities["spatial"][before], at_once.probabilities["spatial"][before]
    )
    with pytest.raises(ValueError, match="ends before a decision with a delay of 20000 ms"):
        timeline(seen, 1.0, delay=20.0)
