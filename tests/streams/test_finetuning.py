"""Only the chosen layers are trained."""

from types import SimpleNamespace
from typing import Any

import keras
import pytest

from pipelines.inputs import Input
from streams.checks import Stage, parse_stage
from streams.config import TrainConfig
from streams.networks.build import build_network
from streams.networks.preprocessing import Pixels
from streams.networks.start import set_trainable, started
from streams.runs.model_file import ModelCard, save_model


@pytest.fixture
def network() -> keras.Model:
    return build_network("resnet18", Pixels("rgb", 3, 32), 4)


def test_the_last_layer_learns_alone(network: keras.Model) -> None:
    said = set_trainable(network, "last-layer")

    assert [variable.path for variable in network.trainable_variables] == ["logits/kernel", "logits/bias"]
    assert said.startswith("2,052 of 11,")


def test_what_follows_a_named_layer_learns(network: keras.Model) -> None:
    set_trainable(network, "after-conv4_block2_out")

    learning = {variable.path.split("/")[0].split("_")[0] for variable in network.trainable_variables}
    assert learning == {"conv5", "logits"}


def test_all_learns_again_after_stages(network: keras.Model) -> None:
    set_trainable(network, "last-layer", "all")
    set_trainable(network, "all", "none")

    assert len(network.trainable_variables) == 62


def test_partial_batch_normalisation_keeps_the_first_one_learning(network: keras.Model) -> None:
    set_trainable(network, "all", "all-but-first")

    normalisations = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert [layer.trainable for layer in normalisations] == [True] + 19 * [False]
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert all(layer.trainable for layer in convolutions)


def test_a_layer_that_is_not_there_is_answered_with_those_alike(network: keras.Model) -> None:
    with pytest.raises(ValueError, match=r"no layer 'conv9_out' to learn after\. It has conv1, .*conv5_block2_out"):
        set_trainable(network, "after-conv9_out")


def test_a_stage_is_read_and_a_wrong_one_refused() -> None:
    assert parse_stage("after-mixed8:10:sgd:1e-4") == Stage("after-mixed8", 10, "sgd", 1e-4)
    for wrong in (
        "mixed9:10:sgd:1e-4",
        "after-:1:sgd:1",
        "all:0:sgd:1",
        "all:1:lion:1",
        "all:1:sgd",
        "all:1:sgd:1:1",
        "all:1:sgd:inf",
    ):
        with pytest.raises(ValueError, match="Received"):
            parse_stage(wrong)


def test_a_model_of_the_same_task_goes_on_with_its_class_scores(tmp_path: Any) -> None:
    previous = build_network("small", Pixels("rgb", 3, 32), 2)
    card = ModelCard("spatial", "rgb", 1, ("Walk", "Run"), "own", 1, "validation")
    save_model(previous, card, tmp_path / "model.keras")
    options: Any = TrainConfig(weights=str(tmp_path / "model.keras"), crop_size=32)

    kept, fresh = (
        started(build_network("small", Pixels("rgb", 3, 32), 2), options, Input(), classes)
        for classes in (("Walk", "Run"), ("Sit", "Run"))
    )

    scores = [model.get_layer("logits").kernel.numpy().tolist() for model in (previous, kept, fresh)]
    assert scores[0] == scores[1] != scores[2]


def test_without_a_word_only_the_spatial_stream_asks_for_imagenet(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(**options: object) -> None:
        asked.append(options["weights"])
        raise Exception("URL fetch failure on https://host/xception.h5: None -- offline")

    monkeypatch.setattr(keras.applications, "Xception", refuse)
    options = TrainConfig(backbone="xception", crop_size=71)
    network = SimpleNamespace(name="xception", input_shape=(None, 71, 71, 3))

    with pytest.raises(FileNotFoundError, match=r"xception\.h5"):
        started(network, options, Input(), ())

    assert asked == ["imagenet"]
