"""Both streams as one network."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from streams.networks.both_streams import FUSIONS, two_stream_network
from streams.networks.build import build_network
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
    with pytest.raises(ValueError, match=r"Received \(4, 4\) and \(8, 8\)"):
        larger = build_network("small", Pixels("flow", 4, 64), 5)
        two_stream_network(5, spatial=streams["spatial"], temporal=larger, fusion="conv")


def _scores(streams: dict[str, keras.Model], clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    return streams["spatial"](clips["rgb"]).numpy(), streams["temporal"](clips["flow"]).numpy()
