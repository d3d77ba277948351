"""Weights: from where they come, how they are converted, and what is refused."""

import dataclasses
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from data.ready import open_dataset
from pipelines import decode
from pipelines.inputs import Input
from streams.config import TrainConfig
from streams.networks.backbones.table import BACKBONES, Variant
from streams.networks.build import build_network
from streams.networks.preprocessing import Pixels
from streams.networks.start import inflated, pretrain, variant_of, weighted_layers
from streams.runs.model_file import card_of, origin_of_weights, save_model
from tests.makers.torch.files import resnet_arrays, write_torch


@pytest.fixture(scope="module")
def spatial_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved spatial network with statistics of its own in every batch normalisation."""
    network = _random_network("small", Pixels("rgb", 3, 32), num_classes=4)
    path = tmp_path_factory.mktemp("run") / "model.keras"
    network.save(path)
    return path


def test_grey_gives_the_same_in_a_kernel_for_any_number_of_channels() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 8)).astype(np.float32)
    grey = np.random.default_rng(1).normal(size=(1, 8, 8, 1)).astype(np.float32)

    expected = tf.nn.conv2d(np.tile(grey, 3), kernel, 1, "SAME")

    for channels in (1, 2, 20):
        actual = tf.nn.conv2d(np.tile(grey, channels), inflated(kernel, channels), 1, "SAME")
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-4)


def test_a_temporal_network_starts_from_a_spatial_run_of_ours(spatial_run: Path) -> None:
    network = build_network("small", Pixels("flow", 20, 32), 9)

    said = pretrain(network, "small", str(spatial_run))

    source = keras.saving.load_model(spatial_run)
    first, *others = weighted_layers(network)
    np.testing.assert_allclose(
        first.kernel[:, :, 7], source.layers[2].kernel.numpy().mean(axis=2) * 3 / 20, rtol=1e-5, atol=1e-8
    )
    for ours, theirs in zip(others[:-1], weighted_layers(source)[1:-1], strict=True):
        for weight, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)
    assert "averaged over 3 and repeated over 20 channels" in said
    assert said.endswith("random: logits.")


def test_the_same_kind_of_input_takes_weights_as_they_are(spatial_run: Path) -> None:
    network = build_network("small", Pixels("rgb", 3, 32), 4)

    said = pretrain(network, "small", str(spatial_run))

    clips = _clips(network)
    source = keras.saving.load_model(spatial_run)
    features = keras.Model(source.input, source.get_layer("features").output)
    np.testing.assert_array_equal(
        keras.Model(network.input, network.get_layer("features").output)(clips), features(clips)
    )
    assert "averaged" not in said


def test_differences_get_averaged_kernels_even_when_there_are_three(spatial_run: Path) -> None:
    network = build_network("small", Pixels("rgb", 6, 32, differences=True), 4)

    said = pretrain(network, "small", str(spatial_run), average_first=True)

    kernel = weighted_layers(network)[0].kernel.numpy()
    np.testing.assert_array_equal(kernel[:, :, 0], kernel[:, :, 2])
    assert "averaged over 3 and repeated over 3 channels" in said


def test_weights_in_h5_of_the_same_network_are_read(tmp_path: Path) -> None:
    network = _random_network("small", Pixels("rgb", 3, 32), num_classes=4)
    network.save_weights(tmp_path / "own.weights.h5")

    other = build_network("small", Pixels("rgb", 3, 32), 4)
    pretrain(other, "small", str(tmp_path / "own.weights.h5"))

    clips = _clips(network)
    features = [keras.Model(each.input, each.get_layer("features").output)(clips) for each in (network, other)]
    np.testing.assert_array_equal(*features)


def test_weights_of_another_network_are_refused_by_name(spatial_run: Path, tmp_path: Path) -> None:
    network = build_network("resnet18", Pixels("rgb", 3, 32), 4)

    with pytest.raises(ValueError, match=r"does not fit resnet18_rgb: conv1 has shapes .*7, 7, 3, 64.*conv2d.*5, 5"):
        pretrain(network, "resnet18", str(spatial_run))

    _random_network("small", Pixels("rgb", 3, 32), num_classes=4).save_weights(tmp_path / "small.weights.h5")
    with pytest.raises(ValueError, match=r"does not fit resnet18: .*resnet18 has conv1"):
        pretrain(network, "resnet18", str(tmp_path / "small.weights.h5"))


def test_a_file_that_is_not_there_or_not_weights_is_named(tmp_path: Path) -> None:
    network = build_network("small", Pixels("rgb", 3, 32), 4)

    with pytest.raises(FileNotFoundError, match=r"no file of weights .*best\.h5.*--weights none"):
        pretrain(network, "small", str(tmp_path / "best.h5"))
    for name in ("broken.keras", "broken.weights.h5", "broken.pth"):
        (tmp_path / name).write_bytes(b"nothing of use")
        with pytest.raises(ValueError, match=name):
            pretrain(network, "small", str(tmp_path / name))


def test_imagenet_is_refused_where_keras_has_none() -> None:
    network = build_network("small", Pixels("rgb", 3, 32), 4)

    with pytest.raises(ValueError, match=r"no ImageNet weights for small\. Pass --weights FILE"):
        pretrain(network, "small", "imagenet")


def test_without_a_download_one_message_says_which_file_to_put_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Exception("URL fetch failure on https://host/keras/vgg16_notop.h5: None -- [Errno -2] Name unknown")

    monkeypatch.setattr(keras.applications, "MobileNetV2", fail)
    for place in ("TWO_STREAM_WEIGHTS", "KERAS_HOME"):  # Nor does the file lie here already.
        monkeypatch.setenv(place, str(tmp_path))
    network = build_network("small", Pixels("rgb", 3, 32), 4)

    with pytest.raises(
        FileNotFoundError,
        match=r"Put vgg16_notop\.h5 \(from https://host/.*\) into the folder weights of .*TWO_STREAM_WEIGHTS",
    ):
        pretrain(network, "mobilenet_v2", "imagenet")


# With random weights, these many blocks turn rounding into large differences; until here they don't.
_SURE_UNTIL = {"efficientnet_v2_s": "block4a_se_reduce"}


@pytest.mark.slow
# The network for spread flow takes flow alone, and has no weights for other channels to be of.
@pytest.mark.parametrize("name", [name for name, parts in BACKBONES.items() if parts.in_time != "flow"])
def test_every_network_takes_the_weights_of_its_like_for_other_channels(name: str, tmp_path: Path) -> None:
    size = max(32, BACKBONES[name].smallest)
    source = _random_network(name, Pixels("rgb", 3, size), num_classes=4)
    source.save(tmp_path / "source.keras")
    network = build_network(name, Pixels("flow", 4, size, subtract_mean=False), 5)

    said = pretrain(network, name, str(tmp_path / "source.keras"))

    assert "repeated over 4 channels" in said
    # A grey photograph, seen as flow of the same levels, looks to every layer as before; where a temporal network is
    # made otherwise, as the paper's, which normalises once, to the layers until there.
    until = "conv1" if BACKBONES[name].build_for_flow else _SURE_UNTIL.get(name, "features")
    first, last = (keras.Model(_first_of(net), net.get_layer(until).output) for net in (source, network))
    grey = np.random.default_rng(0).normal(size=(1, *first.input_shape[1:3], 1)).astype(np.float32)
    expected = first(np.tile(grey, first.input_shape[-1]), training=False)
    np.testing.assert_allclose(last(np.tile(grey, 4), training=False), expected, rtol=1e-3, atol=1e-4)


def test_real_weights_know_a_hot_dog_through_our_decode_and_scaling(shared_data: Path) -> None:
    network = build_network("mobilenet_v2", Pixels("rgb", 3, 224), 1000)
    folder = shared_data / "weights"

    said = pretrain(network, "mobilenet_v2", str(folder / "mobilenet_v2_1.0_224_imagenet.weights.h5"), keep_head=True)

    photo = decode.decode_image((folder / "hot_dog.jpg").read_bytes(), channels=3).numpy()
    photo = cv2.resize(photo, (341, 256), interpolation=cv2.INTER_AREA)  # As frames are prepared.
    top, left = ((side - 224) // 2 for side in photo.shape[:2])
    clip = photo[None, top : top + 224, left : left + 224]
    scores = tf.nn.softmax(network(clip, training=False))[0].numpy()
    labels = (folder / "imagenet_labels.txt").read_text().splitlines()
    assert "hotdog" in labels[scores.argmax() + len(labels) - 1000]
    assert scores.max() > 0.9
    assert said.endswith("the class scores too.")


def test_weights_of_a_network_that_is_not_ours_to_build_are_refused(shared_data: Path) -> None:
    network = build_network("mobilenet_v2", Pixels("rgb", 3, 32), 4)

    with pytest.raises(ValueError, match=r"squeezenet.* does not fit mobilenet_v2: .*fire2"):
        pretrain(network, "mobilenet_v2", str(shared_data / "weights" / "squeezenet_1.1_notop.h5"))


def test_weights_of_pytorch_find_their_layers_in_the_order_of_our_axes(tmp_path: Path) -> None:
    arrays = resnet_arrays(18)
    network = build_network("resnet18", Pixels("rgb", 3, 32), 4, variant=Variant("torch"))

    said = pretrain(network, "resnet18", str(write_torch(tmp_path / "resnet18.pth", arrays)))

    kernel = network.get_layer("conv3_block1_2").kernel.numpy()
    np.testing.assert_array_equal(kernel, arrays["layer2.0.conv2.weight"].transpose(2, 3, 1, 0))
    statistics = [weight.numpy() for weight in network.get_layer("conv3_block1_shortcut_bn").weights]
    parts = ("weight", "bias", "running_mean", "running_var")
    np.testing.assert_array_equal(statistics, [arrays[f"layer2.0.downsample.1.{part}"] for part in parts])
    assert said.endswith("resnet18.pth; random: logits.")


def test_flow_takes_weights_of_frames_of_pytorch_too(tmp_path: Path) -> None:
    arrays = resnet_arrays(18)
    network = build_network("resnet18", Pixels("flow", 20, 32), 4, variant=Variant("torch"))

    said = pretrain(network, "resnet18", str(write_torch(tmp_path / "resnet18.pth", arrays)))

    expected = arrays["conv1.weight"].mean(axis=1).transpose(1, 2, 0) * 3 / 20
    np.testing.assert_allclose(network.get_layer("conv1").kernel.numpy()[:, :, 7], expected, rtol=1e-5, atol=1e-7)
    assert "averaged over 3 and repeated over 20 channels" in said


def test_the_first_field_is_put_first_where_its_publishers_put_it_last(tmp_path: Path) -> None:
    arrays = {
        name.replace("conv1.weight", "conv1_custom.weight") if "layer" not in name else name: array
        for name, array in resnet_arrays(18, channels=20).items()
    }
    path = str(write_torch(tmp_path / "motion.pth.tar", {"state_dict": arrays}, "rows"))
    network = build_network("resnet18", Pixels("flow", 20, 32), 4, variant=Variant(origin_of_weights(path)))

    pretrain(network, "resnet18", path)

    kernel, stored = network.get_layer("conv1").kernel.numpy(), arrays["conv1_custom.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(kernel[:, :, :2], stored[:, :, -2:])
    np.testing.assert_array_equal(kernel[:, :, 2:], stored[:, :, :-2])


def test_what_does_not_fit_in_a_file_of_pytorch_is_named(tmp_path: Path) -> None:
    arrays = resnet_arrays(18)
    network = build_network("resnet18", Pixels("rgb", 3, 32), 4, variant=Variant("torch"))
    wrong = {
        r"it has layer1\.0\.conv3\.weight, but the network has no layer for it": {
            "layer1.0.conv3.weight": np.zeros(1, "f4")
        },
        r"it has no weights of conv5_block2_2\b": {"layer4.1.conv2.weight": None},
        r"it has no bias beside layer4\.1\.bn2\.weight": {"layer4.1.bn2.bias": None},
        r"conv2_block1_1 has shapes .*\(3, 3, 64, 64\).*there .*\(1, 3, 64, 64\)": {
            "layer1.0.conv1.weight": np.zeros((64, 64, 1, 3), "f4")
        },
    }
    for said, change in wrong.items():
        changed = {name: array for name, array in {**arrays, **change}.items() if array is not None}
        with pytest.raises(ValueError, match=f"does not fit resnet18.*{said}"):
            pretrain(network, "resnet18", str(write_torch(tmp_path / "a.pth", changed)))


def test_networks_see_pixels_as_where_their_weights_are_from() -> None:
    red = np.zeros((1, 32, 32, 3), np.uint8)
    red[..., 0] = 255
    still, bound = (np.full((1, 32, 32, 2), level, np.uint8) for level in (128, 255))

    seen = {}
    for origin, clip in (
        ("tsn", red),
        ("torch", red),
        ("tsn-flow", bound),
        ("torch-flow", bound),
        ("unit-flow", still),
    ):
        pixels = Pixels("flow" if "flow" in origin else "rgb", clip.shape[-1], 32, subtract_mean=False)
        network = build_network("resnet18", pixels, 4, variant=Variant(origin))
        first = keras.Model(network.input, weighted_layers(network)[0].input)
        seen[origin] = first(clip)[0, 16, 16].numpy()

    # Blue first, less the means of Caffe's networks; or by mean and deviation.
    np.testing.assert_allclose(seen["tsn"], [-104, -117, 255 - 128], atol=1e-4)
    np.testing.assert_allclose(seen["torch"], [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225], atol=1e-4)
    np.testing.assert_allclose(seen["tsn-flow"], 127.5, atol=1e-4)
    np.testing.assert_allclose(seen["torch-flow"], 0.5 / 0.226, atol=1e-4)
    np.testing.assert_allclose(seen["unit-flow"], 0.5, atol=1e-6)


def test_a_model_remembers_whose_weights_it_started_from(roots: dict[str, Path], tmp_path: Path) -> None:
    path = write_torch(tmp_path / "resnet50.pth", {"conv1.weight": np.zeros((64, 3, 7, 7), "f4")})
    config = TrainConfig(weights=str(path), backbone="resnet50", crop_size=32)
    dataset = open_dataset("ucf101", roots["ucf101"])

    card = card_of("spatial", config, dataset, Input())
    save_model(build_network("resnet18", Pixels("rgb", 3, 32), 2), card, tmp_path / "model.keras")

    again = variant_of(dataclasses.replace(config, weights=str(tmp_path / "model.keras")))
    assert again == variant_of(config) == Variant("torch")
    assert not build_network("resnet50", Pixels("rgb", 3, 32), 2, variant=again).get_layer("conv1").use_bias


def _random_network(backbone: str, pixels: Pixels, num_classes: int) -> keras.Model:
    network = build_network(backbone, pixels, num_classes)
    random = np.random.default_rng(0)
    for layer in weighted_layers(network):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return network


def _clips(network: keras.Model) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (2, *network.input_shape[1:]), dtype=np.uint8)


def _first_of(network: keras.Model) -> keras.KerasTensor:
    """Returns what the first layer with weights sees; it may be a network within."""
    steps = network.operations
    place = next(place for place, step in enumerate(steps) if getattr(step, "weights", []))
    return steps[place - 1].output
