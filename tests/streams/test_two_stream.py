"""Both streams as one network."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from fusion import TwoStreamNetwork
from streams.networks.both_streams import FUSIONS, two_stream_network
from streams.networks.build import build_network
from streams.networks.fused_maps import fused_at
from streams.networks.preprocessing import Pixels

RGB, FLOW = Pixels("rgb", 3, 32), Pixels("flow", 4, 32)
Clips = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def streams() -> dict[str, keras.Model]:
    keras.utils.set_random_seed(0)
    return {"spatial": build_network("small", RGB, 5), "temporal": build_network("small", FLOW, 5)}


@pytest.fixture(scope="module")
def clips() -> Clips:
    random = np.random.default_rng(0)
    return {name: random.integers(0, 256, (6, 32, 32, c), dtype=np.uint8) for name, c in (("rgb", 3), ("flow", 4))}


def test_the_average_is_that_of_the_streams_probabilities(streams: dict[str, keras.Model], clips: Clips) -> None:
    spatial, temporal = _scores(streams, clips)

    for fusion, weight in (("average", 0.5), ("weighted", 0.2)):
        fused = two_stream_network(5, **streams, fusion=fusion, spatial_weight=0.2)(clips)
        expected = weight * keras.ops.softmax(spatial) + (1 - weight) * keras.ops.softmax(temporal)
        np.testing.assert_allclose(keras.ops.softmax(fused), expected, rtol=1e-5)


def test_several_labels_are_averaged_each_by_itself(streams: dict[str, keras.Model], clips: Clips) -> None:
    spatial, temporal = _scores(streams, clips)

    fused = two_stream_network(5, **streams, multi_label=True)(clips)

    expected = (keras.ops.sigmoid(spatial) + keras.ops.sigmoid(temporal)) / 2
    np.testing.assert_allclose(keras.ops.sigmoid(fused), expected, rtol=1e-5)


def test_logits_are_averaged_as_they_are(streams: dict[str, keras.Model], clips: Clips) -> None:
    spatial, temporal = _scores(streams, clips)

    fused = two_stream_network(5, **streams, fusion="logits")(clips)

    np.testing.assert_allclose(fused, (spatial + temporal) / 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_it_is_trained_through_both_streams_and_kept_in_one_file(fusion: str, clips: Clips, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    fresh = {"spatial": build_network("small", RGB, 5), "temporal": build_network("small", FLOW, 5)}
    network = two_stream_network(5, **fresh, fusion=fusion)
    network.compile(
        optimizer=keras.optimizers.SGD(0.01), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    before = [stream.layers[2].get_weights()[0] for stream in fresh.values()]

    network.fit(clips, np.arange(6) % 5, verbose=0)

    for stream, kernel in zip(fresh.values(), before, strict=True):
        assert not np.array_equal(stream.layers[2].get_weights()[0], kernel)
    network.save(tmp_path / "both.keras")
    again = keras.saving.load_model(tmp_path / "both.keras", safe_mode=True)
    np.testing.assert_allclose(again(clips), network(clips), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_saved_streams_become_one_file_that_anybody_opens(streams: dict[str, keras.Model], tmp_path: Path) -> None:
    paths = {name: tmp_path / f"{name}.keras" for name in streams}
    for name, path in paths.items():
        streams[name].save(path)

    network = two_stream_network(5, **paths)
    network.save(tmp_path / "both.keras")
    network.export(tmp_path / "exported", verbose=False)

    opened = (
        "import keras, sys, tensorflow as tf, numpy as np\n"
        "zeros = {'rgb': np.zeros((1, 32, 32, 3), 'uint8'), 'flow': np.zeros((1, 32, 32, 4), 'uint8')}\n"
        "a = keras.saving.load_model('both.keras')(zeros)\n"
        "exported = tf.saved_model.load('exported')\n"
        "b = exported.serve(zeros)\n"
        "np.testing.assert_allclose(a, b, rtol=1e-5)\n"
        "assert 'streams' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", opened], cwd=tmp_path, check=True)


def test_streams_that_do_not_belong_together_are_refused(streams: dict[str, keras.Model]) -> None:
    with pytest.raises(ValueError, match=r"temporal stream must take flow and score 5 classes.*takes rgb"):
        two_stream_network(5, temporal=streams["spatial"])
    with pytest.raises(ValueError, match=r"score 7 classes.*scores 5"):
        two_stream_network(7, **streams)
    with pytest.raises(ValueError, match=r"no fusion 'sum'.*average"):
        two_stream_network(5, fusion="sum")
    with pytest.raises(ValueError, match=r"spatial stream has no map 'conv4' to fuse at.*every network has map"):
        two_stream_network(5, **streams, fusion="conv:conv4")


def test_maps_of_another_size_are_resized(streams: dict[str, keras.Model]) -> None:
    larger = build_network("small", Pixels("flow", 4, 64), 5)

    network = two_stream_network(5, spatial=streams["spatial"], temporal=larger, fusion="conv")

    inputs = {"rgb": np.zeros((1, 32, 32, 3), np.uint8), "flow": np.zeros((1, 64, 64, 4), np.uint8)}
    assert network(inputs).shape == (1, 5)


@pytest.fixture(scope="module")
def dense() -> dict[str, keras.Model]:
    keras.utils.set_random_seed(0)
    pixels = Pixels("rgb", 3, 64), Pixels("flow", 4, 64)
    return dict(zip(("spatial", "temporal"), (build_network("cnn_m_2048", each, 5) for each in pixels), strict=True))


@pytest.mark.parametrize("places", [[], ["conv4"], ["conv3", "conv5"], ["conv2", "conv4", "map"]])
def test_dense_layers_go_on_behind_joined_maps(
    dense: dict[str, keras.Model], places: list[str], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    clips = {name: random.integers(0, 256, (2, 64, 64, c), dtype=np.uint8) for name, c in (("rgb", 3), ("flow", 4))}

    network = two_stream_network(5, **dense, fusion=":".join(["conv", *places]))

    for name in ("dense1", "dense2", "logits"):
        np.testing.assert_array_equal(network.get_layer(name).kernel, dense["spatial"].get_layer(name).kernel)
    assert network.get_layer("features").output.shape[-1] == 2048
    assert [layer.name for layer in network.layers if layer.name.startswith("fusion_")] == [
        f"fusion_{place}" for place in places or ["map"]
    ]
    without_flow = network({**clips, "flow": np.full_like(clips["flow"], 128)})
    assert not np.allclose(network(clips), without_flow, rtol=1e-4, atol=1e-7)
    network.save(tmp_path / "both.keras")
    again = keras.saving.load_model(tmp_path / "both.keras", safe_mode=True)
    np.testing.assert_allclose(again(clips), network(clips), rtol=1e-5, atol=1e-6)


def test_maps_that_are_alike_are_joined_to_what_they_were(dense: dict[str, keras.Model]) -> None:
    spatial = dense["spatial"]
    twin = keras.Model(spatial.input, spatial.output, name="temporal")
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    inputs = [keras.Input(spatial.input_shape[1:], dtype="uint8") for _ in range(2)]

    network = keras.Model(inputs, fused_at(spatial, twin, inputs, ["conv3", "conv5"]))

    np.testing.assert_allclose(network([frames, frames]), spatial(frames), rtol=1e-4, atol=1e-6)


def test_places_out_of_order_and_layers_inside_a_block_are_refused(dense: dict[str, keras.Model]) -> None:
    with pytest.raises(ValueError, match="from the first to the last, each once"):
        two_stream_network(5, **dense, fusion="conv:conv5:conv3")
    residual = {
        "spatial": build_network("resnet18", Pixels("rgb", 3, 32), 5),
        "temporal": build_network("resnet18", Pixels("flow", 4, 32), 5),
    }
    with pytest.raises(ValueError, match=r"spatial stream can't be cut at conv2_block1_1_relu"):
        two_stream_network(5, **residual, fusion="conv:conv2_block1_1_relu")
    assert two_stream_network(5, **residual, fusion="conv:conv2").output_shape == (None, 5)


def test_a_model_of_its_own_class_is_called_with_both_clips_and_any_late_fusion(clips: Clips, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = TwoStreamNetwork(5, backbone="small", crop_size=32, length=2)
    spatial, temporal = (
        model.get_layer(name)(clips[kind]) for name, kind in (("spatial", "rgb"), ("temporal", "flow"))
    )
    average = (keras.ops.softmax(spatial) + keras.ops.softmax(temporal)) / 2

    for fused in (model(clips), model(clips["rgb"], clips["flow"]), model(clips["rgb"], clips["flow"], fusion="late")):
        np.testing.assert_allclose(keras.ops.softmax(fused), average, rtol=1e-5)
    logits = model(clips["rgb"], clips["flow"], fusion="logits")
    np.testing.assert_allclose(logits, (spatial + temporal) / 2, rtol=1e-5, atol=1e-6)
    assert {each.name for each in model.inputs} == {"rgb", "flow"}
    with pytest.raises(ValueError, match=r"fuses by late.*fusion='conv'"):
        model(clips["rgb"], clips["flow"], fusion="conv")
    model.compile(optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(clips, np.arange(6) % 5, verbose=0)
    model.save(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(opened(clips), model(clips), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_class_has_vgg_of_224_pixels_for_both_streams_by_default() -> None:
    model = TwoStreamNetwork(num_classes=101)

    assert {each.name: each.shape[1:] for each in model.inputs} == {"rgb": (224, 224, 3), "flow": (224, 224, 20)}
    rgb, flow = (np.zeros((1, 224, 224, channels), np.uint8) for channels in (3, 20))
    assert model(rgb, flow, fusion="late").shape == (1, 101)
    assert model.get_layer("spatial").get_layer("dense2").units == 4096


def _scores(streams: dict[str, keras.Model], clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    return streams["spatial"](clips["rgb"]).numpy(), streams["temporal"](clips["flow"]).numpy()
