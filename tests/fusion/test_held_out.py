"""Fusion learns from the folds' scores of the training videos, if they are of the models that are fused."""

import dataclasses

import numpy as np
import pytest

from data.catalog import Split
from fusion.methods.evidence import Evidence
from fusion.methods.fixed import softmax
from fusion.methods.table import check_method, fuse
from fusion.scores.gather import from_models
from fusion.scores.protocol import Scoring
from streams.runs.model_file import file_hash
from streams.runs.run_folder import Run
from streams.runs.score_file import Scores, write_scores
from tests.makers.frames import made_dataset
from tests.makers.models import make_model

CLASSES, STREAMS = ("A", "B", "C"), ("spatial", "temporal")


@pytest.fixture
def dataset(tmp_path):
    """Three videos to learn from and three to judge by."""
    made = made_dataset(tmp_path / "data", dict.fromkeys("abcdef", 8))
    return dataclasses.replace(made, splits={1: Split(tuple("abc"), tuple("def"))})


@pytest.fixture
def runs(tmp_path, dataset):
    """Models of both streams with held-out scores: those of the temporal one are right, of the spatial one wrong."""
    for stream in STREAMS:
        place = Run.of(tmp_path, dataset.name, stream, 1)
        place.model.parent.mkdir(parents=True)
        make_model(place.model, stream, classes=CLASSES)
        place.config.write_text('{"options": {"protocol": "folds", "validation": 0.1, "seed": 0}}')
        keep_held_out(place, dataset, stream, tuple("abc"))
    return tmp_path


def keep_held_out(place, dataset, stream, videos):
    labels = np.array([dataset.videos[name].labels[0] for name in videos])
    logits = 5.0 * np.eye(3)[labels if stream == "temporal" else (labels + 1) % 3]
    kept = Scores(
        *(stream, dataset.name, 1, "held-out", "folds", file_hash(place.model), "", "folds"),
        *(CLASSES, videos, labels, logits[:, None].astype(np.float32)),
    )
    write_scores(place.held_out, kept)


def gathered(dataset, runs, fit="validation"):
    return from_models(dataset, 1, STREAMS, Scoring(runs=runs, views=2, crops="1"), fit)


def test_methods_learn_from_held_out_training_videos_and_no_video_is_scored_for_it(dataset, runs):
    found = gathered(dataset, runs)

    assert found.learns_from == "3 training videos, each scored by a fold that was not trained on its group"
    assert found.known.logits[1].argmax(axis=1).tolist() == found.known.labels.tolist()
    assert list(found.known.groups) == [dataset.videos[name].group for name in "abc"]
    # Those that are judged are the test list, as ever.
    assert found.streams[0].videos == tuple("def")


def test_where_the_model_is_another_since_its_held_out_scores_are_not_used(dataset, runs):
    make_model(Run.of(runs, dataset.name, "spatial", 1).model, "spatial", classes=CLASSES, seed=5)

    found = gathered(dataset, runs)

    assert found.known is None
    assert "spatial was trained by the protocol folds" in found.why_not


def test_where_one_stream_has_none_neither_is_used(dataset, runs):
    Run.of(runs, dataset.name, "temporal", 1).held_out.unlink()

    found = gathered(dataset, runs)
    assert found.known is None
    assert "temporal was trained by the protocol folds, but its held-out scores are missing" in found.why_not
    assert "--fit train" not in found.why_not  # Which would fit no model that was solved by folds.


def test_a_stream_that_was_trained_is_joined_by_its_validation_videos(tmp_path):
    made = made_dataset(tmp_path / "data", dict.fromkeys("abcdefghijkl", 8))
    dataset = dataclasses.replace(made, splits={1: Split(tuple("abcdefghi"), tuple("jkl"))})
    for stream in STREAMS:
        place = Run.of(tmp_path, dataset.name, stream, 1)
        place.model.parent.mkdir(parents=True)
        make_model(place.model, stream, classes=CLASSES)
        protocol = "validation" if stream == "spatial" else "folds"
        place.config.write_text(f'{{"options": {{"protocol": "{protocol}", "validation": 0.34, "seed": 0}}}}')
    keep_held_out(Run.of(tmp_path, dataset.name, "temporal", 1), dataset, "temporal", tuple("abcdefghi"))

    found = gathered(dataset, tmp_path)

    assert found.is_held_out
    assert found.learns_from == f"{found.known.num_videos} videos that were kept apart from training"
    assert 0 < found.known.num_videos < 9
    assert found.known.logits[1].argmax(axis=1).tolist() == found.known.labels.tolist()
    assert not set(found.known.groups) & set(found.unseen.groups)


def test_only_videos_that_both_streams_held_out_are_learnt_from(dataset, runs):
    keep_held_out(Run.of(runs, dataset.name, "spatial", 1), dataset, "spatial", tuple("ab"))

    found = gathered(dataset, runs)

    assert found.known.num_videos == 2
    assert found.known.logits[1].argmax(axis=1).tolist() == found.known.labels.tolist()


def test_another_fit_does_not_look_at_them(dataset, runs):
    assert gathered(dataset, runs, "folds").learns_from == "the other folds, by group, of these 3 videos"
    assert gathered(dataset, runs, "train").learns_from == "the train list, 3 videos"


def test_nothing_of_the_test_list_is_in_what_is_learnt_from(dataset, runs):
    found = gathered(dataset, runs)

    assert found.known.num_videos == 3
    assert not set(found.known.groups) & set(found.unseen.groups)


def made(levels=(2.0, 2.0), num_videos=160, seed=0):
    """Streams that know the truth so well, each with noise of its own."""
    random = np.random.default_rng(seed)
    labels = np.arange(num_videos) % 4
    views = tuple(level * np.eye(4)[labels][:, None] + random.normal(size=(num_videos, 2, 4)) for level in levels)
    return Evidence(STREAMS, views, labels, np.array([f"g{number // 4}" for number in range(num_videos)]))


def scores_of(method, unseen, known=None):
    fused = fuse([method], unseen, known, folds=known is None)
    assert not fused.missing
    return fused.scores[method]


@pytest.mark.parametrize(("levels", "better"), [((1.5, 0.0), 0), ((0.0, 1.5), 1)])
def test_weighted_logits_takes_the_better_stream_alone_where_the_other_is_noise(levels, better):
    unseen = made(levels, seed=1)

    fused = scores_of("weighted-logits", unseen, made(levels))

    alone = unseen.logits[better]
    np.testing.assert_array_equal(fused.argmax(axis=1), alone.argmax(axis=1))
    np.testing.assert_allclose(fused, alone * (fused[0, 0] / alone[0, 0]), rtol=1e-6)


def test_weighted_logits_of_two_good_streams_are_better_than_either():
    unseen = made((1.5, 1.5), num_videos=800, seed=1)

    fused = scores_of("weighted-logits", unseen, made((1.5, 1.5)))

    right = [np.mean(each.argmax(axis=1) == unseen.labels) for each in (fused, *unseen.logits)]
    assert right[0] > max(right[1:]) + 0.03


def test_weighted_logits_are_as_sure_as_they_are_right():
    levels = (1.5, 6.0)  # The second stream's logits could be read as far too sure or too little.
    unseen = made(levels, num_videos=800, seed=1)

    shares = softmax(scores_of("weighted-logits", unseen, made(levels)))

    assert shares.max(axis=1).mean() == pytest.approx(np.mean(shares.argmax(axis=1) == unseen.labels), abs=0.07)


@pytest.mark.parametrize("num_videos", [8, 16, 40])
def test_a_few_videos_that_are_all_right_do_not_make_weighted_logits_sure_of_everything(num_videos):
    known, unseen = made((4.0, 4.0), num_videos), made((4.0, 4.0), 800, seed=1)

    logits = scores_of("weighted-logits", unseen, known)

    # A label that is not the likeliest costs no more than it does at the scale of the streams themselves.
    cost = -np.log(softmax(logits)[np.arange(800), unseen.labels]).mean()
    assert cost < 0.05
    assert softmax(logits).max(axis=1).mean() < 0.999


def test_weights_that_are_given_are_those_of_the_sum_of_logits():
    unseen = made()

    np.testing.assert_allclose(
        scores_of("weighted-logits:1,1.5", unseen), unseen.logits[0] + 1.5 * unseen.logits[1], rtol=1e-9
    )


@pytest.mark.parametrize("method", ["weighted-logits:1", "weighted-logits:1,2,3"])
def test_one_weight_for_each_stream_is_asked_for(method):
    with pytest.raises(ValueError, match="weight"):
        fused = fuse([method], made(), None, folds=True)
        raise ValueError(fused.missing[method])


@pytest.mark.parametrize("method", ["weighted-logits:a,b", "weighted-logit", "svm:1,2"])
def test_what_is_no_method_is_refused(method):
    with pytest.raises(ValueError, match=r"There is no fusion method|one weight per stream"):
        check_method(method)


def test_weighted_logits_take_videos_with_several_labels():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (120, 3)).astype(np.uint8)
    views = (4.0 * labels[:, None] - 2 + random.normal(size=(120, 2, 3)), random.normal(size=(120, 2, 3)))
    known = Evidence(STREAMS, views, labels, np.array([str(number // 3) for number in range(120)]))

    fused = scores_of("weighted-logits", known, known)

    assert np.mean((fused > 0) == labels) > 0.95
