"""Other losses, averaged weights, uneven rates and stochastic depth: what each changes, and that resume stays exact."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.clip_stream import Clips
from streams.networks.build import build_network
from streams.networks.preprocessing import Pixels
from streams.runs.run_folder import Run
from streams.training.around_steps import StoppedError
from streams.training.schedules import Rate, make_optimizer
from streams.training.tricks.drop_path import with_drop_path
from streams.training.tricks.layer_rates import shares_of
from streams.training.tricks.step import Averages, TrickedTrainee
from tests.makers.training import (
    STEPS_PER_EPOCH,
    CtrlC,
    MadeClips,
    assert_same,
    made_config,
    made_learner,
    made_network,
    train_made,
    weights_of,
)

TRICKS = {
    "ema": {"ema": 0.9},
    "losses": {"loss": "class-weighted", "label_smoothing": 0.1},
    "adjusted": {"loss": "logit-adjusted", "layer_decay": 0.5, "optimizer": "sgd", "weight_decay": 1e-2},
    "all": {"ema": 0.9, "loss": "logit-adjusted", "label_smoothing": 0.1, "precision": "mixed_float16"},
    "parts": {"ema": 0.9, "label_smoothing": 0.1, "accumulate": 2, "clip_norm": 1.0},
}


# Half precision is emulated on processors, and slow. The losses are tested by themselves too.
SLOW = ("all", "losses", "adjusted")


@pytest.mark.parametrize(
    "options",
    [pytest.param(options, marks=[pytest.mark.slow] * (name in SLOW), id=name) for name, options in TRICKS.items()],
)
def test_a_stopped_training_with_tricks_goes_on_bit_for_bit(tmp_path, options):
    whole = train_made(tmp_path / "whole", epochs=3, **options)

    with pytest.raises(StoppedError):
        train_made(tmp_path / "stopped", watch=CtrlC(STEPS_PER_EPOCH + 2), epochs=3, **options)
    resumed = train_made(tmp_path / "stopped", epochs=3, **options)

    assert_same(whole, resumed)


def trainee_of(network, counts=(1, 1, 1), multi_label=False, **options):
    return TrickedTrainee(network, Clips(), made_config(**options), counts=counts, multi_label=multi_label)


@pytest.fixture
def small():
    keras.utils.set_random_seed(0)
    network = build_network("small", Pixels("rgb", 3, 16), 3, dropout=0.0)
    clips = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    return network, tf.constant(clips), tf.constant([0, 1, 2, 0])


def test_smoothing_gives_all_classes_their_share_in_training_alone(small):
    network, clips, labels = small
    trainee = trainee_of(network, label_smoothing=0.3)

    losses, _ = trainee.judged(clips, labels, training=True)

    logs = tf.nn.log_softmax(network(clips, training=True)).numpy()
    smooth = 0.7 * np.eye(3)[labels] + 0.1
    np.testing.assert_allclose(losses, -(smooth * logs).sum(axis=1), rtol=1e-4)
    plain, right = trainee.judged(clips, labels, training=False)
    logs = tf.nn.log_softmax(network(clips)).numpy()
    np.testing.assert_allclose(plain, -logs[range(4), labels], rtol=1e-4)
    np.testing.assert_array_equal(right, logs.argmax(axis=1) == labels)


def test_losses_of_rare_classes_weigh_more_and_all_videos_weigh_as_much_as_before(small):
    network, clips, labels = small
    counts = (6, 3, 1)

    plain, _ = trainee_of(network).judged(clips, labels, training=False)
    weighted, _ = trainee_of(network, counts, loss="class-weighted").judged(clips, labels, training=False)

    weights = np.array([10 / 18, 10 / 9, 10 / 3])
    np.testing.assert_allclose(weighted, weights[labels] * plain, rtol=1e-5)
    assert (weights * counts).sum() == pytest.approx(10)


def test_adjusted_logits_make_the_network_answer_as_if_classes_were_equally_frequent(small):
    network, clips, labels = small
    counts = (6, 3, 1)

    adjusted, _ = trainee_of(network, counts, loss="logit-adjusted").judged(clips, labels, training=False)

    logs = tf.nn.log_softmax(network(clips) + np.log(np.array(counts, np.float32) / 10)).numpy()
    np.testing.assert_allclose(adjusted, -logs[range(4), labels], rtol=1e-5)


def test_averages_are_what_validation_judges_and_what_is_saved(tmp_path):
    class Watch(keras.callbacks.Callback):
        """Counts the means by hand: what checkpoints and the saved file must hold."""

        def on_train_batch_end(self, batch, logs=None):
            now = [weight.numpy() for weight in self.model.trainable_variables]
            steps = int(self.model.optimizer.iterations.numpy())
            decay = min(0.9, (1 + steps) / (10 + steps))
            self.means = [decay * mean + (1 - decay) * each for mean, each in zip(self.means, now, strict=True)]

        def on_train_begin(self, logs=None):
            self.means = [weight.numpy() for weight in self.model.trainable_variables]

    watch = Watch()
    run = train_made(tmp_path, watch=watch, ema=0.9, epochs=1)

    for saved, expected in zip(weights_of(run), watch.means, strict=True):
        np.testing.assert_allclose(saved, expected, atol=1e-6)


@pytest.mark.slow
def test_averages_include_the_statistics_of_normalisation_and_are_alike_on_two_devices(tmp_path):
    # Devices are fixed once TensorFlow has computed anything.
    from tests.makers.training import exit_codes, start_apart

    options = {"ema": 0.5, "epochs": 1, "network": {"batch_norm": True, "dropout": 0.0}, "sync_batch_norm": True}
    found = {}
    for devices in (1, 2):
        process = start_apart(tmp_path / str(devices), devices=devices, **options)
        assert exit_codes([process]) == [0]
        found[devices] = weights_of(Run(tmp_path / str(devices)))

    for one, two in zip(found[1], found[2], strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)


def test_averaging_lets_a_copy_follow_slowly():
    network = made_network(batch_norm=True)
    averages = Averages(network, 0.75)
    before = [weight.numpy() for weight in network.weights]
    for weight in network.weights:
        weight.assign(weight + 1)

    averages.update(tf.constant(10**6))

    for mean, old in zip(averages.network.weights, before, strict=True):
        np.testing.assert_allclose(mean, old + 0.25, atol=1e-6)


@pytest.mark.parametrize("backbone", ["resnet18", "small"])
def test_rates_fall_from_the_class_scores_to_the_first_layer(backbone):
    network = build_network(backbone, Pixels("rgb", 3, 32), 3)

    shares = shares_of(network.trainable_variables, 1.0, 0.5)

    of_layer = {
        variable.path.rpartition("/")[0]: share
        for variable, share in zip(network.trainable_variables, shares, strict=True)
    }
    assert of_layer["logits"] == 1
    assert sorted(shares) == shares
    assert (
        shares[0]
        == min(shares)
        == 0.5 ** min(12, len([v for v in network.trainable_variables if len(v.shape) > 1]) - 1)
    )


def test_a_layer_moves_and_decays_at_its_own_rate():
    config = made_config(layer_decay=0.5, weight_decay=0.1, optimizer="sgd", momentum=0.0, schedule="constant")
    network = made_network()
    before = [variable.numpy() for variable in network.trainable_variables]
    optimizer = make_optimizer(config, Rate(config, 4, 8))

    optimizer.apply([tf.zeros(each.shape) for each in before], network.trainable_variables)

    conv, _, dense, _ = (after.numpy() - old for after, old in zip(network.trainable_variables, before, strict=True))
    np.testing.assert_allclose(dense, -before[2] * 0.1 * 0.01, rtol=1e-2, atol=1e-6)
    np.testing.assert_allclose(conv, -before[0] * 0.1 * 0.005, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_decay_spares_biases_and_normalisation(optimizer):
    config = made_config(weight_decay=0.1, optimizer=optimizer)
    network = made_network(batch_norm=True)
    for variable in network.trainable_variables:
        variable.assign(variable + 1)
    before = {variable.path: variable.numpy() for variable in network.trainable_variables}

    made = make_optimizer(config, Rate(config, 4, 8))
    made.apply([tf.zeros(each.shape) for each in before.values()], network.trainable_variables)

    for variable in network.trainable_variables:
        changed = not np.array_equal(variable.numpy(), before[variable.path])
        assert changed == variable.path.endswith("kernel")


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "mobilenet_v2"])
def test_residual_branches_are_dropped_whole_and_only_in_training(backbone):
    keras.utils.set_random_seed(0)
    network = build_network(backbone, Pixels("rgb", 3, 32), 3, dropout=0.0)
    for layer in network.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    clips = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)

    dropping = with_drop_path(network, 0.9)

    drops = [layer for layer in dropping.layers if layer.name.endswith("_drop_path")]
    adds = [layer for layer in network.layers if isinstance(layer, keras.layers.Add)]
    assert len(drops) == len(adds)
    assert drops[-1].rate == pytest.approx(0.9)
    assert {id(each) for each in dropping.trainable_variables} == {id(each) for each in network.trainable_variables}
    whole = network(clips, training=False).numpy()
    scale = np.abs(whole).max()
    np.testing.assert_allclose(dropping(clips, training=False) / scale, whole / scale, atol=1e-4)
    np.testing.assert_allclose(network(clips, training=True) / scale, whole / scale, atol=1e-4)
    assert np.abs(dropping(clips, training=True) - whole).max() / scale > 1e-2


def test_the_shortcut_is_never_dropped():
    inputs = keras.Input((4, 4, 1))
    branch = keras.layers.Conv2D(1, 1, kernel_initializer="ones")(
        keras.layers.Conv2D(1, 1, kernel_initializer="ones")(inputs)
    )
    for sides in ([inputs, branch], [branch, inputs]):
        network = keras.Model(inputs, keras.layers.Add()(sides))
        images = np.ones((64, 4, 4, 1), np.float32)

        found = with_drop_path(network, 0.5)(images, training=True).numpy()

        # The shortcut alone, or beside it the branch, which counts twice as one in two is left out.
        assert set(np.unique(found)) == {1.0, 3.0}


def test_a_network_without_residual_blocks_has_nothing_to_drop():
    with pytest.raises(ValueError, match=r"small.* has none\. Drop it, or choose a --backbone such as resnet18"):
        with_drop_path(build_network("small", Pixels("rgb", 3, 32), 3), 0.5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"optimizer": "exact", "protocol": "folds", "train": "last-layer", "augment": "none", "ema": 0.9}, "exact"),
        ({"ema": 1.0}, "--ema is 1.0; it must be at least 0 and below 1"),
        ({"layer_decay": 0.0}, "--layer-decay is 0.0; it must be above 0 and at most 1"),
        ({"layer_decay": 0.5, "first_layer_rate": 2.0}, "Drop one of them"),
        ({"loss": "class-weighted", "balance": True}, "--loss class-weighted and --balance both"),
        ({"ema": 0.9, "train": "last-layer", "augment": "none"}, "learns from kept features. Drop it"),
    ],
)
def test_what_excludes_each_other_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        made_config(**options)


def test_losses_for_rare_classes_need_one_class_a_video(tmp_path):
    from streams.training.tricks.chosen import with_tricks

    config = made_config(loss="logit-adjusted")
    with pytest.raises(ValueError, match="videos of one class each"):
        with_tricks(made_learner(config, multi_label=True), MadeClips(config), config)
