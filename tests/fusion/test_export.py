import json

import numpy as np
import pytest

from fusion.export import NEEDS, main
from tests.makers.models import CLASSES, make_video


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("videos") / "clip.avi")


def named(models):
    return [f"--{name}={path}" for name, path in models.items()]


@pytest.mark.parametrize(
    "kind", ["keras", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("savedmodel", "onnx", "litert"))]
)
def test_every_format_gives_the_answers_of_the_keras_models_and_knows_its_labels(kind, models, video, tmp_path):
    for package in NEEDS[kind]:
        pytest.importorskip(package, reason="needs pip install -r requirements-export.txt")
    from fusion import TwoStream
    from fusion.exporting.formats import squares
    from fusion.exporting.one_model import FORMATS, labels_in, opened, text_in

    main(
        [
            *named(models),
            "--format",
            kind,
            "--out",
            str(tmp_path),
            "--check",
            str(video),
            "--json",
            f"{tmp_path}/a.json",
        ]
    )

    written = tmp_path / FORMATS[kind]
    two_stream = TwoStream.load(**models)
    clips = squares(two_stream, video)
    answers = opened(kind, written)({name: clip[:2] for name, clip in clips.items()})
    assert labels_in(kind, written) == CLASSES
    assert json.loads(text_in(kind, written, "fusion.json"))["chosen"] == "average"
    assert set(json.loads(text_in(kind, written, "streams.json"))) == {"spatial", "temporal"}
    assert set(answers) == {"spatial", "temporal", "fused"}
    np.testing.assert_allclose(answers["fused"], (answers["spatial"] + answers["temporal"]) / 2, atol=1e-5)
    (found,) = json.loads((tmp_path / "a.json").read_text())
    assert found["difference"] <= 1e-4 and found["milliseconds"] > 0 and found["megabytes"] > 0
    assert {path.name for path in tmp_path.iterdir()} == {written.name, "a.json"}


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
