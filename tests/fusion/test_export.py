import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fusion.export import NEEDS, main
from fusion.exporting.in_order import put_in_order
from fusion.methods.kept import Doubt, Fusion, KeptFusions
from fusion.prediction.exported_texts import labels_in
from fusion.prediction.hub_address import local
from tests.makers.hub import hub_of
from tests.makers.models import CLASSES, FLOW, make_video


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("videos") / "clip.avi")


def named(models):
    return [f"--{name}={path}" for name, path in models.items()]


KINDS = [
    "keras",
    *(
        pytest.param(kind, marks=pytest.mark.slow)
        for kind in ("savedmodel", "onnx", "onnx-float16", "litert", "litert-float16", "litert-int8")
    ),
]
DOUBT = Doubt(below=0.4, kept=0.95, videos=20)


@pytest.fixture(scope="module")
def fusion_file(models, tmp_path_factory):
    """A file of a fusion that has learnt weights and a threshold."""
    from streams.runs.model_file import file_hash

    fusion = Fusion("weighted-logits", ("spatial", "temporal"), {"weights": np.array([1.0, 1.5])}, doubt=DOUBT)
    hashes = {name: file_hash(path) for name, path in models.items()}
    path = tmp_path_factory.mktemp("fusion") / "fusion.json"
    KeptFusions("weighted-logits", CLASSES, hashes, {"weighted-logits": fusion}).write(path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_answers_of_the_keras_models_and_carries_what_they_need(
    kind, models, video, fusion_file, tmp_path
):
    for package in NEEDS[kind]:
        pytest.importorskip(package, reason="needs pip install -r requirements-export.txt")
    from fusion import TwoStream
    from fusion.exporting.formats import squares
    from fusion.exporting.one_model import FORMATS
    from fusion.prediction.exported import opened

    words = ["--format", kind, "--out", tmp_path, "--check", video, "--json", tmp_path / "a.json"]
    main([*named(models), *map(str, [*words, "--fusion", fusion_file, "--calibrate", video])])

    written, tolerance = tmp_path / FORMATS[kind].file, FORMATS[kind].tolerance
    one, two = TwoStream.load(model=written), TwoStream.load(**models, fusion=str(fusion_file))
    clips = squares(two, video)
    answers = opened(written)({name: clip[:2] for name, clip in clips.items()})
    assert labels_in(written) == CLASSES
    assert set(answers) == {"spatial", "temporal", "fused", "spatial_logits", "temporal_logits"}
    assert one.cards == two.cards and one.making == two.making
    assert one.fusion.method == "weighted-logits" and one.fusion.doubt == DOUBT
    expected, found = (each.predict(video, views=3).probabilities for each in (two, one))
    assert list(found) == list(expected)
    for stream, shares in expected.items():
        np.testing.assert_allclose(found[stream], shares, atol=tolerance)
    (row,) = json.loads((tmp_path / "a.json").read_text())
    assert row["difference"] <= tolerance and row["milliseconds"] > 0 and row["megabytes"] > 0
    assert {path.name for path in tmp_path.iterdir()} == {written.name, "a.json"}


@pytest.fixture(scope="module")
def spread(tmp_path_factory):
    """Networks of the recipe `own`, which look at a whole video at once, with random weights."""
    import keras

    from streams.networks.build import build_network
    from streams.networks.preprocessing import Pixels
    from streams.runs.model_file import ModelCard, save_model

    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("spread")
    kinds = {
        "spatial": ("mobilenet", Pixels("rgb", 12, 32, num_frames=4), "rgb_spread", {}),
        "temporal": ("motion", Pixels("flow", 12, 24, num_frames=6), "flow_spread", FLOW),
    }
    for stream, (backbone, pixels, kind, flow) in kinds.items():
        network = build_network(backbone, pixels, len(CLASSES))
        card = ModelCard(stream, kind, pixels.num_frames, CLASSES, "made", 1, "folds", flow, shown="whole")
        save_model(network, card, folder / f"{stream}.keras")
    return {stream: folder / f"{stream}.keras" for stream in kinds}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["litert", "litert-float16", "litert-int8", "onnx"])
def test_networks_that_look_at_a_whole_video_are_exported_too(kind, spread, video, tmp_path):
    for package in NEEDS[kind]:
        pytest.importorskip(package, reason="needs pip install -r requirements-export.txt")
    from fusion import TwoStream
    from fusion.exporting.one_model import FORMATS

    main(
        [*named(spread), "--format", kind, "--out", str(tmp_path), *map(str, ("--check", video, "--calibrate", video))]
    )

    expected = TwoStream.load(**spread).predict(video).probabilities
    found = TwoStream.load(model=tmp_path / FORMATS[kind].file).predict(video).probabilities
    for stream, shares in expected.items():
        np.testing.assert_allclose(found[stream], shares, atol=FORMATS[kind].tolerance)


def test_the_one_file_predicts_as_the_two_do(models, video, tmp_path):
    from fusion import TwoStream

    main([*named(models), "--out", str(tmp_path)])
    one, two = TwoStream.load(model=tmp_path / "two_stream.keras"), TwoStream.load(**models)

    expected = two.predict(video, views=3).probabilities
    found = one.predict(video, views=3).probabilities

    assert list(found) == list(expected)
    for stream, shares in expected.items():
        np.testing.assert_allclose(found[stream], shares, atol=1e-6)


def test_one_stream_is_exported_alone(models, tmp_path):
    from fusion import TwoStream

    main(["--temporal", str(models["temporal"]), "--out", str(tmp_path)])

    assert list(TwoStream.load(model=tmp_path / "two_stream.keras").cards) == ["temporal"]


def test_a_file_of_one_stream_is_not_taken_for_both(models, video):
    from fusion.predict import main as predict

    with pytest.raises(ValueError, match=r"is neither a model .* --spatial or --temporal"):
        predict([str(video), "--model", str(models["spatial"])])


def test_what_a_format_needs_is_said_before_any_work(monkeypatch, models):
    monkeypatch.setitem(NEEDS, "onnx", ("surely_not_installed",))

    with pytest.raises(ImportError, match=r"needs surely_not_installed.*pip install -r requirements-export.txt"):
        main([*named(models), "--format", "onnx"])


def test_what_another_runtime_runs_is_not_turned_into_another_format(tmp_path):
    (tmp_path / "a.onnx").touch()

    with pytest.raises(ValueError, match=r"a\.onnx is a model for another runtime.*Name the \.keras files"):
        main(["--model", str(tmp_path / "a.onnx")])


def test_answers_are_compared_on_the_first_videos_of_a_folder_that_can_be_read(models, video, tmp_path, capsys):
    folder = tmp_path / "videos"
    for place in ("b", "c", "d"):
        (folder / place).mkdir(parents=True)
        shutil.copy(video, folder / place / "clip.avi")
    (folder / "a").mkdir()
    (folder / "a" / "broken.avi").write_bytes(b"RIFF")
    (folder / "a" / "notes.md").write_text("Clips of Monday.")
    (folder / "b" / "as pictures").mkdir()
    for place in range(3):
        cv2.imwrite(str(folder / "b" / "as pictures" / f"{place}.png"), np.full((64, 64, 3), 80 * place, np.uint8))

    main([*named(models), "--out", str(tmp_path), "--check", str(folder)])

    assert f"Checked on 3 videos, the first of which is {folder / 'b' / 'as pictures'}" in capsys.readouterr().out


def test_8_bits_are_for_convolutions_but_neither_for_the_first_nor_for_the_last_layers_nor_for_logarithms():
    import keras
    import tensorflow as tf

    from fusion.exporting.int8 import results_in_float

    x = inputs = keras.Input((8, 8, 2), batch_size=1, name="flow")
    for number in range(10):
        x = keras.layers.Conv2D(2, 3, padding="same", name=f"conv{number}")(x)
    logarithms = keras.ops.log(keras.ops.mean(x * x, axis=(1, 2)) + 1)
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(logarithms))
    names = results_in_float(tf.lite.TFLiteConverter.from_keras_model(model).convert())

    result = "StatefulPartitionedCall"  # What the converter calls the output of the last layer.
    layers = [*(f"conv{number}" for number in range(10)), "Log", result]
    assert [each for each in layers if any(each in name for name in names)] == ["conv0", "Log", result]


def test_int8_asks_for_clips_to_find_its_ranges_on(models, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*named(models), "--format", "litert-int8"])

    assert ended.value.code == 2
    assert "litert-int8 needs --calibrate VIDEO" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.onnx", b"not a model", "can't be read as an ONNX model"),
        ("a.tflite", b"not a model", "not a readable archive"),
        ("a.keras", b"not a model", "not a readable archive"),
    ],
)
def test_a_damaged_export_is_named(name, content, said, tmp_path):
    if name.endswith("onnx"):
        pytest.importorskip("onnx", reason="needs pip install -r requirements-export.txt")
    from fusion import TwoStream

    (tmp_path / name).write_bytes(content)

    with pytest.raises(ValueError, match=said) as refused:
        TwoStream.load(model=tmp_path / name)

    assert str(tmp_path / name) in str(refused.value)


@pytest.fixture(scope="module")
def runs(models, tmp_path_factory):
    """A folder of runs with these models, the file of their fusion, and the report of their evaluation."""
    import shutil

    from streams.runs.model_file import file_hash

    folder = tmp_path_factory.mktemp("runs")
    for name, path in models.items():
        (folder / "made" / name / "split1").mkdir(parents=True)
        shutil.copy(path, folder / "made" / name / "split1" / "model.keras")
    evaluation = folder / "made" / "fusion" / "split1"
    average = Fusion("average", ("spatial", "temporal"), doubt=DOUBT)
    hashes = {name: file_hash(path) for name, path in models.items()}
    KeptFusions("average", CLASSES, hashes, {"average": average}).write(evaluation / "fusion.json")
    report = {
        "num_videos": 40,
        "num_groups": 8,
        "video_accuracy": {"spatial": 0.5, "temporal": 0.625, "average": 0.75},
        "interval": {"spatial": [0.4, 0.6], "temporal": [0.5, 0.75], "average": [0.65, 0.85]},
        "baselines": {"commonest_class": "Jump", "commonest_share": 0.4},
        "evaluated": {},
    }
    (evaluation / "report.json").write_text(json.dumps(report))
    return folder


@pytest.fixture(scope="module")
def hub_folder(runs, tmp_path_factory):
    """The folder for a hub, of these models."""
    out = tmp_path_factory.mktemp("hub")
    main(["--dataset", "made", "--runs", str(runs), "--format", "hub", "--out", str(out), "--licence", "cc-by-4.0"])
    return out / "two_stream_hub"


def test_a_folder_for_the_hub_has_everything_and_a_card_that_says_how_it_was_judged(hub_folder, runs, video):
    from fusion import TwoStream

    names = {path.name for path in hub_folder.iterdir()}
    card = (hub_folder / "README.md").read_text()
    assert names >= {"spatial.keras", "temporal.keras", "fusion.json", "streams.json", "labels.txt", "config.json"}
    assert card.startswith("---\nlicense: cc-by-4.0\nlibrary_name: keras\n")
    for words in ("| fused by average | 75.0 % | 65.0 to 85.0 |", "40 test videos of 8 groups", "Jump, Run, Sit"):
        assert words in card
    for title in ("## Data", "## Evaluation", "## Intended use", "## Limits", "## Licence", "## Run it"):
        assert title in card
    assert "below 0.400, which 95 % of 20 held-out videos reach" in card
    assert str(runs) not in "".join(
        path.read_text() for path in hub_folder.iterdir() if path.suffix in (".json", ".md")
    )
    expected = TwoStream.load(runs / "made").predict(video, views=3).probabilities["fused"]
    found = TwoStream.load(model=hub_folder)
    np.testing.assert_allclose(found.predict(video, views=3).probabilities["fused"], expected, atol=1e-6)
    assert found.fusion.doubt == DOUBT


CLIENT = """
import sys, keras, numpy as np
from fusion import TwoStream
model = keras.saving.load_model("hf://me/actions")
answers = model({each.name: np.zeros((1, *each.shape[1:]), np.uint8) for each in model.inputs})
print(sorted(answers), np.asarray(answers["fused"]).sum().round(3))
print(TwoStream.load("hf://me/actions").predict(sys.argv[1], views=3).top(3))
"""


@pytest.mark.slow
def test_keras_and_we_open_what_a_hub_serves(hub_folder, video, tmp_path):
    pytest.importorskip("huggingface_hub", reason="needs pip install -r requirements-export.txt")
    from fusion import TwoStream

    with hub_of(hub_folder, "me/actions") as (address, asked):
        project = str(Path(__file__).resolve().parents[2])
        client = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "PYTHONPATH": project}
        words = [sys.executable, "-c", CLIENT, str(video)]
        done = subprocess.run(words, env=client, cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "['fused', 'spatial', 'spatial_logits', 'temporal', 'temporal_logits'] 1.0"
    assert second == str(TwoStream.load(model=hub_folder).predict(video, views=3).top(3))
    assert any(path.endswith("spatial.keras") for path in asked)


def onnx_graph(numbers, *, shuffled=False):
    """A small graph as tf2onnx may make it: with these numbers in names, and nodes and constants in any order."""
    from onnx import TensorProto, helper

    first, second, third = numbers
    scale, axes = f"const_{third}", f"const_axes__{second}"
    nodes = [
        helper.make_node("Mul", ["rgb", scale], ["net/mul:0"], "net/mul"),
        helper.make_node("Transpose", ["net/mul:0"], [f"net/conv__{first}:0"], f"net/conv__{first}", perm=[1, 0]),
        helper.make_node("Squeeze", [f"net/conv__{first}:0", axes], [f"net/Softmax_{third}:0"], f"net/Softmax_{third}"),
        helper.make_node("Mul", [f"net/Softmax_{third}:0", scale], ["fused"], "net/last"),
    ]
    constants = [
        helper.make_tensor(scale, TensorProto.FLOAT, [1], [2.0]),
        helper.make_tensor(axes, TensorProto.INT64, [1], [0]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1]) for name in ("rgb", "fused")]
    order = -1 if shuffled else 1
    return helper.make_graph(nodes[::order], "net", ends[:1], ends[1:], constants[::order])


def test_equal_onnx_graphs_become_equal_bytes_however_they_were_numbered():
    onnx = pytest.importorskip("onnx", reason="needs pip install -r requirements-export.txt")
    graphs = [onnx_graph((14, 22, 3)), onnx_graph((25, 7, 1), shuffled=True)]

    for graph in graphs:
        put_in_order(graph)
        onnx.checker.check_graph(graph)

    assert graphs[0].SerializeToString() == graphs[1].SerializeToString()
    assert [node.op_type for node in graphs[0].node] == ["Mul", "Transpose", "Squeeze", "Mul"]
    assert [each.name for each in (*graphs[0].input, *graphs[0].output)] == ["rgb", "fused"]
    assert {each.name for each in graphs[0].initializer} == {"net/mul/1", "net/Softmax/1"}


def test_without_a_connection_one_message_says_so(tmp_path):
    pytest.importorskip("huggingface_hub", reason="needs pip install -r requirements-export.txt")
    project = Path(__file__).resolve().parents[2]
    nobody = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}

    words = [sys.executable, "fusion/predict.py", "clip.mp4", "--model", "hf://me/actions"]
    done = subprocess.run(words, cwd=project, env=nobody, capture_output=True, text=True)

    assert done.returncode == 1
    assert "Error: hf://me/actions can't be downloaded: " in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)

    with pytest.raises(ImportError, match=r"hf://me/actions needs huggingface_hub: pip install -r requirements-exp"):
        local(Path("hf://me/actions"))
    with pytest.raises(ValueError, match="Write it as hf://OWNER/NAME"):
        local("hf://me")
