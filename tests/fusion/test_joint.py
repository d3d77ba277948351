"""A network of both streams, trained as one: scored, fused, predicted, watched and exported like two."""

import json

import numpy as np
import pytest

from fusion.evaluate import main as evaluate
from fusion.predict import main as predict
from tests.makers.models import CLASSES, make_joint_model, make_model, make_video


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    made = {stream: make_model(folder / f"{stream}.keras", stream) for stream in ("spatial", "temporal")}
    return made | {kind: make_joint_model(folder / f"{kind}.keras", **made, fusion=kind) for kind in ("conv", "logits")}


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("video") / "clip.avi", 30)


@pytest.mark.parametrize("hop", [None, 0.2])
def test_it_looks_at_the_views_of_both_streams_side_by_side(files, video, hop):
    from fusion import TwoStream

    streams = {name: files[name] for name in ("spatial", "temporal")}
    apart = TwoStream.load(**streams).predict(video, views=9, hop=hop)
    joint = TwoStream.load(model=files["logits"]).predict(video, views=9, hop=hop)

    both = list(apart.view_logits.values())
    count = min(map(len, both))
    np.testing.assert_allclose(joint.view_logits["fused"], (both[0][:count] + both[1][:count]) / 2, atol=1e-4)
    np.testing.assert_allclose(joint.view_seconds["fused"], apart.view_seconds["temporal"][:count])


def test_a_network_whose_maps_are_joined_predicts_from_the_command_line(files, video, tmp_path, capsys):
    out = tmp_path / "line.png"

    predict([str(video), "--model", str(files["conv"]), "--json", "--timeline", str(out), "--top", "3"])

    (found,) = json.loads(capsys.readouterr().out)["predictions"]
    assert {row["class"] for row in found["top"]["fused"]} == set(CLASSES)
    assert list(found["top"]) == list(found["timeline"]) == ["fused"]
    assert out.exists()


def test_a_live_source_is_watched_by_one_network(files, video, capsys):
    predict(["--camera", str(video), "--model", str(files["conv"]), "--json"])

    assert len(json.loads(capsys.readouterr().out)[0]["top"]) == 3


def test_it_is_exported_and_read_again(files, video, tmp_path):
    from fusion import TwoStream
    from fusion.export import main as export

    export(["--model", str(files["conv"]), "--out", str(tmp_path), "--check", str(video)])

    first, again = (
        TwoStream.load(model=path).predict(video) for path in (files["conv"], tmp_path / "two_stream.keras")
    )
    np.testing.assert_allclose(first.view_logits["fused"], again.view_logits["fused"], atol=1e-5)


def test_it_is_not_taken_for_one_stream(files, video):
    with pytest.raises(ValueError, match=r"network of both streams. Pass it as --model"):
        predict([str(video), "--spatial", str(files["conv"])])


def test_its_scores_join_the_table(files, tmp_path, capsys):
    from data.prepare import main as prepare
    from tests.makers.models import make_video

    rows = ["video,label,group,split"]
    for number in range(6):
        make_video(tmp_path / "own/videos" / f"clip{number}.avi", seed=number)
        rows.append(f"clip{number}.avi,{CLASSES[number % 3]},g{number},{'test' if number < 3 else 'train'}")
    (tmp_path / "own/videos/videos.csv").write_text("\n".join(rows))
    prepare(["folder", "--root", str(tmp_path / "own"), "--method", "dis"])
    named = [f"--{name}={files[name]}" for name in ("spatial", "temporal")]
    command = ["--dataset", "folder", "--root", str(tmp_path / "own"), "--runs", str(tmp_path / "runs"), *named]
    command += ["--views", "3", "--crops", "10", "--method", "conv", "--method", "logits"]

    evaluate([*command, "--json", str(tmp_path / "without.json")])
    assert "Not fused by conv: there is no network of both streams" in " ".join(capsys.readouterr().out.split())
    evaluate([*command, "--two-stream", str(files["logits"]), "--json", str(tmp_path / "with.json")])

    without, found = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("without", "with"))
    assert list(without["missing"]) == ["conv"]
    # This one's fusion is the mean of the logits, so that both ways must decide alike.
    assert found["decisions"]["conv"] == found["decisions"]["logits"]
    assert found["joint"]["two_stream"]["protocol"] == "3x10"
