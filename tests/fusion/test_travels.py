"""A learned fusion goes with the models: predict, serve and export fuse as the evaluation did."""

import dataclasses
import json

import numpy as np
import pytest

from data.catalog import DataSet, Split, Video
from data.store.description import Recipe
from data.store.index import with_counts
from fusion.methods.choosing import fusions_of
from fusion.methods.doubting import KEPT, MEASURES, area_under_roc, confidence, false_alarms, threshold
from fusion.methods.evidence import Evidence
from fusion.methods.fixed import softmax
from fusion.methods.kept import Fusion, KeptFusions, as_probabilities, travels
from fusion.methods.sequences import SEQUENCES, _learned, _network, states_to_scores
from fusion.methods.table import LEARNED, METHODS, fuse
from fusion.predict import main as predict
from fusion.prediction.chosen_fusion import FUSION_FILE, chosen_fusion
from fusion.prediction.over_time.timeline import timeline
from fusion.report.one_split import evaluate, write_report
from fusion.scores.gather import from_models
from fusion.scores.protocol import Scoring
from fusion.serving.described import described
from streams.runs.model_file import file_hash
from streams.runs.run_folder import Run
from streams.runs.score_file import Scores, write_scores
from tests.makers.data import extract_all
from tests.makers.models import CLASSES, make_model, make_video

# Recurrent networks need the features of views, which only some evaluations keep.
TRAVELLING = tuple(name for name in METHODS if travels(name) and name not in SEQUENCES)
STREAMS = ("spatial", "temporal")
SCORING = {"views": 3, "crops": "1"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two test videos and thirty of which nothing is looked at but their names; real files of the first."""
    root = tmp_path_factory.mktemp("made")
    names = [f"v{number:02d}" for number in range(32)]
    videos = {name: Video(name, "", ".avi", (place % 3,), f"g{place // 2}") for place, name in enumerate(names)}
    for place, name in enumerate(names[:2]):
        make_video(root / "videos" / f"{name}.avi", 9, seed=place)
    extract_all(DataSet("made", root, CLASSES, {name: videos[name] for name in names[:2]}, {}), Recipe(method="dis"))
    counted = with_counts(DataSet("made", root, CLASSES, videos, {1: Split(tuple(names[2:]), tuple(names[:2]))}))
    return dataclasses.replace(counted, videos={**videos, **counted.videos})


@pytest.fixture(scope="module")
def evaluated(dataset, tmp_path_factory):
    """Models of both streams, and an evaluation that learned from what folds said of their training videos."""
    runs = tmp_path_factory.mktemp("runs")
    random = np.random.default_rng(0)
    train = dataset.splits[1].train
    labels = np.array([dataset.videos[name].labels[0] for name in train])
    for stream, level in zip(STREAMS, (1.0, 1.5), strict=True):
        place = Run.of(runs, "made", stream, 1)
        place.model.parent.mkdir(parents=True)
        make_model(place.model, stream)
        logits = level * np.eye(3)[labels] + random.normal(size=(len(train), 3))
        origin = (stream, "made", 1, "held-out", "folds", file_hash(place.model), "", "folds")
        write_scores(place.held_out, Scores(*origin, CLASSES, train, labels, logits[:, None].astype(np.float32)))
    gathered = from_models(dataset, 1, STREAMS, Scoring(runs=runs, **SCORING), "validation")
    found = evaluate(gathered, TRAVELLING)
    write_report(runs / "made" / "fusion" / "split1", found, [], runs)
    return runs, gathered


@pytest.fixture
def loaded(evaluated):
    def load(fusion=""):
        from fusion import TwoStream

        return TwoStream.load(evaluated[0] / "made", fusion=fusion)

    return load


@pytest.mark.parametrize("method", [*TRAVELLING, "weighted:1,1.5", "weighted-logits:2,1"])
def test_a_prediction_fuses_a_test_video_as_the_evaluation_did(method, evaluated, dataset, loaded):
    _, gathered = evaluated
    two_stream = loaded(method)
    scores = fuse([method], gathered.unseen, gathered.known, folds=False).scores[method]
    expected = as_probabilities(method, two_stream.fusion.sharpness * scores, multi_label=False)

    for row, name in enumerate(dataset.splits[1].test):
        prediction = two_stream.predict(dataset.root / "videos" / f"{name}.avi", views=3, crops=1)
        np.testing.assert_allclose(prediction.verdict, expected[row], atol=2e-5)
        assert prediction.as_dictionary()["fusion"] == method


def test_unless_one_is_named_predict_takes_what_validation_chose_and_says_so(evaluated, dataset, loaded, capsys):
    runs, _ = evaluated
    report = json.loads((runs / "made" / "fusion" / "split1" / "report.json").read_text())
    video = dataset.root / "videos" / "v00.avi"

    predict([str(video), "--dataset", "made", "--runs", str(runs), "--views", "3", "--crops", "1"])

    chosen = loaded().fusion
    assert chosen.method == report["chosen"] == report["methods"][0]
    said = " ".join(capsys.readouterr().out.split())
    assert f"Both streams are fused by {chosen.method} (the best on 30 training videos" in said


def test_the_page_of_the_service_has_the_accuracies_of_the_evaluation(evaluated, loaded):
    report = json.loads((evaluated[0] / "made" / "fusion" / "split1" / "report.json").read_text())["video_accuracy"]

    shown, other = described(loaded()), described(loaded("average"))

    chosen = loaded().fusion.method
    assert shown["accuracy"] == {name: report[name] for name in STREAMS} | {"fused": report[chosen]}
    assert shown["judged"].startswith(f"{report[chosen]:.1%} of 2 test videos")
    assert (other["accuracy"], other["judged"]) == ({}, "")


def test_weights_are_short_for_a_weighted_fusion(evaluated, dataset, capsys):
    runs, _ = evaluated
    words = [str(dataset.root / "videos" / "v00.avi"), "--dataset", "made", "--runs", str(runs), "--views", "3"]

    predict([*words, "--crops", "1", "--weights", "1,1.5"])

    assert "Both streams are fused by weighted:1,1.5" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit):
        predict([*words, "--weights", "1,1.5", "--fusion", "svm"])
    assert "argument --fusion: not allowed with argument --weights" in capsys.readouterr().err


def test_nothing_of_the_test_list_is_in_what_travels(evaluated, dataset, tmp_path):
    _, gathered = evaluated
    shuffled = gathered.unseen.labels[::-1].copy()
    other = gathered._replace(unseen=dataclasses.replace(gathered.unseen, labels=shuffled))
    same = gathered._replace(known=gathered.known.rows(np.arange(24)))

    def kept(found, methods=("calibrated", "svm")):
        return evaluate(found, methods).kept.as_json()

    assert kept(other) == kept(gathered)
    assert kept(same) != kept(gathered)


@pytest.mark.parametrize("learned_from", ["folds", "train"])
def test_what_was_learned_from_test_or_training_videos_is_not_kept(learned_from, evaluated):
    _, gathered = evaluated
    changed = gathered._replace(known=None) if learned_from == "folds" else gathered._replace(is_held_out=False)

    assert evaluate(changed, ["average", "calibrated"]).kept is None


def test_without_an_evaluation_the_average_is_taken(evaluated, tmp_path):
    models = {stream: make_model(tmp_path / f"{stream}.keras", stream) for stream in STREAMS}

    assert chosen_fusion(models).method == "average"


def test_an_evaluation_of_other_models_is_not_used(evaluated, tmp_path):
    runs, _ = evaluated
    models = {stream: tmp_path / "made" / stream / "split1" / "model.keras" for stream in STREAMS}
    for place, (stream, path) in enumerate(models.items()):
        path.parent.mkdir(parents=True)
        make_model(path, stream, seed=5 + place)
    file = tmp_path / "made" / "fusion" / "split1" / FUSION_FILE
    file.parent.mkdir(parents=True)
    file.write_text((runs / "made" / "fusion" / "split1" / FUSION_FILE).read_text())

    fusion = chosen_fusion(models)

    assert fusion.method == "average" and "is of other models" in fusion.why
    # Named, the file is taken: who names it means it.
    assert chosen_fusion(models, str(file)).method == KeptFusions.read(file).chosen
    with pytest.raises(ValueError, match="has to learn from videos first"):
        chosen_fusion(models, "svm")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("lstm", "did not save a fusion 'lstm'"),
        ("avrage", "no fusion method"),
        ("weighted:1", "one weight per stream"),
    ],
)
def test_a_fusion_that_can_not_be_had_is_refused_with_what_there_is(wanted, message, loaded):
    with pytest.raises(ValueError, match=message):
        loaded(wanted)


@pytest.mark.parametrize("text", ["", "{}", '{"format": 99}', "[1]"])
def test_a_damaged_file_is_named_with_what_makes_it_again(text, tmp_path):
    path = tmp_path / FUSION_FILE
    path.write_text(text)

    with pytest.raises(
        ValueError, match=r"fusion.json is not a fusion file, or is damaged .* type ./run evaluate again"
    ):
        KeptFusions.read(path)


@pytest.mark.parametrize("method", [name for name in TRAVELLING if name != "vote"])
def test_an_exported_file_fuses_as_its_streams_did_and_says_how(method, evaluated, loaded, tmp_path):
    from fusion import TwoStream
    from fusion.exporting.one_model import joined, write
    from fusion.prediction.exported_texts import texts_of

    two_stream = loaded(method)
    cards = {name: scorer.card for name, scorer in two_stream.scorers.items()}
    path = tmp_path / "two_stream.keras"
    model = joined(two_stream.scorers, two_stream.fusion)

    write(model, texts_of(cards, two_stream.fusion), "keras", path, {})

    random = np.random.default_rng(1)
    clips = {each.name: random.integers(0, 256, (4, *each.shape[1:]), np.uint8) for each in model.inputs}
    logits = {
        name: np.asarray(scorer.network(clips[scorer.network.inputs[0].name]), np.float64)[:, None]
        for name, scorer in two_stream.scorers.items()
    }
    expected = two_stream.fusion.probabilities(logits)
    np.testing.assert_allclose(np.asarray(model(clips)["fused"]), expected, atol=1e-5)
    opened = TwoStream.load(model=path).fusion
    assert opened.method == method
    assert str(evaluated[0]) not in texts_of(cards, two_stream.fusion)["fusion.json"]  # No path of this machine.
    np.testing.assert_allclose(opened.probabilities(logits), expected, atol=1e-8)


def made(levels, num_videos=120, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(num_videos) % 3
    views = tuple(level * np.eye(3)[labels][:, None] + random.normal(size=(num_videos, 1, 3)) for level in levels)
    return Evidence(STREAMS, views, labels, np.array([f"g{number // 4}" for number in range(num_videos)]))


def chosen_of(known, methods):
    parameters = {name: fuse([name], known, known, folds=False).parameters[name] for name in methods}
    return fusions_of(parameters, known, "made-up videos")


def test_the_method_is_chosen_that_does_best_on_videos_that_it_has_not_learned_from():
    misled = made((0.0, 2.5))  # The average is dragged down by a stream that knows nothing.

    assert chosen_of(misled, ("average", "weighted-logits"))[0] == "weighted-logits"
    assert chosen_of(made((2.0, 2.0)), ("average", "weighted"))[0] == "average"


def test_an_answer_is_unsure_where_almost_no_video_of_the_classes_is_so_little_sure():
    known = made((1.5, 1.5))
    chosen, fusions = chosen_of(known, ("average", "weighted-logits"))

    doubt = fusions[chosen].doubt
    sure = fusions[chosen].probabilities(dict(zip(STREAMS, known.view_logits, strict=True))).max(axis=1)

    assert (sure >= doubt.below).mean() == pytest.approx(KEPT, abs=0.03)
    assert doubt.kept >= KEPT - 1e-9


def test_where_all_is_sure_an_answer_of_99_percent_is_not_doubted():
    chosen, fusions = chosen_of(made((30.0, 30.0)), ("average", "weighted"))

    assert fusions[chosen].doubt.below == 0.99 and fusions[chosen].doubt.kept > KEPT


def test_a_few_videos_set_no_threshold():
    chosen, fusions = chosen_of(made((1.5, 1.5), num_videos=12), ("average", "weighted-logits"))

    assert fusions[chosen].doubt is None


def test_what_is_unsure_is_said_and_written(evaluated, dataset, loaded, capsys, tmp_path):
    two_stream = loaded("average")
    video = dataset.root / "videos" / "v00.avi"
    prediction = two_stream.predict(video, views=3, crops=1)
    for below, unsure in ((1.01, True), (0.0, False)):
        doubt = dataclasses.replace(prediction.fusion, doubt=dataclasses.replace(loaded().fusion.doubt, below=below))
        changed = dataclasses.replace(prediction, fusion=doubt)

        assert changed.is_unsure is unsure
        assert changed.as_dictionary()["unsure"] is unsure


def test_decisions_of_the_svm_become_probabilities_that_make_the_labels_likelier_than_as_they_are():
    fusion = chosen_of(made((1.0, 1.0), num_videos=300), ("svm",))[1]["svm"]
    fresh = made((1.0, 1.0), num_videos=300, seed=1)
    logits = dict(zip(STREAMS, fresh.view_logits, strict=True))

    def likelihood(shares):
        return np.log(shares[np.arange(300), fresh.labels]).mean()

    assert likelihood(fusion.probabilities(logits)) > likelihood(softmax(fusion.scores(logits))) + 0.01


@pytest.fixture(scope="module")
def with_features(evaluated, dataset):
    """The same evaluation, with features of the views of the test videos, and made-up ones of those to learn from."""
    runs, gathered = evaluated
    unseen = from_models(dataset, 1, STREAMS, Scoring(runs=runs, **SCORING), "", with_features=True).unseen
    random = np.random.default_rng(3)
    sizes = [each.shape[-1] for each in unseen.features]
    shown = np.eye(3)[gathered.known.labels][:, None] @ random.normal(size=(3, max(sizes)))
    features = tuple(shown[..., :size] + random.normal(size=(30, 3, size)) for size in sizes)
    return gathered._replace(unseen=unseen, known=dataclasses.replace(gathered.known, features=features))


@pytest.mark.slow
@pytest.mark.parametrize("method", SEQUENCES)
def test_a_recurrent_network_travels_with_its_evaluation(method, with_features, dataset, loaded, tmp_path):
    found = evaluate(with_features, ["average", method])
    path = tmp_path / FUSION_FILE
    dataclasses.replace(found.kept, chosen=method).write(path)
    expected = as_probabilities(method, found.fused[method], multi_label=False)

    two_stream = loaded(str(path))

    for row, name in enumerate(dataset.splits[1].test):
        video = dataset.root / "videos" / f"{name}.avi"
        prediction = two_stream.predict(video, views=3, crops=1)
        np.testing.assert_allclose(prediction.verdict, expected[row], atol=2e-5)
    assert prediction.as_dictionary()["fusion"] == method
    assert timeline(prediction).decided_by == "fused"  # By the average: single moments are no sequence.


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("attention", [False, True])
def test_what_is_kept_of_a_recurrent_network_gives_the_scores_of_the_network(kind, attention):
    random = np.random.default_rng(0)
    inputs = random.normal(1.0, 3.0, (20, 5, 6)).astype(np.float32)
    network = _network(inputs, 4, kind, attention=attention)
    network.set_weights([random.normal(0, 0.5, each.shape) if each.ndim else each for each in network.get_weights()])
    network.get_layer("scale").adapt(inputs)
    evidence = Evidence(STREAMS, (), np.zeros(20), np.zeros(20), (inputs[..., :2], inputs[..., 2:]))

    scores = states_to_scores(evidence, _learned(network), kind)

    np.testing.assert_allclose(scores, np.asarray(network(inputs, training=False)), atol=1e-4)


def test_large_arrays_are_written_as_they_are_and_damaged_ones_refused(tmp_path):
    large = np.random.default_rng(0).normal(size=(300, 200)).astype(np.float32)
    written = Fusion("svm", STREAMS, {"kernel": large}).as_json()

    np.testing.assert_array_equal(Fusion.of_json(written).parameters["kernel"], large)
    assert len(json.dumps(written)) < 400_000
    for bad in ("?", written["parameters"]["kernel"]["float32"][:-8]):
        written["parameters"]["kernel"]["float32"] = bad
        with pytest.raises(ValueError, match=r"base64|reshape|buffer|padding|characters"):
            Fusion.of_json(written)


def test_a_model_of_single_clips_can_not_be_exported_with_a_fusion_of_sequences(loaded):
    from fusion.exporting.one_model import joined

    with pytest.raises(ValueError, match="lstm needs all views of a video in order"):
        joined(loaded().scorers, Fusion("lstm", STREAMS))


def test_every_method_that_learns_travels():
    assert all(travels(method) for method in LEARNED)
    assert Fusion.of_json(Fusion("svm", STREAMS, {"kernel": np.eye(2) / 3}).as_json()).parameters["kernel"][
        0, 0
    ] == pytest.approx(1 / 3)


def test_a_confidence_says_how_often_such_answers_are_right():
    known, fresh = made((1.0, 1.0), num_videos=600), made((1.0, 1.0), num_videos=600, seed=1)
    blown_up = dataclasses.replace(known, view_logits=tuple(4 * each for each in known.view_logits))
    chosen, fusions = chosen_of(blown_up, ("logits",))
    logits = {name: 4 * each for name, each in zip(STREAMS, fresh.view_logits, strict=True)}

    shares = fusions[chosen].probabilities(logits)
    right = (shares.argmax(axis=1) == fresh.labels).mean()

    assert shares.max(axis=1).mean() - right > 0.02  # The logits are much too sure.
    assert confidence(shares, fusions[chosen].doubt.temperature).mean() == pytest.approx(right, abs=0.02)


@pytest.mark.parametrize("measure", MEASURES)
def test_clips_of_other_classes_are_less_sure_by_each_measure(measure):
    known = made((3.0, 3.0), num_videos=300)
    random = np.random.default_rng(1)
    other = [random.normal(size=(200, 3)) for _ in STREAMS]

    sure = MEASURES[measure](known.logits)
    unsure = MEASURES[measure](other)

    assert area_under_roc(sure, unsure) > 0.85
    assert area_under_roc(sure, sure) == pytest.approx(0.5)
    assert false_alarms(sure, unsure) < 0.6 and false_alarms(sure, sure) == pytest.approx(0.95, abs=0.01)
    between = threshold(sure, unsure)
    assert (sure >= between).mean() + (unsure < between).mean() >= 2 * 0.8


def test_clips_of_other_classes_move_the_threshold_between_both():
    known = made((3.0, 3.0), num_videos=300)
    parameters = {"average": {}}
    other = {name: np.random.default_rng(place).normal(size=(100, 1, 3)) for place, name in enumerate(STREAMS)}

    alone = fusions_of(parameters, known, "videos")[1]["average"].doubt
    both = fusions_of(parameters, known, "videos", other)[1]["average"].doubt

    assert (alone.others, both.others) == (0, 100)
    assert both.below != alone.below
    answered = fusions_of(parameters, known, "videos")[1]["average"].probabilities(other).max(axis=1) >= alone.below
    assert both.kept - both.alarms >= alone.kept - answered.mean()


def test_one_stream_answers_alone_where_that_loses_nothing():
    sure = made((6.0, 1.0))  # The first stream is right by itself.
    misled = made((0.3, 4.0))

    chosen, fusions = chosen_of(sure, ("average", "weighted-logits"))
    assert fusions[chosen].alone.share > 0.9
    chosen, fusions = chosen_of(misled, ("average", "weighted-logits"))
    alone = fusions[chosen].alone
    assert alone.share < 0.5 and alone.accuracy >= alone.fused - 0.03


def test_flow_is_computed_only_where_the_spatial_stream_is_unsure(evaluated, dataset, loaded, capsys):
    from fusion import TwoStream

    runs, _ = evaluated
    video = dataset.root / "videos" / "v00.avi"
    two_stream = TwoStream.load(runs / "made", when_unsure=True)
    whole = loaded().predict(video, views=3, crops=1)

    for above, asked in ((0.0, ["spatial"]), (1.0, ["spatial", "temporal"])):
        two_stream.alone = dataclasses.replace(two_stream.alone, above=above)
        found = two_stream.predict(video, views=3, crops=1)

        assert list(found.view_logits) == asked
        assert ("temporal" in found.seconds) is (len(asked) > 1)
        for name in asked:
            np.testing.assert_array_equal(found.view_logits[name], whole.view_logits[name])
    np.testing.assert_array_equal(found.verdict, whole.verdict)
    predict([str(video), "--dataset", "made", "--runs", str(runs), "--views", "3", "--crops", "1", "--when-unsure"])
    told = " ".join(capsys.readouterr().out.split())
    assert "Flow is computed only for videos of which the spatial stream is less than" in told
    with pytest.raises(ValueError, match="--when-unsure needs both streams"):
        TwoStream.load(spatial=Run.of(runs, "made", "spatial", 1).model, when_unsure=True)


def test_clips_of_other_classes_are_scored_by_the_models(evaluated, dataset, tmp_path):
    from fusion.scores.of_models import logits_of_clips

    runs, gathered = evaluated
    models = {stream: Run.of(runs, "made", stream, 1).model for stream in STREAMS}

    found = logits_of_clips(dataset.root / "videos", models, Scoring(runs=runs, **SCORING))

    for stream, logits in zip(STREAMS, gathered.unseen.view_logits, strict=True):
        np.testing.assert_allclose(found[stream], logits, atol=2e-5)
    with pytest.raises(ValueError, match="has no video in it"):
        logits_of_clips(tmp_path, models, Scoring(runs=runs, **SCORING))
