"""Scoring: the same numbers as the straightforward way, at a fraction of its work, and never twice."""

import contextlib
import dataclasses

import numpy as np
import pytest

from fusion.scores.gather import from_models
from fusion.scores.of_models import stream_scores
from fusion.scores.protocol import Scoring
from streams.runs.run_folder import Run
from streams.runs.score_file import read_scores
from tests.makers.frames import HEIGHT, WIDTH, made_dataset
from tests.makers.models import FLOW, make_joint_model, make_model

CLASSES = ("A", "B", "C")


def textured(index):
    random = np.random.default_rng(index)
    return random.integers(30, 220, (HEIGHT // 4, WIDTH // 4), np.uint8).repeat(4, 0).repeat(4, 1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    made = made_dataset(
        tmp_path_factory.mktemp("made"),
        {"short": 5, "long": 30, "middle": 12},
        frame=textured,
        x=lambda index: textured(100 + index),
        y=lambda index: textured(200 + index),
    )
    return dataclasses.replace(made, splits={1: dataclasses.replace(made.splits[1], test=tuple(made.videos))})


@pytest.fixture
def runs(tmp_path, dataset):
    for stream in ("spatial", "temporal"):
        path = Run.of(tmp_path, dataset.name, stream, 1).model
        path.parent.mkdir(parents=True)
        make_model(path, stream, classes=CLASSES)
    return tmp_path


def scored(dataset, runs, stream="spatial", **scoring):
    return stream_scores(dataset, 1, "test", dataset.part(1, "test"), stream, Scoring(runs=runs, **scoring))


@pytest.mark.parametrize(("stream", "kind", "length"), [("spatial", "rgb", 1), ("temporal", "flow", 3)])
def test_scores_are_those_of_each_view_and_crop_by_itself(dataset, runs, stream, kind, length):
    from pipelines.clips import video_views
    from pipelines.inputs import Input
    from streams.runs.model_file import load_model

    model, _ = load_model(Run.of(runs, dataset.name, stream, 1).model)
    scores = scored(dataset, runs, stream)

    for place, (views, _) in enumerate(
        video_views(dataset, dataset.part(1, "test"), Input(kind, length), num_views=25)
    ):
        for view in (0, 11, 24):
            frame = views.numpy()[view].astype(np.int16)
            tops, lefts = (0, 0, 8, 8, 4), (0, 16, 0, 16, 8)
            crops = [frame[top : top + 32, left : left + 32] for top, left in zip(tops, lefts, strict=True)]
            for crop in tuple(crops):
                mirrored = crop[:, ::-1].copy()
                if stream == "temporal":
                    mirrored[..., 0::2] = 256 - mirrored[..., 0::2]
                crops.append(mirrored)
            alone = [model(crop[None].astype(np.uint8), training=False).numpy()[0] for crop in crops]
            np.testing.assert_allclose(scores.view_logits[place, view], np.mean(alone, axis=0), atol=1e-4)


@pytest.mark.parametrize(("rule", "sum_of_levels"), [("centred", 256), ("classic", 255), ("floats", 256)])
def test_flow_is_mirrored_by_the_rule_of_the_models_own_training_data(tmp_path, rule, sum_of_levels):
    from fusion import TwoStream

    path = make_model(tmp_path / "temporal.keras", "temporal", flow={**FLOW, "rule": rule})
    two_stream = TwoStream.load(temporal=path)
    stack = np.random.default_rng(0).integers(1, 255, (32, 32, 6), dtype=np.uint8)
    mirrored = stack[:, ::-1].copy()
    mirrored[..., 0::2] = sum_of_levels - mirrored[..., 0::2].astype(int)

    both = two_stream.scorers["temporal"].network(np.stack([stack, mirrored])).numpy()

    np.testing.assert_allclose(two_stream.score("temporal", stack[None], crops=10)[0], both.mean(axis=0), atol=1e-5)


def test_a_network_of_both_mirrors_frames_and_classic_flow_each_in_its_own_way(tmp_path):
    from fusion import TwoStream

    spatial = make_model(tmp_path / "spatial.keras", "spatial")
    temporal = make_model(tmp_path / "temporal.keras", "temporal", flow={**FLOW, "rule": "classic"})
    two_stream = TwoStream.load(model=make_joint_model(tmp_path / "both.keras", spatial, temporal))
    random = np.random.default_rng(0)
    frame, stack = (random.integers(0, 256, (32, 32, channels), dtype=np.uint8) for channels in (3, 6))
    turned = stack[:, ::-1].copy()
    turned[..., 0::2] = 255 - turned[..., 0::2]

    clips = {"rgb": np.stack([frame, frame[:, ::-1]]), "flow": np.stack([stack, turned])}
    both = two_stream.scorers["fused"].network(clips).numpy()

    found = two_stream.score("fused", frame[None], stack[None], crops=10)
    np.testing.assert_allclose(found[0], both.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("rule", ["centred", "classic"])
def test_flow_that_stands_still_is_shown_white_whatever_its_rule(tmp_path, rule):
    from fusion.explaining.moments import as_picture
    from streams.runs.model_file import read_card

    card = read_card(make_model(tmp_path / "temporal.keras", "temporal", flow={**FLOW, "rule": rule}))
    levels = {"centred": [128], "classic": [127, 128]}[rule]  # Classic flow has no level for no motion.
    still = np.random.default_rng(0).choice(np.array(levels, np.uint8), (32, 32, 6))
    left = still.copy()
    left[..., 0::2] = 40

    assert as_picture(still, card).min() > 230
    assert as_picture(left, card).min() < 100


def test_videos_are_not_scored_by_none_of_their_views(tmp_path):
    from streams.networks.scoring import view_scorer

    with pytest.raises(ValueError, match=r"at least 1 view\. Received views=0"):
        Scoring(runs=tmp_path, views=0)
    with pytest.raises(ValueError, match="no views to score"):
        view_scorer(network(dense=False), num_crops=1)(np.zeros((0, 40, 48, 3), np.uint8))


@pytest.mark.parametrize("text", ['{"options": {"seed": 0}}', '{"result": {}}', '{"options": []}', "[]", "{", ""])
def test_a_config_that_lacks_what_was_validated_on_is_named_and_methods_that_learn_wait(dataset, runs, text):
    config = Run.of(runs, dataset.name, "spatial", 1).config
    config.write_text(text)

    gathered = from_models(dataset, 1, ("spatial",), Scoring(runs=runs, views=2, crops="1"), "validation")

    assert gathered.known is None
    assert (
        gathered.why_not == f"{config} does not say on which videos spatial was validated. Pass --fit train or folds."
    )


@pytest.mark.parametrize("layer", ["", "features"])
def test_what_was_scored_is_not_scored_again(dataset, runs, monkeypatch, layer):
    first = scored(dataset, runs, views=3, crops="1", layer=layer)
    monkeypatch.setattr("keras.saving.load_model", lambda *_, **__: pytest.fail("was scored again"))

    again = scored(dataset, runs, views=3, crops="1", layer=layer)

    np.testing.assert_array_equal(again.view_logits, first.view_logits)


def test_another_model_other_data_and_another_protocol_are_scored_anew(dataset, runs):
    first = scored(dataset, runs, views=3, crops="1")

    make_model(Run.of(runs, dataset.name, "spatial", 1).model, "spatial", classes=CLASSES, seed=9)
    other_model = scored(dataset, runs, views=3, crops="1")
    fewer = dataset.replace_videos([dataclasses.replace(dataset.videos["long"], num_frames=20)])
    other_data = scored(fewer, runs, views=3, crops="1")
    other_protocol = scored(dataset, runs, views=2, crops="1")

    assert np.abs(other_model.view_logits - first.view_logits).max() > 1e-3
    assert np.abs(other_data.view_logits[1] - other_model.view_logits[1]).max() > 1e-3
    assert other_protocol.view_logits.shape[1] == 2


@contextlib.contextmanager
def hidden(dataset, video):
    """Frames of a video that nobody finds, so that whoever reads them is stopped."""
    folder = dataset.root / "rawframes" / dataset.videos[video].folder
    folder.rename(folder.with_name("hidden"))
    yield
    folder.with_name("hidden").rename(folder)


def test_scoring_that_was_stopped_goes_on(dataset, runs):
    whole = scored(dataset, runs, views=3, crops="1")
    path = Run.of(runs, dataset.name, "spatial", 1).scores("test", "3x1")
    path.unlink()

    with hidden(dataset, "long"), pytest.raises(ValueError, match="long"):
        scored(dataset, runs, views=3, crops="1")
    assert not path.exists()
    with hidden(dataset, "short"):  # Its scores are known.
        resumed = scored(dataset, runs, views=3, crops="1")

    np.testing.assert_array_equal(resumed.view_logits, whole.view_logits)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert read_scores(path).videos == ("short", "long", "middle")


def test_a_model_named_for_once_leaves_the_runs_own_scores(dataset, runs, tmp_path):
    own = scored(dataset, runs, views=3, crops="1")
    other = make_model(tmp_path / "other.keras", "spatial", classes=CLASSES, seed=9)

    named = scored(dataset, runs, views=3, crops="1", models={"spatial": other})
    path = Run.of(runs, dataset.name, "spatial", 1).scores("test", "3x1")

    assert np.abs(named.view_logits - own.view_logits).max() > 1e-3
    np.testing.assert_array_equal(read_scores(path).view_logits, own.view_logits)


def test_a_missing_model_is_named_with_the_command_that_trains_it(dataset, tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"./run train spatial --dataset made --split 1 --runs {tmp_path}"):
        scored(dataset, tmp_path)


def test_a_model_of_other_classes_is_refused(dataset, runs, tmp_path):
    other = make_model(tmp_path / "other.keras", "spatial", classes=("A", "B", "X", "Y"))

    with pytest.raises(ValueError, match="4 classes"):
        scored(dataset, runs, models={"spatial": other})


def network(*, dense):
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 3), dtype="uint8", name="rgb")
    x = keras.layers.Rescaling(1 / 64, -2.0)(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="valid" if dense else "same", activation="relu")(x)
    x = keras.layers.MaxPooling2D(3)(x)
    if dense:
        x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
        x = keras.layers.Dense(16, activation="relu")(x)
    else:
        x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(4, name="logits")(keras.layers.Dropout(0.5)(x)))


@pytest.mark.parametrize("dense", [True, False])
def test_whole_frames_of_the_size_of_a_crop_score_like_the_crop(dense):
    from streams.networks.scoring import view_scorer

    model = network(dense=dense)
    frames = np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3), np.uint8)

    full = view_scorer(model, num_crops="full")(frames).numpy()
    both = np.stack([model(frames, training=False), model(frames[:, :, ::-1], training=False)])

    np.testing.assert_allclose(full, both.mean(axis=0), atol=1e-5)


def test_larger_frames_score_as_all_the_places_that_the_network_can_look_at():
    from streams.networks.scoring import view_scorer

    model = network(dense=True)
    frames = np.random.default_rng(0).integers(0, 255, (1, 38, 50, 3), np.uint8)

    full = view_scorer(model, num_crops="full")(frames).numpy()
    squares = [
        image[top : top + 32, left : left + 32]
        for image in (frames[0], frames[0, :, ::-1])
        for top in range(0, 7, 6)  # The network's strides multiply to six.
        for left in range(0, 19, 6)
    ]

    np.testing.assert_allclose(full[0], model(np.stack(squares), training=False).numpy().mean(axis=0), atol=1e-4)


@pytest.mark.parametrize(("num_crops", "places"), [(1, [(4, 8)]), (5, [(0, 0), (0, 16), (8, 0), (8, 16), (4, 8)])])
def test_one_and_five_crops_are_not_mirrored(num_crops, places):
    from streams.networks.scoring import view_scorer

    model = network(dense=False)
    frames = np.random.default_rng(0).integers(0, 255, (2, 40, 48, 3), np.uint8)

    found = view_scorer(model, num_crops=num_crops)(frames).numpy()

    alone = [model(frames[:, top : top + 32, left : left + 32], training=False) for top, left in places]
    np.testing.assert_allclose(found, np.mean(alone, axis=0), atol=1e-5)


def test_another_number_of_crops_is_refused():
    from streams.networks.scoring import view_scorer

    with pytest.raises(ValueError, match=r"\(1, 5, 10, 'full'\) crops\. Received 3"):
        view_scorer(network(dense=False), num_crops=3)


@pytest.mark.parametrize(
    ("how", "reason"),
    [(lambda path: path.unlink(), "is missing"), (lambda path: path.write_bytes(path.read_bytes()[:-300]), "decoded")],
)
def test_a_file_that_stops_scoring_is_named_with_the_command_that_repairs_it(runs, tmp_path, how, reason):
    made = made_dataset(tmp_path / "made", {"first": 5, "second": 5}, frame=textured)
    how(made.layout.frame_path(made.root, made.videos["second"], 2))

    with pytest.raises(
        ValueError, match=rf"second can't be read: .*img_00003.jpg .*{reason}.*./run doctor made --root"
    ):
        stream_scores(made, 1, "train", made.part(1, "train"), "spatial", Scoring(runs=runs, views=5, crops="5"))


def test_bfloat16_scores_nearly_the_same():
    from streams.networks.scoring import view_scorer

    model = network(dense=False)
    frames = np.random.default_rng(0).integers(0, 255, (2, 40, 48, 3), np.uint8)

    exact = view_scorer(model, num_crops=10)(frames).numpy()
    rough = view_scorer(model, num_crops=10, precision="bfloat16")(frames).numpy()

    assert 0 < np.abs(rough - exact).max() < 0.05
