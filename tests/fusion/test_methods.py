"""Combining streams: what must hold for every method, and what each is there for."""

import numpy as np
import pytest

from fusion.methods.classifiers import _machines, _normalised
from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Rule
from fusion.methods.kept import Fusion
from fusion.methods.measures import video_accuracy
from fusion.methods.sequences import SEQUENCES
from fusion.methods.table import FIXED, LEARNED, by_folds, check_method, fuse
from fusion.scores.gather import from_files

# Networks take seconds to train: they have tests of their own.
QUICK = tuple(name for name in (*FIXED, *LEARNED) if name not in ("fusenet", *SEQUENCES))


def made(num_videos=120, num_classes=4, noise=(1.0, 1.0), num_groups=12, seed=0, views=3):
    """Streams whose logits are the truth and noise of their own."""
    random = np.random.default_rng(seed)
    labels = np.arange(num_videos) % num_classes
    truth = 2.0 * np.eye(num_classes)[labels][:, None]
    streams = tuple(truth + level * random.normal(size=(num_videos, views, num_classes)) for level in noise)
    groups = np.array([f"g{number:02}" for number in (np.arange(num_videos) // num_classes) % num_groups])
    return Evidence(("spatial", "temporal", "audio")[: len(noise)], streams, labels, groups)


def scores_of(method, unseen, known=None):
    fused = fuse([method], unseen, known, folds=False)
    assert not fused.missing
    return fused.scores[method]


@pytest.mark.parametrize("method", FIXED)
def test_fusing_a_stream_with_itself_changes_no_decision(method):
    one = made(noise=(1.5,))
    twice = Evidence(("a", "b"), one.view_logits * 2, one.labels, one.groups)

    np.testing.assert_array_equal(scores_of(method, one).argmax(1), scores_of(method, twice).argmax(1))


def test_the_softmax_comes_before_the_mean_over_views_or_after_it():
    first, second = np.array([6.0, 0, 0]), np.array([0, 2.0, 1.9])
    evidence = Evidence(("a",), (np.stack([first, second])[None],), np.array([0]), np.array(["g"]))

    def softmax(logits):
        return np.exp(logits) / np.exp(logits).sum()

    np.testing.assert_allclose(scores_of("average-views", evidence)[0], (softmax(first) + softmax(second)) / 2)
    np.testing.assert_allclose(scores_of("average", evidence)[0], softmax((first + second) / 2))


def test_given_weights_are_of_the_logits_where_the_method_says_so():
    unseen = made()

    found = scores_of("weighted-logits:1,1.5", unseen)

    np.testing.assert_allclose(found, unseen.logits[0] + 1.5 * unseen.logits[1])


def test_a_weight_of_one_and_zero_gives_the_first_stream():
    unseen = made()
    alone = Evidence(("spatial",), unseen.view_logits[:1], unseen.labels, unseen.groups)

    np.testing.assert_allclose(scores_of("weighted:1,0", unseen), scores_of("average", alone))


@pytest.mark.parametrize("method", QUICK)
def test_the_order_of_videos_changes_nothing(method):
    known, unseen = made(seed=1), made(seed=2)
    order = np.random.default_rng(0).permutation(unseen.num_videos)

    once = scores_of(method, unseen, known)
    permuted = scores_of(method, unseen.rows(order), known)

    np.testing.assert_allclose(permuted, once[order], atol=1e-9)


@pytest.mark.parametrize("method", QUICK)
def test_the_order_of_classes_changes_no_decision(method):
    known, unseen = made(seed=1), made(seed=2)
    order = np.array([2, 0, 3, 1])
    renamed = np.argsort(order)

    def permuted(evidence):
        views = tuple(logits[..., order] for logits in evidence.view_logits)
        return Evidence(evidence.streams, views, renamed[evidence.labels], evidence.groups)

    once = scores_of(method, unseen, known).argmax(1)
    again = scores_of(method, permuted(unseen), permuted(known)).argmax(1)

    assert np.mean(order[again] == once) > 0.99  # Solvers stop a little elsewhere.


@pytest.mark.parametrize("method", QUICK)
def test_both_streams_know_more_than_either(method):
    known, unseen = made(noise=(2, 2), views=1, seed=1), made(noise=(2, 2), views=1, seed=2, num_videos=400)
    best = max(video_accuracy(logits, unseen.labels) for logits in unseen.logits)

    fused = video_accuracy(scores_of(method, unseen, known), unseen.labels)

    # One vote against one is no more than a coin, so that votes over single views gain nothing.
    assert fused > best + (0.03 if method != "vote" else -0.05)


@pytest.mark.parametrize("method", ["weighted", "class-weighted", "svm", "stacking"])
def test_what_learns_finds_out_that_a_stream_knows_nothing(method):
    known, unseen = made(noise=(1, 30), seed=1), made(noise=(1, 30), seed=2)
    alone = video_accuracy(unseen.logits[0], unseen.labels)

    fused = fuse(["average", method], unseen, known, folds=False)
    of = {name: video_accuracy(scores, unseen.labels) for name, scores in fused.scores.items()}

    assert of["average"] < alone - 0.1
    assert of[method] > alone - 0.05


def test_weights_are_searched_by_class_where_streams_know_different_classes():
    def one_sided(seed):
        random = np.random.default_rng(seed)
        labels = np.arange(200) % 4
        logits = [2.5 * np.eye(4)[labels][:, None] + random.normal(size=(200, 1, 4)) for _ in range(2)]
        # What the first stream says of the last two classes is noise, and the second's of the first two.
        logits[0][..., 2:] = 4 * random.normal(size=(200, 1, 2))
        logits[1][..., :2] = 4 * random.normal(size=(200, 1, 2))
        return Evidence(("spatial", "temporal"), tuple(logits), labels, np.array([str(n % 10) for n in range(200)]))

    fused = fuse(["logits", "class-weighted"], one_sided(1), one_sided(2), folds=False)
    of = {name: video_accuracy(scores, one_sided(1).labels) for name, scores in fused.scores.items()}

    assert of["class-weighted"] > of["logits"] + 0.15


def test_weights_by_class_stay_a_plain_sum_where_nothing_is_gained_by_more():
    known, unseen = made(noise=(0.1, 0.1), seed=1), made(noise=(2, 2), seed=2)

    fused = fuse(["logits", "class-weighted"], unseen, known, folds=False)

    np.testing.assert_array_equal(fused.scores["class-weighted"].argmax(1), fused.scores["logits"].argmax(1))
    assert fused.learned["class-weighted"].endswith("a plain sum")


def test_weights_by_class_of_earlier_versions_know_no_roots():
    unseen = made()
    kept = Fusion("class-weighted", unseen.streams, {"temperatures": np.ones(2), "weights": np.ones((2, 4))})

    found = kept.scores(dict(zip(unseen.streams, unseen.view_logits, strict=True)))

    np.testing.assert_array_equal(found.argmax(1), scores_of("logits", unseen).argmax(1))


@pytest.mark.parametrize("strength", [0.1, 1.0])
def test_machines_of_all_classes_at_once_are_those_of_liblinear(strength):
    from sklearn.svm import LinearSVC

    evidence = made(num_classes=7, num_videos=300, noise=(3, 3))
    inputs = _normalised(evidence)
    theirs = LinearSVC(C=strength, dual=False, tol=1e-8, max_iter=10000).fit(inputs, evidence.labels)

    ours = _machines(inputs, np.where(np.eye(7)[evidence.labels] > 0, 1.0, -1.0), strength)

    np.testing.assert_allclose(ours[:-1].T, theirs.coef_, atol=5e-3)
    np.testing.assert_allclose(ours[-1], theirs.intercept_, atol=5e-3)


def test_calibration_finds_how_much_too_sure_a_stream_is():
    honest = made(num_videos=2000, views=1, num_groups=50)
    boastful = Evidence(
        ("spatial", "temporal"), (honest.view_logits[0], 5 * honest.view_logits[0]), *honest_rest(honest)
    )

    learned = fuse(["calibrated"], boastful, boastful, folds=False).learned["calibrated"]
    first, second = (float(part.split()[-1]) for part in learned.split(","))

    assert second == pytest.approx(5 * first, rel=0.02)


def honest_rest(evidence):
    return evidence.labels, evidence.groups


def test_folds_never_judge_what_they_learned_from(monkeypatch):
    seen = []

    def remembering(evidence):
        seen.append(set(evidence.groups))

        def combine(unseen):
            assert not seen[-1] & set(unseen.groups)
            return np.ones((unseen.num_videos, 4))

        return Rule(combine)

    monkeypatch.setitem(LEARNED, "remembering", remembering)  # One method more.
    fuse(["remembering"], made(), None, folds=True)

    assert len(seen) == 5


def test_a_method_that_lacks_something_says_what_and_the_others_go_on():
    fused = fuse(["svm", "average"], made(), None, folds=False, why_not="train with --validation 0.1.")

    assert list(fused.scores) == ["average"]
    assert "--validation 0.1" in fused.missing["svm"]


@pytest.mark.parametrize("method", QUICK)
def test_every_method_takes_any_number_of_streams(method):
    known, unseen = made(noise=(1, 1, 1), seed=1), made(noise=(1, 1, 1), seed=2)

    assert video_accuracy(scores_of(method, unseen, known), unseen.labels) > 0.9


@pytest.mark.parametrize("method", QUICK)
def test_every_method_takes_videos_with_several_labels(method):
    def several(seed):
        random = np.random.default_rng(seed)
        labels = (random.random((150, 4)) < 0.4).astype(np.uint8)
        views = tuple((4.0 * labels - 2)[:, None] + 2 * random.normal(size=(150, 2, 4)) for _ in range(2))
        return Evidence(("spatial", "temporal"), views, labels, np.array([str(n % 10) for n in range(150)]))

    known, unseen = several(1), several(2)

    shown = video_accuracy(scores_of(method, unseen, known), unseen.labels)

    assert shown > 0.9


@pytest.mark.slow
def test_the_network_on_scores_learns_what_an_average_cannot():
    def swapped(seed):  # The second stream calls every class by its neighbour's name.
        evidence = made(num_videos=600, noise=(2.5, 0.3), num_groups=30, seed=seed)
        views = (evidence.view_logits[0], np.roll(evidence.view_logits[1], 1, axis=2))
        return Evidence(evidence.streams, views, evidence.labels, evidence.groups)

    fused = fuse(["average", "fusenet"], swapped(1), swapped(2), folds=False)

    of = {name: video_accuracy(scores, swapped(1).labels) for name, scores in fused.scores.items()}
    assert of["fusenet"] > of["average"] + 0.15


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lstm", "gru-attention"])
def test_a_network_over_time_tells_apart_what_differs_in_order_alone(method):
    def ordered(seed):  # The streams see the same in both classes, one forwards, the other backwards.
        random = np.random.default_rng(seed)
        labels = np.arange(200) % 2
        ramp = np.linspace(-2, 2, 6)
        features = np.where(labels[:, None] == 1, ramp, -ramp)[..., None] + 0.5 * random.normal(size=(200, 6, 4))
        views = tuple(random.normal(size=(200, 6, 2)) for _ in range(2))
        groups = np.array([str(n // 2 % 10) for n in range(200)])
        return Evidence(("spatial", "temporal"), views, labels, groups, (features, -features))

    fused = fuse(["average", method], ordered(1), ordered(2), folds=False)

    assert video_accuracy(fused.scores["average"], ordered(1).labels) < 0.65
    assert video_accuracy(fused.scores[method], ordered(1).labels) > 0.95


def test_a_network_over_time_says_that_it_needs_features():
    assert "--features" in fuse(["gru"], made(), made(), folds=False).missing["gru"]


@pytest.mark.parametrize("method", ["mean", "weighted:", "weighted:1,-1", "weighted:a", "svm:1", "weighted:0,0"])
def test_methods_that_do_not_exist_are_refused_by_name(method):
    with pytest.raises(ValueError, match=method.partition(":")[0]):
        check_method(method) if method != "weighted:" else check_method("weighted:,")


def test_one_weight_for_each_stream_is_asked_for():
    with pytest.raises(ValueError, match="2 numbers"):
        fuse(["weighted:1,1,1"], made(), None, folds=False)


def test_published_scores_of_ucf101_give_the_published_accuracies(shared_data):
    stored = np.load(shared_data / "scores" / "resnet101_two_stream_ucf101_split1.npz")
    classes = sorted({clip.split("_")[0] for clip in stored["clips"]})
    labels = np.array([classes.index(clip.split("_")[0]) for clip in stored["clips"]])
    order = np.argsort([name.casefold() for name in classes])
    labels = np.argsort(order)[labels]
    views = tuple(stored[name].astype(np.float64)[:, None] for name in ("spatial", "temporal"))
    evidence = Evidence(("spatial", "temporal"), views, labels, labels.astype(str))

    percent = [f"{100 * video_accuracy(logits, labels):.2f}" for logits in evidence.logits]
    percent += [f"{100 * video_accuracy(scores_of(name, evidence), labels):.2f}" for name in ("logits", "average")]

    assert percent == ["81.89", "80.65", "88.95", "85.86"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("hmdb51", 63.4), ("ucf101", 92.8)])
def test_weights_by_class_are_ahead_of_the_sum_on_published_scores(shared_data, name, least):
    gains, shares = [], []
    for split in (1, 2, 3):
        file = shared_data / "scores" / "dmcnet" / f"{name}_split{split}.npz"
        evidence = from_files([f"{file}:iframe", f"{file}:flow"], None, split, None).unseen
        learned, plain = by_folds("class-weighted", evidence)[0], scores_of("logits", evidence)
        shares.append(100 * video_accuracy(learned, evidence.labels))
        gains.append(shares[-1] - 100 * video_accuracy(plain, evidence.labels))

    assert np.mean(shares) > least
    assert np.mean(gains) > 0.2


@pytest.mark.parametrize("num_streams", [1, 2])
def test_logits_that_leave_no_doubt_are_shares_of_zero_and_one_without_an_overflow(num_streams):
    logits = np.array([[[1e4, -1e4]], [[-1e4, 1e4]]])
    labels = np.array([[1, 0], [0, 1]])
    evidence = Evidence(("spatial", "temporal")[:num_streams], (logits,) * num_streams, labels, np.array(["a", "b"]))

    with np.errstate(over="raise"):
        shares = scores_of("average", evidence)

    np.testing.assert_array_equal(shares, labels)
