"""The report's answers about more clips, the scene and unknown classes, on data that makes the truth visible."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from fusion.report.charts import growth_curve
from fusion.report.more_clips import more_clips_of, outside_of
from fusion.report.numbers import warnings_of
from fusion.report.questions import sentences
from fusion.scores.other_time import in_other_time
from fusion.scores.protocol import ORDERS, Scoring, in_words
from pipelines.augment import opposite
from pipelines.inputs import Input
from streams.last_layer.subsets import Subsets
from streams.runs.model_file import ModelCard


def made_parts(num_classes=3, each=24, noise=1.0, dimensions=12, seed=0):
    """Features of classes that lie apart, under so much noise, with labels and groups of three."""
    random = np.random.default_rng(seed)
    labels = np.arange(num_classes * each) % num_classes
    centres = 2.0 * random.normal(size=(num_classes, dimensions))
    features = centres[labels] + noise * random.normal(size=(len(labels), dimensions))
    return [features.astype(np.float32)], labels, [f"g{number // 3}" for number in range(len(labels))]


def subsets_of(seconds=60.0, **options):
    return Subsets(*made_parts(**options), seconds=seconds)


def test_more_videos_make_a_last_layer_better_and_the_curve_says_how_much():
    found = more_clips_of(subsets_of(noise=6.0, dimensions=40, each=40), ("a", "b", "c"))

    counts = [step["videos"] for step in found["steps"]]
    assert counts == sorted(counts) and found["doubled"]["videos"] == 2 * counts[-1]
    assert found["steps"][0]["accuracy"] + 0.05 < found["steps"][-1]["accuracy"]
    assert 0 < found["gain"] <= 1 - found["steps"][-1]["accuracy"]
    low, high = found["gain_interval"]
    assert 0 <= low <= found["gain"] <= high


def test_where_all_is_right_already_nothing_is_promised():
    found = more_clips_of(subsets_of(noise=0.05), ("a", "b", "c"))

    assert found["gain"] == pytest.approx(0, abs=0.005)


def test_what_is_predicted_from_half_the_videos_is_what_all_of_them_reach():
    parts, labels, groups = made_parts(noise=6.0, dimensions=40, each=160)
    half = np.arange(len(labels)) < len(labels) // 2
    few = Subsets([parts[0][half]], labels[half], np.asarray(groups)[half].tolist())

    promised = more_clips_of(few, ("a", "b", "c"))["doubled"]
    reached = Subsets(parts, labels, groups).learning_curve()[-1]

    low, high = promised["interval"]
    assert low - 0.02 <= reached.right.mean() <= high + 0.02


def test_the_class_of_which_there_are_too_few_gains_most_from_more():
    parts, labels, groups = made_parts(noise=6.0, dimensions=30, each=60)
    kept = (labels != 2) | (np.arange(len(labels)) % 5 == 0)

    found = more_clips_of(
        Subsets([parts[0][kept]], labels[kept], np.asarray(groups)[kept].tolist()), ("many", "more", "few")
    )

    assert {need["name"] for need in found["classes"]} == {"many", "more", "few"}
    assert min(found["classes"], key=lambda need: need["recognised"])["name"] == "few"
    few = next(need for need in found["classes"] if need["name"] == "few")
    # Per video that is added, nothing brings as much.
    assert few["gain"] / few["videos"] == max(need["gain"] / need["videos"] for need in found["classes"])


def test_without_the_time_classes_are_left_out_and_named():
    found = more_clips_of(subsets_of(seconds=0.0), ("a", "b", "c"))

    assert found["classes"] == [] and sorted(found["left_out"]) == ["a", "b", "c"]
    assert len(found["steps"]) == 4  # The curve itself is always there, from one draw.
    assert outside_of(subsets_of(seconds=0.0), ("a", "b", "c")) is None


def test_smaller_parts_are_parts_of_larger_ones_and_no_judged_group_is_learned_from():
    subsets = subsets_of()
    rows, others = subsets._folds[0]

    def some(share):
        return set(subsets._some(rows, share, np.random.default_rng((0, 0)), None).tolist())

    assert some(0.25) < some(0.5) < some(1.0) == set(rows.tolist())
    assert not {subsets.groups[row] for row in some(1.0)} & {subsets.groups[row] for row in others}


def test_an_unknown_class_between_others_is_doubted_and_one_beyond_them_is_not():
    random = np.random.default_rng(0)
    labels = np.arange(160) % 4
    centres = np.array([[-4.0, 0], [4.0, 0], [0, 0], [9.0, 0]])
    features = (centres[labels] + 0.3 * random.normal(size=(160, 2))).astype(np.float32)
    subsets = Subsets([features], labels, [str(row) for row in range(160)])

    found = outside_of(subsets, ("left", "right", "between", "beyond"))

    by_name = {row["name"]: row for row in found["rows"]}
    assert by_name["between"]["auroc"] > 0.9 and by_name["between"]["false_alarms"] < 0.2
    assert by_name["beyond"]["auroc"] < 0.5 and by_name["beyond"]["false_alarms"] > 0.9
    assert found["auroc"] == pytest.approx(np.mean([row["auroc"] for row in found["rows"]]))


def test_with_two_classes_nothing_can_be_left_out():
    assert outside_of(subsets_of(num_classes=2), ("a", "b")) is None


FRAMES = tf.constant(np.arange(4 * 4 * 12, dtype=np.uint8).reshape(1, 4, 4, 12))
CLIPS = {"rgb": Input("rgb_spread", 4), "flow": Input("flow_spread", 6)}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", CLIPS)
def test_clips_in_another_order_have_the_same_shape_and_are_others(kind, order):
    changed = in_other_time(FRAMES, CLIPS[kind], order, "centred")

    assert changed.shape == FRAMES.shape and changed.dtype == tf.uint8
    assert not np.array_equal(changed, FRAMES)


def test_frozen_frames_repeat_the_middle_one_and_frozen_flow_does_not_move():
    frames = in_other_time(FRAMES, CLIPS["rgb"], "frozen", "centred").numpy().reshape(1, 4, 4, 4, 3)
    flow = in_other_time(FRAMES, CLIPS["flow"], "frozen", "centred").numpy()

    assert (frames == FRAMES.numpy().reshape(1, 4, 4, 4, 3)[..., 2:3, :]).all()
    assert (flow == 128).all()


def test_backwards_the_last_frame_comes_first_and_motion_is_the_opposite():
    frames = in_other_time(FRAMES, CLIPS["rgb"], "reversed", "centred").numpy()
    flow = in_other_time(FRAMES, CLIPS["flow"], "reversed", "centred").numpy()

    np.testing.assert_array_equal(frames[..., :3], FRAMES[..., 9:])
    np.testing.assert_array_equal(flow[..., :2], opposite(FRAMES[..., 10:]))
    # Twice backwards is forwards.
    again = in_other_time(tf.constant(flow), CLIPS["flow"], "reversed", "centred")
    np.testing.assert_array_equal(again, np.maximum(FRAMES, 1))


def test_shuffled_clips_keep_every_frame_whole():
    frames = in_other_time(FRAMES, CLIPS["rgb"], "shuffled", "centred").numpy().reshape(16, 4, 3)
    before = FRAMES.numpy().reshape(16, 4, 3)

    for ours, theirs in zip(frames, before, strict=True):
        assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, theirs.tolist()))


def test_clips_that_are_not_spread_are_refused():
    with pytest.raises(
        ValueError, match=r"Only clips that are spread over a video can be frozen. Received the input flow"
    ):
        in_other_time(FRAMES, Input("flow", 6), "frozen", "centred")


def test_scores_of_another_order_are_kept_apart(tmp_path):
    names = {str(dataclasses.replace(Scoring(runs=tmp_path), order=order)) for order in ("", *ORDERS)}

    assert names == {"25x10", *(f"25x10-{order}" for order in ORDERS)}


@pytest.mark.parametrize(
    ("kind", "shown", "protocol", "said"),
    [
        ("rgb_spread", "whole", "25x10", "the whole clip at once, whole frames"),
        ("flow", "pixels", "25x10", "25 views, 10 crops"),
        ("rgb", "most", "3x1-bfloat16", "3 views, 1 crop"),
        ("rgb", "pixels", "25xfull", "25 views, whole frames"),
    ],
)
def test_how_a_model_looked_is_said_as_it_was(kind, shown, protocol, said):
    stream = "temporal" if "flow" in kind else "spatial"
    card = ModelCard(stream, kind, 4, ("a", "b"), "made", 1, "folds", shown=shown)

    assert in_words(protocol, card) == said


def questions(frozen_low=0.1):
    return {
        "more_clips": more_clips_of(subsets_of(noise=3.0), ("a", "b", "c")),
        "outside": outside_of(subsets_of(), ("a", "b", "c")),
        "scene": {
            "videos": 40,
            "accuracy": {"as they are": {"fused": 0.9}, "frozen": {"fused": 0.4}},
            "lost": {"frozen": 0.5},
            "interval": {"frozen": (frozen_low, 0.6)},
        },
        "doubt": {"below": 0.5, "kept": 0.95},
        "why_not": {},
    }


def test_each_answer_is_one_sentence():
    said = " ".join(sentences(questions()))

    assert "Twice as many clips would change the accuracy by about +" in said
    assert "90.0% are right, and 40.0% if they are frozen: motion decides." in said
    assert "Of clips of an unknown class" in said
    assert "the scene alone may decide" in " ".join(sentences(questions(frozen_low=-0.01)))


def test_what_could_not_be_found_out_is_not_said():
    assert sentences({"more_clips": None, "outside": None, "scene": None, "doubt": None, "why_not": {}}) == []


def test_the_curve_is_drawn_within_its_chart_and_ends_with_what_is_expected():
    more = questions()["more_clips"]
    curve = growth_curve(more)

    assert [point.videos for point in curve.points] == [step["videos"] for step in more["steps"]] + [
        more["doubled"]["videos"]
    ]
    for point in curve.points:
        assert 0 <= point.low <= point.y <= point.high <= 1 and 0 <= point.x <= 1
    assert curve.ticks[0][0] == 0 and curve.ticks[-1] == (1, "100%")


@pytest.mark.parametrize(
    ("difference", "interval", "said"),
    [(-0.05, (-0.08, -0.01), "by more than chance"), (-0.05, (-0.12, 0.02), "maybe by chance"), (0.0, (-0.1, 0.1), "")],
)
def test_fusion_that_is_worse_than_its_better_stream_says_so(difference, interval, said):
    gain = {"stream": "temporal", "method": "average", "difference": difference, "interval": interval}
    report = {
        "baselines": {"chance": 0.5, "commonest_class": "a", "commonest_share": 0.5},
        "interval": {"average": (0.8, 0.9)},
        "video_accuracy": {"average": 0.85},
        "gain": gain,
    }

    (*found,) = warnings_of(report)

    assert len(found) == bool(said)
    if said:
        assert (
            said in found[0]
            and "5.0 percentage points below temporal alone" in found[0]
            and "--temporal FILE" in found[0]
        )
