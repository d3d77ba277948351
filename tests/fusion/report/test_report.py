"""The report: its numbers, its page, and evaluations side by side."""

import json
import re

import numpy as np
import pytest
from scipy.stats import binomtest

from fusion.methods.by_groups import Part, accuracy_interval, exchange_groups, precision_interval
from fusion.methods.evidence import Evidence
from fusion.methods.fixed import average
from fusion.methods.measures import (
    calibration_error,
    class_accuracy,
    class_precision,
    frame_accuracy,
    mean_average_precision,
    reliability,
    top_accuracy,
    video_accuracy,
)
from fusion.report.all_splits import MEASURES, mean_report, write_mean
from fusion.report.compare import compare
from fusion.report.numbers import build_report
from fusion.report.page import page
from streams.runs.score_file import Scores
from tests.makers.chromium import Browser
from tests.makers.models import make_model, make_video
from tests.makers.reports import evaluation_of

SCORES = np.array([[3.0, 2, 1], [0, 1, 2], [2, 3, 1], [1, 2, 3]])
LABELS = np.array([0, 0, 1, 2])


def test_measures_of_a_case_that_can_be_counted():
    assert video_accuracy(SCORES, LABELS) == 0.75
    assert top_accuracy(SCORES, LABELS, 2) == 0.75
    assert top_accuracy(SCORES, LABELS, 3) == 1
    assert frame_accuracy(np.stack([SCORES, np.roll(SCORES, 1, axis=1)], axis=1), LABELS) == pytest.approx(0.5)
    np.testing.assert_array_equal(class_accuracy(SCORES, LABELS), [0.5, 1, 1])


def test_a_class_without_videos_is_left_out_of_the_mean():
    of_class = class_accuracy(SCORES, np.array([0, 0, 1, 1]))

    assert np.isnan(of_class[2])
    assert np.nanmean(of_class) == 0.5


def test_average_precision_is_that_of_a_ranking_that_can_be_counted():
    scores = np.array([[0.9], [0.8], [0.7], [0.6]])
    labels = np.array([[1], [0], [1], [0]])

    assert mean_average_precision(scores, labels) == pytest.approx((1 / 1 + 2 / 3) / 2)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
def test_average_precision_does_not_depend_on_the_order_of_equal_scores(order):
    labels = np.array([[1, 1], [0, 1], [1, 0], [0, 0]])[order]
    scores = np.array([[0.5, 0.9], [0.5, 0.2], [0.5, 0.2], [0.5, 0.1]])[order]

    assert class_precision(scores, labels).tolist() == [0.5, pytest.approx((1 + 2 / 3) / 2)]


def test_the_interval_of_average_precision_holds_that_of_all_videos():
    random = np.random.default_rng(0)
    labels = (random.random((200, 2)) < 0.4).astype(int)
    scores = labels + random.normal(size=(200, 2))

    low, high = precision_interval(Part(scores, labels, np.arange(200) // 5))

    assert low < mean_average_precision(scores, labels) < high < low + 0.3


@pytest.mark.parametrize(("num_groups", "least"), [(4, 0.40), (40, 0.91), (400, 0.99)])
def test_a_few_groups_that_are_all_right_do_not_prove_that_all_others_will_be(num_groups, least):
    labels = np.arange(num_groups) % 2
    right, groups = np.eye(2)[labels], np.arange(num_groups).astype(str)

    low, high = accuracy_interval(Part(right, labels, groups))

    assert (low, high) == (pytest.approx(least, abs=0.01), 1.0)
    assert accuracy_interval(Part(1 - right, labels, groups)) == (0.0, pytest.approx(1 - least, abs=0.01))


def test_the_interval_is_wider_where_videos_of_a_group_go_together():
    scores = np.zeros((200, 2))
    scores[:, 0] = np.repeat([1, -1, 1, 1, -1, 1, -1, 1, 1, 1], 20)
    labels = np.zeros(200, int)

    by_video = np.subtract(*accuracy_interval(Part(scores, labels, np.arange(200).astype(str))))
    by_group = np.subtract(*accuracy_interval(Part(scores, labels, np.repeat(np.arange(10), 20).astype(str))))

    assert abs(by_group) > 3 * abs(by_video)


def test_what_is_as_sure_as_right_is_calibrated():
    random = np.random.default_rng(0)
    sure = random.uniform(0.5, 1, 20_000)
    labels = (random.random(20_000) > sure).astype(int)

    honest = reliability(np.stack([sure, 1 - sure], axis=1), labels)
    boastful = reliability(np.stack([np.ones(20_000), np.zeros(20_000)], axis=1), labels)

    assert calibration_error(honest) < 0.02
    assert calibration_error(boastful) == pytest.approx(0.25, abs=0.01)


def test_videos_that_are_groups_of_their_own_are_compared_as_mcnemar_does():
    ours, theirs = np.array([True] * 30 + [False] * 10), np.array([True] * 20 + [False] * 20)

    assert exchange_groups(ours, theirs, np.arange(40)) == (10, 0, pytest.approx(2 * 0.5**10))
    assert exchange_groups(ours, ours, np.arange(40)) == (0, 0, 1.0)
    random = np.random.default_rng(0)
    ours, theirs = random.random((2, 300)) < 0.6
    only_ours, only_theirs, p_value = exchange_groups(ours, theirs, np.arange(300))
    assert p_value == pytest.approx(binomtest(only_ours, only_ours + only_theirs).pvalue)


def test_groups_that_go_together_do_not_make_chance_look_like_a_difference():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 6)

    def equally_good():
        """Two results whose videos of a group are right or wrong together, but for one in ten."""
        together = (random.random((2, 40)) < 0.7)[:, groups]
        return together ^ (random.random(together.shape) < 0.1)

    trials = [equally_good() for _ in range(400)]
    by_group = np.mean([exchange_groups(*trial, groups)[2] < 0.05 for trial in trials])
    by_video = np.mean([exchange_groups(*trial, np.arange(240))[2] < 0.05 for trial in trials])

    assert by_group < 0.08
    assert by_video > 0.2


def test_exchanging_groups_finds_a_difference_that_is_there():
    groups = np.repeat(np.arange(60), 5)
    random = np.random.default_rng(0)
    theirs = (random.random(60) < 0.6)[groups]
    ours = theirs | (random.random(60) < 0.6)[groups]

    assert exchange_groups(ours, theirs, groups)[2] < 0.01
    assert exchange_groups(theirs, ours, groups)[2] == exchange_groups(ours, theirs, groups)[2]


def made_report(seed=0, num_videos=60):
    random = np.random.default_rng(seed)
    labels = np.arange(num_videos) % 3
    videos = tuple(f"video{number:02}" for number in range(num_videos))
    streams = [
        Scores(
            name, "made", 1, "test", "2x1", "m", "d", selection, ("A", "B", "C"), videos, labels,
            2 * np.eye(3)[labels][:, None] + random.normal(size=(num_videos, 2, 3)),
        )
        for name, selection in (("spatial", "validation"), ("temporal", "test-selected"))
    ]  # fmt: skip
    evidence = Evidence.of(streams, [str(number // 6) for number in range(num_videos)])
    from fusion.methods.table import fuse

    fused = fuse(["average", "logits"], evidence, None, folds=False).scores
    report = build_report(streams, fused, evidence) | {"learned": {}, "learned_from": "", "missing": {}}
    return report, evidence, fused["average"]


def test_a_report_is_json_with_the_accuracies_at_its_top():
    report, evidence, _ = made_report()

    again = json.loads(json.dumps(report))

    assert list(again["video_accuracy"]) == ["spatial", "temporal", "average", "logits"]
    assert again["num_videos"] == 60
    assert again["video_accuracy"]["spatial"] == video_accuracy(evidence.logits[0], evidence.labels)
    assert sum(again["agreement"].values()) == 60


def test_the_page_says_loudly_that_a_model_was_selected_on_the_test_list():
    report, evidence, fused = made_report()

    assert "Chosen on the test list: temporal." in page(report, evidence, fused, [], {})
    report["streams"]["temporal"]["selection"] = "validation"
    assert "Chosen on the test list" not in page(report, evidence, fused, [], {})


def test_videos_with_several_labels_are_reported_by_average_precision():
    random = np.random.default_rng(0)
    labels = (random.random((60, 3)) < 0.4).astype(np.uint8)
    views = tuple((2.0 * labels - 1)[:, None] + 2 * random.normal(size=(60, 2, 3)) for _ in range(2))
    report, plain, _ = made_report()
    videos = tuple(report["videos"])
    streams = [
        Scores(name, "made", 1, "test", "2x1", "m", "d", "validation", ("A", "B", "C"), videos, labels, of)
        for name, of in zip(("spatial", "temporal"), views, strict=True)
    ]
    evidence = Evidence.of(streams, list(plain.groups))
    fused = average(evidence)

    several = build_report(streams, {"average": fused}, evidence) | {"learned": {}, "learned_from": "", "missing": {}}
    shown = page(several, evidence, fused, [], {})

    assert several["mean_average_precision"]["average"] == mean_average_precision(fused, labels) > 0.7
    low, high = several["precision_interval"]["average"]
    assert low < several["mean_average_precision"]["average"] < high
    assert "Mean average precision" in shown
    json.dumps(several, allow_nan=False)


def test_evaluations_are_compared_video_by_video_in_any_order(tmp_path):
    ours, theirs = made_report(0)[0], made_report(1)[0]
    order = np.random.default_rng(0).permutation(60)
    theirs["videos"] = [theirs["videos"][place] for place in order]
    theirs["labels"] = [theirs["labels"][place] for place in order]
    theirs["decisions"] = {name: [of[place] for place in order] for name, of in theirs["decisions"].items()}
    (tmp_path / "report.json").write_text(json.dumps(theirs))

    rows = compare(ours, str(tmp_path / "report.json"))["rows"]

    for row in rows.values():
        assert row["only_ours"] - row["only_theirs"] == pytest.approx(60 * (row["ours"] - row["theirs"]))


def test_evaluations_of_different_videos_are_not_compared(tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(made_report(num_videos=57)[0]))

    with pytest.raises(ValueError, match="video57"):
        compare(made_report()[0], str(tmp_path / "report.json"))


def made_splits(number):
    """Evaluations of so many splits, whose groups are named alike."""
    made = [made_report(seed) for seed in range(number)]
    return [evaluation_of(report | {"split": split}, evidence) for split, (report, evidence, _) in enumerate(made, 1)]


def test_the_mean_of_splits_is_over_splits_and_counts_all_videos():
    splits = made_splits(3)

    mean = mean_report(splits)

    assert mean["num_videos"] == 180
    of_splits = {each: [split.report[each] for split in splits] for each in MEASURES if each in splits[0].report}
    assert len(of_splits) == 4
    for measure, found in of_splits.items():
        for name in found[0]:
            values = [each[name] for each in found]
            assert mean[measure][name] == pytest.approx(np.mean(values))
            assert mean["deviation"][measure][name] == pytest.approx(np.std(values, ddof=1))
    low, high = mean["interval"]["spatial"]
    assert low < mean["video_accuracy"]["spatial"] < high
    assert high - low < np.ptp(splits[0].report["interval"]["spatial"])


def test_a_group_that_is_in_several_splits_is_drawn_for_all_of_them():
    (split,) = made_splits(1)
    once = split.parts["spatial"]
    elsewhere = once._replace(groups=np.char.add("other", once.groups))

    np.testing.assert_allclose(accuracy_interval(once, once), accuracy_interval(once))
    assert np.ptp(accuracy_interval(once, elsewhere)) < 0.9 * np.ptp(accuracy_interval(once))


def test_evaluations_of_all_splits_are_compared_over_the_videos_of_all(tmp_path):
    ours, others = mean_report(made_splits(2)), made_splits(3)[1:]
    theirs = mean_report([each._replace(report=each.report | {"split": place}) for place, each in enumerate(others, 1)])
    (tmp_path / "report.json").write_text(json.dumps(theirs))

    rows = compare(ours, str(tmp_path / "report.json"))["rows"]

    for row in rows.values():
        assert row["only_ours"] - row["only_theirs"] == pytest.approx(120 * (row["ours"] - row["theirs"]))
    with pytest.raises(ValueError, match="2 splits, but this evaluation has 1"):
        compare(made_report()[0], str(tmp_path / "report.json"))


def test_all_results_are_set_beside_one_of_them():
    report = made_report()[0]

    found = compare(report, "spatial")

    assert list(found["rows"]) == ["temporal", "average", "logits"]
    assert found["rows"]["average"]["theirs"] == report["video_accuracy"]["spatial"]
    with pytest.raises(FileNotFoundError, match="no stream or method of this name"):
        compare(report, "sound")


def test_the_page_of_all_splits_says_how_the_weights_of_each_stream_were_selected(tmp_path):
    splits = made_splits(2)
    splits[1].report["streams"]["spatial"]["selection"] = "paper"

    page_of_all = write_mean(tmp_path, mean_report(splits)).read_text()

    assert "Chosen on the test list: temporal." in page_of_all
    assert "Weights selected by" in page_of_all
    assert "paper, validation" in page_of_all
    assert json.loads((tmp_path / "report.json").read_text())["streams"]["temporal"]["selection"] == "test-selected"


def test_learning_curves_on_the_test_list_are_not_said_to_be_on_validation_videos(tmp_path):
    report, evidence, fused = made_report()
    histories = {name: tmp_path / f"{name}.csv" for name in report["streams"]}
    for path in histories.values():
        path.write_text("epoch,loss,val_loss\n1,1.2,1.3\n2,1.0,1.1\n")

    shown = page(report, evidence, fused, [], histories)

    assert re.search(r"validation videos; for [^<]*emporal[^<]*, these are the test list", shown)


@pytest.mark.slow
def test_the_page_of_a_real_evaluation_shows_all_and_asks_for_nothing(tmp_path, capsys):
    from data.prepare import main as prepare
    from fusion.evaluate import main as evaluate
    from streams.runs.run_folder import Run

    root, runs = tmp_path / "own", tmp_path / "runs"
    rows = ["video,label,group,split"]
    for number in range(12):
        label = ("Jump", "Run", "Sit")[number % 3]
        make_video(root / "videos" / f"clip{number}.avi", seed=number)
        rows.append(f"clip{number}.avi,{label},g{number // 3},{'test' if number < 9 else 'train'}")
    (root / "videos" / "videos.csv").write_text("\n".join(rows))
    prepare(["folder", "--root", str(root), "--method", "dis"])
    for stream in ("spatial", "temporal"):
        run = Run.of(runs, "folder", stream, 1)
        run.folder.mkdir(parents=True)
        make_model(run.model, stream)
        run.history.write_text("epoch,accuracy,loss,val_accuracy,val_loss\n1,0.3,1.2,0.3,1.3\n2,0.5,1.0,0.4,1.1\n")

    options = ["--dataset", "folder", "--root", str(root), "--runs", str(runs), "--views", "3", "--crops", "1"]
    for method in ("average", "stacking", "gru"):
        options += ["--method", method]
    evaluate([*options, "--fit", "folds", "--json", str(tmp_path / "out.json")])
    *_, where, accuracies = capsys.readouterr().out.strip().splitlines()
    found = json.loads((tmp_path / "out.json").read_text())
    with Browser(tmp_path / "profile") as browser:
        browser.open((runs / "folder" / "fusion" / "split1" / "report.html").as_uri())
        empty = browser.run("[...document.images].filter(image => !image.naturalWidth).length")
        images = browser.run("document.images.length")
        browser.open((runs / "folder" / "fusion" / "split1" / "report.html").as_uri(), width=390)
        too_wide = browser.run("document.documentElement.scrollWidth > document.documentElement.clientWidth")

    assert found["num_videos"] == 9
    assert {"spatial", "temporal", "average", "stacking", "gru"} == found["video_accuracy"].keys()
    assert where.endswith("report.html")
    assert re.match(r"Video accuracy: spatial \d+\.\d\d%, temporal", accuracies)
    assert not browser.errors
    assert all(address.startswith(("file:", "data:", "about:")) for address in browser.requested)
    assert (empty, too_wide) == (0, False)
    assert images > 20
