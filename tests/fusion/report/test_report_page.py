"""The report as a page: what it says first, what it draws, and that nothing on it is read as HTML."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError

from commands.files import write_json
from data.ready import open_dataset
from fusion.methods.evidence import Evidence
from fusion.methods.measures import label_shares
from fusion.methods.table import fuse
from fusion.report.all_splits import mean_report, write_mean
from fusion.report.charts import learning_curves
from fusion.report.compare import compare
from fusion.report.examples import Example
from fusion.report.how_made import how_made
from fusion.report.markup import percent, points, render
from fusion.report.numbers import build_report
from fusion.report.page import page
from streams.networks.backbones.table import BACKBONES
from streams.recipes.imagenet_files import NAMES
from streams.runs.score_file import Scores
from tests.makers.data import sound_data
from tests.makers.reports import evaluation_of

CLASSES = ("A", "B", "C")
HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">\'\n{{ 7 * 7 }}'


def made(strengths, classes=CLASSES, *, data_set="made", name_of="video{}".format, selection="validation"):
    """Returns a report of 60 videos in 10 groups, its evidence, and the scores of the average."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 0, 1, 2], 15)
    videos = tuple(name_of(number) for number in range(60))
    streams = [
        Scores(
            stream, data_set, 1, "test", "2x1", "m", "d", selection, classes, videos, labels,
            strength * np.eye(3)[labels][:, None] + random.normal(size=(60, 2, 3)),
        )
        for stream, strength in strengths.items()
    ]  # fmt: skip
    evidence = Evidence.of(streams, [str(number // 6) for number in range(60)])
    fused = fuse(["average", "logits"], evidence, None, folds=False).scores
    report = build_report(streams, fused, evidence) | {"learned": {}, "learned_from": "", "missing": {}}
    return report, evidence, fused["average"]


class Elements(HTMLParser):
    """The elements of a page, their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.names, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.names.append(name)
        self.attributes += attributes

    def handle_data(self, text):
        self.text += text


def test_nothing_that_users_name_is_read_as_html(tmp_path):
    classes = (f"one {HOSTILE}", f"two {HOSTILE}", f"three {HOSTILE}")
    strengths = {f"spatial {HOSTILE}": 2.0, "temporal": 1.0}
    report, evidence, fused = made(
        strengths, classes, data_set=HOSTILE, name_of=lambda number: f"{number} {HOSTILE}", selection="test-selected"
    )
    (tmp_path / "of <b>another").mkdir()
    other = tmp_path / "of <b>another" / "report.json"
    write_json(other, report)
    report |= {"comparison": compare(report, str(other)), "options": {"names": HOSTILE}, "missing": {"svm": HOSTILE}}
    report |= {"learned": {"average": HOSTILE}, "learned_from": HOSTILE}
    stream = f"spatial {HOSTILE}"
    example = Example(0, "Only the first stream is right", (f'data:"{HOSTILE}',), (), {stream: "data:"})
    history = tmp_path / "history.csv"
    history.write_text(f'epoch,loss,"{HOSTILE.replace(chr(34), "")}"\n1,1,x\n')

    shown = Elements(page(report, evidence, fused, [example], {stream: history}))
    all_splits = Elements(
        write_mean(tmp_path / "all", mean_report([evaluation_of(report, evidence)])).read_text(encoding="utf-8")
    )

    for elements in (shown, all_splits):
        assert not {"script", "object", "iframe"} & set(elements.names)
        assert not [name for name, _ in elements.attributes if name.startswith("on")]
        assert {value[:5] for name, value in elements.attributes if name == "src"} <= {"data:"}
        assert "49" not in re.findall(r"\d+ (\d+)\s*\}\}", elements.text)
    for said in (*classes, f"{0} {HOSTILE}", "of <b>another"):
        assert said in shown.text


def test_a_value_that_a_template_lacks_is_an_error():
    with pytest.raises(UndefinedError, match="report"):
        render("all_splits.html", name="made", test_selected=[], published=[])


def test_the_page_answers_before_it_explains():
    report, evidence, fused = made({"spatial": 1.2, "temporal": 1.0})

    shown = Elements(page(report, evidence, fused, [], {})).text

    order = ["How good?", "How sure?", "Does fusion help?", "What next?", "Results", "Calibration", "Confusion matrix"]
    assert sorted(order, key=shown.index) == order
    assert re.search(r"\d+\.\d percentage points\s+better than (spatial|temporal), the best single stream", shown)


def test_guessing_stands_beside_the_methods():
    report, evidence, fused = made({"spatial": 1.0, "temporal": 2.0})

    rows = re.findall(r"<tr class=\"baseline\">.*?</tr>", page(report, evidence, fused, [], {}), re.DOTALL)

    assert report["baselines"] == {
        "chance": pytest.approx(1 / 3),
        "commonest_class": "A",
        "commonest_share": pytest.approx(0.5),
    }
    assert "Commonest class: A" in rows[0] and "50.0\xa0%" in rows[0]
    assert "Chance level" in rows[1] and "33.3\xa0%" in rows[1]


def test_guessing_a_class_is_right_where_any_label_of_a_video_is_that_class():
    labels = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]])

    np.testing.assert_allclose(label_shares(labels, 3), [2 / 3, 2 / 3, 0])


def test_the_gain_of_fusion_is_over_the_best_stream_and_says_how_sure_it_is():
    report, evidence, fused = made({"spatial": -4.0, "temporal": 3.0})

    gain = report["gain"]
    accuracy = report["video_accuracy"]
    low, high = gain["interval"]

    assert gain["stream"] == "temporal"
    assert gain["difference"] == pytest.approx(accuracy["average"] - accuracy["temporal"])
    assert low <= gain["difference"] <= high < 0
    shown = Elements(page(report, evidence, fused, [], {})).text
    assert re.search(r"\d+\.\d percentage points\s+worse than temporal", shown)
    assert "Chance hardly explains that: use this stream alone." in shown


def test_one_stream_has_nothing_to_fuse():
    report, evidence, fused = made({"spatial": 2.0})

    shown = page(report, evidence, fused, [], {})

    assert report["gain"] is None
    assert "Does fusion help?" not in shown


def test_a_training_of_one_epoch_is_drawn_as_a_point_and_gaps_are_left_out(tmp_path):
    report, evidence, fused = made({"spatial": 2.0, "temporal": 1.0})
    (tmp_path / "one.csv").write_text("epoch,accuracy\n1,0.25\n")
    (tmp_path / "gap.csv").write_text("epoch,loss,val_loss\n1,3,\n2,nan,2\n3,1.5,\n")

    shown = page(report, evidence, fused, [], {"spatial": tmp_path / "one.csv", "temporal": tmp_path / "none.csv"})
    (gap,) = learning_curves(tmp_path / "gap.csv")

    assert shown.count('<circle class="cell" cx="38"') == 1
    assert [place for place, _ in gap.training] == [0, 1]
    assert [place for place, _ in gap.validation] == [0.5]
    assert gap.kept == 2


def test_shares_and_differences_are_written_with_their_units():
    assert (percent(0.1234), percent(None), percent(1.0, 0)) == ("12.3\xa0%", "–", "100\xa0%")
    assert (points(0.0123), points(-0.5), points(-0.0001)) == ("+1.2", "−50.0", "0.0")


def test_the_served_page_says_what_it_takes():
    from fusion import serving
    from fusion.serving.limits import Limits

    folder = Path(serving.__file__).parent
    short = render("page.html", folder=folder, limits=Limits(megabytes=2.5, duration=20))
    long = render("page.html", folder=folder, limits=Limits())

    assert re.search(r"at most 2\.5 MB and\s+20 seconds", short)
    assert re.search(r"at most 200 MB and\s+10 minutes", long)


def asked(**changed):
    """Answers about own clips, as fusion/report/from_networks.py finds them; class names that try to be HTML."""
    steps = [{"videos": 10 * n, "accuracy": 0.5 + 0.1 * n, "interval": (0.4 + 0.1 * n, 0.6 + 0.1 * n)} for n in (1, 2)]
    need = {"name": HOSTILE, "videos": 12, "recognised": 0.5, "gain": 0.021, "interval": (0.01, 0.03)}
    orders = ("as they are", "frozen", "shuffled", "reversed")
    return {
        "more_clips": {
            "steps": steps,
            "doubled": {"videos": 40, "accuracy": 0.75, "interval": (0.6, 0.85)},
            "gain": 0.05,
            "gain_interval": (0.01, 0.08),
            "classes": [need],
            "left_out": ["late"],
        },
        "scene": {
            "videos": 40,
            "accuracy": {order: {"spatial": 0.6, "fused": 0.7 if order == "as they are" else 0.3} for order in orders},
            "lost": dict.fromkeys(orders[1:], 0.4),
            "interval": dict.fromkeys(orders[1:], (0.2, 0.6)),
        },
        "outside": {
            "rows": [{"name": HOSTILE, "auroc": 0.7, "false_alarms": 0.62}],
            "auroc": 0.7,
            "false_alarms": 0.62,
            "kept": 0.95,
            "left_out": [],
        },
        "doubt": {"below": 0.531, "kept": 0.95},
        "why_not": {},
        **changed,
    }


def test_the_page_answers_what_is_asked_of_own_clips_and_reads_no_name_as_html():
    report, evidence, fused = made({"spatial": 1.0, "temporal": 2.0})
    report["questions"] = asked()

    text = page(report, evidence, fused, [], {})

    shown = " ".join(Elements(text).text.split())
    assert "Twice as many would change the accuracy by about +5.0 percentage points (95 % interval +1.0 to" in shown
    assert "There was no time for late." in shown
    assert "Of frozen clips, 30 % are recognised; of the same clips unchanged, 70 %: motion decides." in shown
    assert "62 % get an answer at the threshold that 95 % of the other clips pass." in shown
    assert "If the probability is below 53.1 %, predict answers “unsure”." in shown
    assert " ".join(HOSTILE.split()) in shown and HOSTILE not in text
    assert "nan" not in text


def test_what_could_not_be_answered_has_its_reason_on_the_page():
    report, evidence, fused = made({"spatial": 1.0, "temporal": 2.0})
    reasons = {"more_clips": "features are missing", "outside": "leaving a class out needs at least three classes"}
    report["questions"] = asked(more_clips=None, outside=None, doubt=None, why_not=reasons)

    shown = " ".join(Elements(page(report, evidence, fused, [], {})).text.split())

    assert "This is unknown: features are missing." in shown
    assert "can’t be measured here: leaving a class out needs at least three classes." in shown


def test_a_report_of_models_that_can_not_answer_says_so_in_one_sentence():
    report, evidence, fused = made({"spatial": 1.0, "temporal": 2.0})
    without = " ".join(Elements(page(report, evidence, fused, [], {})).text.split())
    for network in report["streams"].values():
        network["looked_at"] = "25 views, 10 crops"

    shown = " ".join(Elements(page(report, evidence, fused, [], {})).text.split())

    assert "This report does not say. ./run evaluate finds out for streams whose last layer is solved" in shown
    assert "This report does not say" not in without  # Of score files nothing of the kind can be asked.
    assert "scored on 25 views, 10 crops" in shown
    assert "scored on views × crops 2x1" in without


def test_the_page_says_whether_flow_is_worth_it():
    better, evidence, fused = made({"spatial": -4.0, "temporal": 3.0})
    of_better = " ".join(Elements(page(better, evidence, fused, [], {})).text.split())
    worse, evidence, fused = made({"spatial": 3.0, "temporal": -4.0})
    of_worse = " ".join(Elements(page(worse, evidence, fused, [], {})).text.split())
    other, evidence, fused = made({"trajectory": 3.0, "temporal": 1.0})

    gain = better["flow_gain"]
    accuracy = better["video_accuracy"]
    assert gain["difference"] == pytest.approx(accuracy["average"] - accuracy["spatial"])
    assert "Is flow worth it? Yes:" in of_better
    assert "Is flow worth it? No:" in of_worse
    assert "Is flow worth it?" not in Elements(page(other, evidence, fused, [], {})).text


def test_methods_that_learn_are_marked_with_what_they_learnt_from():
    report, evidence, fused = made({"spatial": 1.0, "temporal": 2.0})
    report |= {"learned_from": "60 videos that were kept apart from training", "methods": [*report["methods"], "svm"]}
    for numbers in ("video_accuracy", "interval", "frame_accuracy", "top_accuracy", "mean_class_accuracy"):
        report[numbers] = {**report[numbers], "svm": report[numbers].get("average")}

    shown = Elements(page(report, evidence, fused, [], {})).text

    assert "Methods marked with * learned to fuse from 60 videos that were kept apart" in shown
    assert "SVM *" in shown
    assert "Average *" not in shown


def test_methods_that_could_not_be_used_are_listed_only_if_they_were_asked_for():
    report, evidence, fused = made({"spatial": 1.0, "temporal": 2.0})
    report["missing"] = {"svm": "there is nothing to learn from"}

    unasked = Elements(page(report, evidence, fused, [], {})).text
    report["options"] = {"method": ["average", "svm"]}
    asked = Elements(page(report, evidence, fused, [], {})).text

    assert "there is nothing to learn from" not in unasked
    assert "Not fused by svm: there is nothing to learn from" in asked


def test_the_page_says_how_a_model_was_made(tmp_path):
    root = sound_data(tmp_path / "mine")
    dataset = open_dataset("mine", root)
    options = {"backbone": "resnet50", "weights": "imagenet", "crop_size": 56, "shown": "most", "seed": 3}
    options |= {"vary": ["rotate:10", "mixup"], "ema": 0.99, "label_smoothing": 0.0}
    made_by = {"date": "2026-11-29", "commit": "1a2b3c", "machine": "2 x processor", "graphics": ""}
    described = {"options": options, "made": made_by, "result": {"epochs": 20, "epoch": 7}, "seconds": 7200.0}
    write_json(tmp_path / "config.json", described)
    report, evidence, fused = made({"spatial": 1.0, "temporal": 2.0})
    report["streams"]["spatial"]["made"] = how_made(tmp_path / "model.keras", dataset)
    report["evaluated"] = {**made_by, "commit": "4d5e6f"}

    shown = " ".join(Elements(page(report, evidence, fused, [], {})).text.split())

    assert "How it was made" in shown
    # A square of 7/8 of the short side, 64 pixels, in frames of 80 x 64.
    assert "Crop56 x 56 pixels, 61% of the frame" in shown
    for said in (
        "Networkresnet50",
        "Tricksvary rotate:10 mixup, ema 0.99",
        "Seed3",
        "20 epochs; epoch 7 is kept",
        "Time2.0 hours",
        "Commit1a2b3c",
    ):
        assert said in shown
    assert "Evaluated on 2026-11-29 with commit 4d5e6f, on 2 x processor." in shown
    assert how_made(tmp_path / "elsewhere" / "model.keras", dataset) == {}


@pytest.mark.parametrize(
    ("weights", "backbone", "kind", "said"),
    [
        ("auto", "resnet50", "rgb", "ImageNet"),
        ("auto", "resnet50", "flow", "random"),
        ("auto", "small", "rgb", "random"),
        ("none", "resnet50", "rgb", "random"),
        ("mine.keras", "small", "rgb", "mine.keras"),
    ],
)
def test_the_page_says_what_weights_a_model_started_from(weights, backbone, kind, said, tmp_path):
    dataset = open_dataset("mine", sound_data(tmp_path / "mine"))
    options = {"backbone": backbone, "weights": weights, "input": kind, "crop_size": 56}
    write_json(tmp_path / "config.json", {"options": options})

    assert how_made(tmp_path / "model.keras", dataset)["Initial weights"] == said


def test_every_backbone_of_keras_has_names_of_its_weights():
    assert {name for name, each in BACKBONES.items() if each.application} == set(NAMES)
