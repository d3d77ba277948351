"""Networks that learn from teachers, and clips that are varied: along the whole way, and continued bit for bit."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.ready import flow_description, ready_dataset
from data.sets.lists import training_lists
from fusion.evaluate import main as evaluate
from fusion.train import main as train_both
from pipelines.inputs import Input
from spatial.train import SpatialConfig
from spatial.train import main as train_spatial
from streams.runs.model_file import card_of, read_card
from streams.runs.run_folder import Run
from streams.training.around_steps import StoppedError
from streams.training.tricks.teaching import TEMPERATURE, lesson, with_teachers
from temporal.train import main as train_temporal
from tests.makers.commands import ucf101, words_for
from tests.makers.models import make_joint_model, make_model
from tests.makers.training import CtrlC, assert_same


@pytest.fixture(scope="module")
def dataset(roots):
    return ready_dataset("ucf101", roots["ucf101"])


@pytest.fixture(scope="module")
def teachers(dataset, tmp_path_factory):
    """The files of a spatial, a temporal and a joint model that know the classes."""
    folder, known = tmp_path_factory.mktemp("teachers"), {"classes": dataset.classes}
    known["flow"] = flow_description(dataset.root)
    single = [make_model(folder / name / "model.keras", name, **known) for name in ("spatial", "temporal")]
    return [*single, make_joint_model(folder / "both.keras", *single)]


def parts_of(dataset, **options):
    """Returns options, clips and a learner of a spatial training."""
    from spatial.model import spatial_network
    from streams.training.stage import Learner, building, clips_of, strategy_for

    config = SpatialConfig(
        **{"dataset": "ucf101", "crop_size": 32, "batch_size": 2, "epochs": 3, "weights": "none", **options}
    )
    clip = Input(config.input, config.length, config.segments)
    clips = clips_of(config, dataset, clip, *training_lists(dataset, 1, "validation", 0.5, 0))
    with building(config, strategy_for(config)):
        network = spatial_network(config, clip, dataset)
    return config, clips, Learner(network, card_of("spatial", config, dataset, clip))


def trained(folder, dataset, watch=None, **options):
    """Runs a training to its end, or until `watch` stops it."""
    from streams.training.fit import train
    from streams.training.tricks.chosen import with_tricks

    config, clips, learner = parts_of(dataset, **options)
    run = Run(folder, data_hash="made")
    learner, clips = with_tricks(learner, clips, config)
    train(learner, clips, config, run, watch)
    return run


def test_a_lesson_is_the_distance_from_the_mean_of_chances():
    logits, answers = np.array([[1.0, 2, 4], [0, 0, 0]], np.float32), [np.array([[4.0, 0, 0]] * 2, np.float32)] * 2

    found = lesson(tf.constant(logits), [tf.constant(each) for each in answers])

    wanted, own = (tf.nn.softmax(each / TEMPERATURE).numpy() for each in (answers[0], logits))
    np.testing.assert_allclose(found, TEMPERATURE**2 * (wanted * np.log(wanted / own)).sum(axis=1), rtol=1e-4)
    np.testing.assert_allclose(lesson(tf.constant(answers[0]), [tf.constant(each) for each in answers]), 0, atol=1e-5)


def test_teachers_see_the_same_moments_cut_and_mirrored_alike(dataset, teachers):
    config, clips, learner = parts_of(dataset, teacher=(str(teachers[0]), str(teachers[2])))

    taught, found, _ = with_teachers(clips, config, learner.card)
    batch, labels = taught.cut(*next(iter(taught.batches(3))))

    own, own_labels = next(iter(clips.batches(3)))
    assert set(batch) == {"rgb", "teacher 1 rgb", "teacher 2 rgb", "teacher 2 flow"}
    for name in ("rgb", "teacher 1 rgb", "teacher 2 rgb"):
        np.testing.assert_array_equal(batch[name], own)
    np.testing.assert_array_equal(labels, own_labels)
    assert batch["teacher 2 flow"].shape == (2, 32, 32, 6)
    score = lambda network, shown, training: network(shown, training=training)  # noqa: E731
    both = {"rgb": batch["rgb"], "flow": batch["teacher 2 flow"]}
    np.testing.assert_allclose(found[1].scores(batch, score), found[1].network(both), atol=1e-6)


TRAININGS = {
    "taught": lambda teachers: {"teacher": (str(teachers[1]), str(teachers[0].parent)), "augment": "flip"},
    "varied": lambda teachers: {
        "vary": ("random", "erase", "mixup", "cutmix"),
        "mirror_classes": ("Archery:HandstandPushups",),
    },
    "on the device": lambda teachers: {"vary": ("rotate", "mixup"), "crop_on": "device", "accumulate": 2},
    "segments": lambda teachers: {"segments": 2, "teacher": (str(teachers[1]),), "vary": ("random:3", "cutmix")},
    "all": lambda teachers: {
        "teacher": (str(teachers[2]),),
        "vary": ("scale", "mixup"),
        "ema": 0.9,
        "label_smoothing": 0.1,
        "loss": "logit-adjusted",
        "layer_decay": 0.7,
        "input": "sg3i",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_a_stopped_training_goes_on_bit_for_bit(dataset, teachers, tmp_path, name):
    options = TRAININGS[name](teachers)
    whole = trained(tmp_path / "whole", dataset, **options)

    with pytest.raises(StoppedError):
        trained(tmp_path / "stopped", dataset, CtrlC(2), **options)
    resumed = trained(tmp_path / "stopped", dataset, **options)

    assert_same(whole, resumed)


@pytest.mark.slow
def test_a_network_that_is_only_taught_comes_to_answer_as_its_teacher(dataset, teachers, tmp_path):
    options = {"teacher": (str(teachers[0]),), "teacher_weight": 1.0, "augment": "none", "learning_rate": 0.01}
    run = trained(tmp_path, dataset, epochs=60, dropout=0.0, protocol="paper", **options)

    clips = next(iter(parts_of(dataset, augment="none")[1].batches()))[0]
    wanted, found = (tf.nn.softmax(keras.saving.load_model(path)(clips)).numpy() for path in (teachers[0], run.model))
    uniform = np.abs(wanted - wanted.mean(axis=0)).mean()
    assert np.abs(wanted - found).mean() < max(0.1, uniform)
    assert ("made", 1, "validation") in read_card(run.model).lessons


def test_a_teacher_of_other_classes_or_other_flow_is_refused(dataset, tmp_path):
    others = make_model(tmp_path / "others.keras", "spatial")
    flow = {**flow_description(dataset.root), "bound": 15.0}
    faster = make_model(tmp_path / "faster.keras", "temporal", classes=dataset.classes, flow=flow)

    for path, said in ((others, r"has 3 classes \(Jump, Run, Sit"), (faster, "has bound 20.0")):
        config, clips, learner = parts_of(dataset, teacher=(str(path),))
        with pytest.raises(ValueError, match=said):
            with_teachers(clips, config, learner.card)


def test_one_command_trains_on_what_another_left(roots, tmp_path, capsys):
    train_temporal(ucf101(roots, tmp_path, "--length", "2", "--ema", "0.9", "--vary", "random:2"))
    teacher = str(tmp_path / "ucf101" / "temporal" / "split1")
    train_spatial(ucf101(roots, tmp_path, "--teacher", teacher, "--label-smoothing", "0.1"))
    train_spatial(ucf101(roots, tmp_path, "--teacher", teacher, "--label-smoothing", "0.1"))  # Is finished.
    evaluate(["--dataset", "ucf101", "--root", str(roots["ucf101"]), "--runs", str(tmp_path), "--views", "2"])

    said = capsys.readouterr().out
    assert f"Teacher: {teacher}" in said
    assert "Report: " in said


def test_both_streams_at_once_are_varied_alike(roots, tmp_path):
    place = words_for(roots["ucf101"], "ucf101", tmp_path, "--validation", "0.5", "--length", "2")
    options = ["--spatial", "fresh", "--temporal", "fresh", "--fusion", "concat", "--weights", "none"]

    train_both(
        [
            *place,
            *options,
            "--vary",
            "random",
            "--vary",
            "cutmix",
            "--ema",
            "0.9",
            "--mirror-classes",
            "Archery:HandstandPushups",
        ]
    )

    assert read_card(tmp_path / "ucf101" / "two_stream" / "split1" / "model.keras").in_mirror == (1, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--vary", "turn"], "no variation 'turn'"),
        (["--vary", "speed"], "changes no clip of rgb"),
        (["--vary", "rotate", "--jit", "--no-deterministic"], "--jit can't compile"),
        (["--teacher", "x", "--skip-broken"], "Drop one of them"),
        (["--teacher-weight", "0.5"], "pass --teacher with it"),
        (["--mirror-classes", "a:b", "--augment", "none"], "mirrors none"),
    ],
)
def test_what_can_not_be_is_refused_with_the_command_line(roots, tmp_path, capsys, words, said):
    with pytest.raises(SystemExit) as ended:
        train_spatial(ucf101(roots, tmp_path, *words))

    assert ended.value.code == 2
    assert said in capsys.readouterr().err
