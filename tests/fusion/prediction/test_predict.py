import csv
import io
import json
import os
import struct
import subprocess
import sys
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.extraction.decoder import Bounds, read_frames, write_video
from data.extraction.video_files import VIDEO_EXTENSIONS
from data.store.description import Recipe
from fusion.predict import main
from fusion.prediction.as_prepared import KEPT_BYTES, PreparedVideo
from fusion.prediction.as_stored import joined
from fusion.prediction.named_videos import named_videos
from fusion.prediction.prediction import fused
from fusion.prediction.tables import Results
from fusion.prediction.views import Stopwatch, Wanted, video_views
from pipelines.inputs import Input
from tests.conftest import PROJECT
from tests.makers.models import CLASSES, make_model, make_video, moving_texture


@pytest.fixture(scope="module")
def two_stream(models):
    from fusion import TwoStream

    return TwoStream.load(**models)


@pytest.fixture
def video(tmp_path):
    return make_video(tmp_path / "v_Run_g01_c01.avi")


def prepared_views(video, root, clip, num_views, recipe):
    """The views of a video as evaluation reads them from prepared files."""
    from data.catalog import DataSet, Split, Video
    from data.extraction.one_video import Job, extract_video
    from data.store.index import index_path, with_counts, write_index
    from pipelines.clips import video_views

    made = Video(video.stem, "", ".avi", (0,), "g01")
    dataset = DataSet("made", root, CLASSES, {made.name: made}, {1: Split((made.name,), ())})
    recipe.keep(root)
    row = extract_video(Job(video, dataset.frame_folder(made), made.name, "", recipe))
    write_index(index_path(root), [row])
    dataset = with_counts(dataset)
    ((views, _),) = video_views(dataset, list(dataset.videos.values()), clip, num_views=num_views)
    return views.numpy()


KINDS = [
    ("rgb", 1),
    ("grey", 3),
    ("sg3i", 1),
    ("rgb_difference", 2),
    ("flow", 3),
    ("trajectory", 3),
    ("bidirectional", 4),
]


@pytest.mark.parametrize(("kind", "length"), KINDS)
@pytest.mark.parametrize(
    ("num_frames", "stride", "settings"),
    [(23, 1, {}), (23, 2, {"short_side": 40}), (3, 1, {"size": (60, 50)}), (19, 1, {"backward": True, "every": 2})],
)
def test_prediction_sees_the_very_pixels_of_prepared_data(tmp_path, kind, length, num_frames, stride, settings):
    from pipelines.inputs import Input
    from pipelines.sampling import view_starts

    video, recipe, clip = (
        make_video(tmp_path / "clip.avi", num_frames),
        Recipe(**settings),
        Input(kind, length, 1, stride),
    )
    expected = prepared_views(video, tmp_path / "made", clip, 7, recipe)

    making = Recipe.of(recipe.description())
    prepared = PreparedVideo(video, making)
    starts = view_starts(prepared.num_frames - clip.is_flow, clip.span, 7)
    seen = video_views(prepared.frames(), prepared.num_frames, {"a": Wanted(clip, starts)}, making, Stopwatch())

    np.testing.assert_array_equal(np.stack([view.pixels for view in seen]), expected)


def test_views_are_the_same_however_many_frames_are_decoded_at_once(two_stream, tmp_path):
    from pipelines.inputs import Input
    from pipelines.sampling import view_starts

    prepared = PreparedVideo(make_video(tmp_path / "clip.avi", 40), two_stream.making)
    wanted = {
        name: Wanted(clip, view_starts(prepared.num_frames - clip.is_flow, clip.span, 9))
        for name, clip in {"spatial": Input("rgb"), "temporal": Input("flow", 5)}.items()
    }

    def seen(at_once):
        views = video_views(prepared.frames(), 40, wanted, two_stream.making, Stopwatch(), at_once)
        return {(view.stream, view.number): view.pixels for view in views}

    many, few = seen(16), seen(5)

    assert len(many) == 18 and many.keys() == few.keys()
    for view, pixels in many.items():
        np.testing.assert_array_equal(few[view], pixels)


@pytest.mark.parametrize(("most_bytes", "is_read_again"), [(KEPT_BYTES, False), (0, True)])
def test_a_short_video_is_decoded_once_and_a_long_one_twice(video, monkeypatch, most_bytes, is_read_again):
    monkeypatch.setattr("fusion.prediction.as_prepared.KEPT_BYTES", most_bytes)
    frames, prepared = list(read_frames(video)), PreparedVideo(video, Recipe())

    if not is_read_again:
        video.unlink()

    np.testing.assert_array_equal(list(prepared.frames()), frames)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_clip_has_the_channels_of_its_items_in_their_order(channels):
    items = list(np.random.default_rng(0).integers(0, 256, (10, 6, 7, channels), np.uint8))

    clip = joined(items, Input("flow" if channels == 2 else "rgb", 10), Recipe())

    np.testing.assert_array_equal(clip, np.concatenate(items, axis=-1))


def test_a_video_far_larger_than_the_training_videos_is_shrunk_and_that_is_said(tmp_path):
    from fusion import TwoStream

    model = make_model(tmp_path / "spatial.keras", "spatial", frames={"usual_size": [64, 48]})
    video = make_video(tmp_path / "large.avi", 6, width=256, height=192)

    prediction = TwoStream.load(spatial=model).predict(video, views=2)

    assert prediction.notes == ("resized from 256x192 to 64x48, near the 64x48 of training",)


def test_fused_probabilities_are_the_average_of_both_streams(two_stream, video):
    prediction = two_stream.predict(video, views=3, crops=1)

    spatial, temporal, fused = prediction.probabilities.values()
    np.testing.assert_allclose(fused, (spatial + temporal) / 2)
    assert fused.sum() == pytest.approx(1)
    assert prediction.top(1)[0] == (CLASSES[fused.argmax()], pytest.approx(fused.max()))


def test_where_a_video_may_show_several_classes_each_has_a_probability_of_its_own(tmp_path, video):
    from fusion import TwoStream

    paths = {name: make_model(tmp_path / f"{name}.keras", name, multi_label=True) for name in ("spatial", "temporal")}

    prediction = TwoStream.load(**paths).predict(video, views=2)

    logits = [each.mean(axis=0) for each in prediction.view_logits.values()]
    expected = np.mean([1 / (1 + np.exp(-each)) for each in logits], axis=0)
    np.testing.assert_allclose(prediction.probabilities["fused"], expected, atol=1e-6)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_a_video(models, tmp_path):
    peaks = []
    for minutes in (2, 20):
        long = make_video(tmp_path / "long.avi", 60 * 12 * minutes)
        measured = (
            "import resource, sys; from fusion.predict import main; main(sys.argv[1:]); "
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        command = [sys.executable, "-c", measured, str(long), *(f"--{name}={path}" for name, path in models.items())]
        done = subprocess.run([*command, "--crops", "1"], cwd=PROJECT, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.splitlines()[-1]) / 1024)

    assert peaks[1] < peaks[0] + 50, f"megabytes: {peaks}"


def test_one_stream_predicts_alone(models, video, capsys):
    main([str(video), "--temporal", str(models["temporal"]), "--json", "--views", "3"])

    (prediction,) = json.loads(capsys.readouterr().out)["predictions"]
    assert list(prediction["top"]) == ["temporal"]


def test_one_broken_video_does_not_stop_the_others(models, tmp_path, capsys):
    for name in ("a", "c"):
        make_video(tmp_path / "videos" / f"{name}.avi")
    (tmp_path / "videos" / "b.avi").write_text("or not a video")
    written = tmp_path / "out.json"
    arguments = [str(tmp_path / "videos"), *(f"--{name}={path}" for name, path in models.items()), "--views", "2"]

    with pytest.raises(ValueError, match="1 of 3 videos"):
        main([*arguments, "--json", str(written), "--csv", str(tmp_path / "out.csv")])

    found = json.loads(written.read_text())
    assert [prediction["video"][-5:] for prediction in found["predictions"]] == ["a.avi", "c.avi"]
    assert [failure["video"][-5:] for failure in found["failed"]] == ["b.avi"]
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1 + 2 * 3 * len(CLASSES)


def test_a_video_may_come_through_standard_input(models, video, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(video.read_bytes())))

    main(["-", "--spatial", str(models["spatial"]), "--json"])

    assert json.loads(capsys.readouterr().out)["predictions"][0]["frames"] == 12


def break_video(kind, video, folder):
    broken = folder / "broken.avi"
    if kind == "text":
        broken.write_text("This is no video. " * 100)
    elif kind == "cut off":
        make_video(broken, 40)
        data = broken.read_bytes()
        broken.write_bytes(data[: len(data) // 2])
    elif kind == "one frame":
        make_video(broken, 1)
    elif kind == "sound only":
        with wave.open(str(broken), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(bytes(16000))
    elif kind == "empty":
        broken.touch()
    elif kind == "folder":
        broken.mkdir()
    return broken


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text", "can't be opened as a video"),
        ("cut off", "cut off"),
        ("sound only", "can't be opened as a video"),
        ("one frame", "flow needs at least 2 frames. Received 1."),
        ("empty", "is empty"),
        ("missing", "no such file"),
        ("folder", "has no video in it"),
    ],
)
def test_what_is_no_video_is_refused_by_name(models, video, tmp_path, kind, message):
    broken = break_video(kind, video, tmp_path)
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises((ValueError, OSError), match=message) as caught:
        main([str(broken), *(f"--{name}={path}" for name, path in models.items()), "--json", str(tmp_path / "x.json")])

    assert "broken.avi" in str(caught.value)
    assert [path for path in sorted(tmp_path.rglob("*")) if path.name != "x.json"] == before


def test_a_cut_off_video_is_predicted_on_request(models, video, tmp_path, capsys):
    broken = break_video("cut off", video, tmp_path)

    main([str(broken), "--spatial", str(models["spatial"]), "--partial", "--json"])

    (prediction,) = json.loads(capsys.readouterr().out)["predictions"]
    assert "of 40 frames could be decoded" in prediction["notes"][0]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"views": 0}, "at least 1 view. Received views=0"),
        ({"hop": 0.0}, "Received hop=0 seconds"),
        ({"crops": 3}, "3"),
    ],
)
def test_a_video_is_not_looked_at_nowhere(two_stream, video, where, message):
    with pytest.raises(ValueError, match=message):
        two_stream.predict(video, **where)


def test_a_video_outside_of_the_bounds_is_refused(two_stream, video):
    with pytest.raises(ValueError, match=r"plays for more than 0\.5 seconds"):
        two_stream.predict(video, bounds=Bounds(duration=0.5))
    with pytest.raises(ValueError, match=r"64x48, more than 0\.001 megapixels"):
        two_stream.predict(video, bounds=Bounds(pixels=1000))


@pytest.mark.filterwarnings("error")
def test_probabilities_of_very_sure_streams_are_zero_and_one_without_a_warning():
    shares = fused({"spatial": np.array([-1e4, 0, 1e4], np.float32)}, multi_label=True)

    np.testing.assert_array_equal(shares["spatial"], [0, 0.5, 1])


def test_models_in_each_others_place_are_refused(models, video):
    with pytest.raises(ValueError, match=r"is a temporal model .* Pass it as --temporal"):
        main([str(video), "--spatial", str(models["temporal"])])


@pytest.mark.parametrize("option", ["--spatial", "--model"])
def test_a_model_that_is_not_there_is_said_before_tensorflow_is_loaded(tmp_path, option):
    command = ["predict.py", "clip.avi", option, str(tmp_path / "none.keras")]
    code = "import atexit, runpy, sys; atexit.register(lambda: print('tensorflow' in sys.modules)); sys.argv = "

    done = subprocess.run(
        [sys.executable, "-c", f"{code}{command}; runpy.run_module('fusion.predict', run_name='__main__')"],
        cwd=PROJECT, capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 1
    assert f"There is no model {tmp_path}" in done.stderr
    assert done.stdout == "False\n"


def test_models_of_other_classes_are_refused_with_the_first_difference(models, video, tmp_path):
    other = make_model(tmp_path / "other.keras", "temporal", classes=("Jump", "Walk", "Sit"))

    with pytest.raises(ValueError, match="class 1, Run against Walk"):
        main([str(video), "--spatial", str(models["spatial"]), "--temporal", str(other)])


def test_without_models_it_is_said_how_to_get_some(video, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no trained models .* --spatial FILE"):
        main([str(video), "--runs", str(tmp_path)])


def test_the_timeline_says_what_happens_when(two_stream, models, tmp_path, capsys):
    video = make_video(tmp_path / "clip.avi", 48)
    named = [f"--{name}={path}" for name, path in models.items()]

    main([str(video), *named, "--timeline", str(tmp_path / "time.png"), "--window", "1", "--json"])

    (prediction,) = json.loads(capsys.readouterr().out)["predictions"]
    assert list(prediction["timeline"]) == ["spatial", "temporal", "fused"]
    for stretches in prediction["timeline"].values():
        borders = [stretch["start"] for stretch in stretches] + [stretches[-1]["end"]]
        assert borders[0] == 0 and borders[-1] == 4.0 and borders == sorted(borders)
    assert (tmp_path / "time.png").read_bytes().startswith(b"\x89PNG")


def test_segments_of_all_videos_are_written_and_judged(models, tmp_path, capsys):
    videos = [make_video(tmp_path / f"{name}.avi", 36, seed=seed) for seed, name in enumerate("ab")]
    named = [f"--{name}={path}" for name, path in models.items()]
    out = tmp_path / "segments.csv"

    main([*map(str, videos), *named, "--crops", "1", "--segments", str(out), "--window", "1"])
    again = ["--truth", str(out), "--window", "1", "--crops", "1", "--segments", str(tmp_path / "b.json")]
    main([*map(str, videos), *named, *again])

    rows = list(csv.DictReader(out.open()))
    assert {row["video"] for row in rows} == {"a.avi", "b.avi"}
    assert [float(row["end"]) for row in rows if row["video"] == "a.avi"][-1] == pytest.approx(3.0)
    assert "Mean average precision 100.0% at a temporal overlap of 0.5" in " ".join(capsys.readouterr().out.split())
    assert len(json.loads((tmp_path / "b.json").read_text())) == len(rows)
    with pytest.raises(ValueError, match=r"names the video 'a.avi', which is none of the 1 videos"):
        main([str(videos[1]), *named, *again])


@pytest.mark.parametrize(("extension", "num_frames"), [(".avi", 9), (".mp4", 9), (".avi", 1)])
def test_the_annotated_video_has_every_frame(models, tmp_path, extension, num_frames):
    video, saved = make_video(tmp_path / "clip.avi", num_frames), tmp_path / f"out{extension}"
    streams = ["spatial"] if num_frames == 1 else list(models)

    main([str(video), *(f"--{name}={models[name]}" for name in streams), "--save", str(saved), "--views", "2"])

    assert sum(1 for _ in read_frames(saved)) == num_frames


def test_another_flow_than_in_training_is_said(models, video, capsys):
    main([str(video), "--temporal", str(models["temporal"]), "--method", "farneback", "--views", "2"])

    assert "by farneback, but the temporal stream was trained on dis" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("extension", VIDEO_EXTENSIONS)
def test_a_folder_is_searched_for_all_kinds_of_videos_that_can_be_prepared(tmp_path, extension):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / f"clip{extension.upper()}").touch()
    (tmp_path / "notes.txt").touch()

    with named_videos([str(tmp_path)]) as found:
        assert [path.name for path in found] == [f"clip{extension.upper()}"]


def test_names_that_are_no_text_or_act_on_terminals_and_spreadsheets_are_predicted_and_escaped(
    models, tmp_path, capsys
):
    content = make_video(tmp_path / "clip.avi", 4).read_bytes()
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in (b"caf\xe9.avi", b"\x1b[31mred.avi", b"[bold]x[nothing].avi", b"plain.avi"):
        (folder / os.fsdecode(name)).write_bytes(content)
    written = [f"--{kind}={tmp_path / kind}" for kind in ("json", "csv")]

    main([str(folder), f"--spatial={models['spatial']}", "--views=1", "--crops=1", *written])

    names = [Path(each["video"]).name for each in json.loads((tmp_path / "json").read_text())["predictions"]]
    assert names == ["\\x1b[31mred.avi", "[bold]x[nothing].avi", "caf\\xe9.avi", "plain.avi"]
    assert "\x1b[31m" not in capsys.readouterr().out


def test_a_name_that_is_a_formula_is_text_in_a_csv(models, tmp_path, monkeypatch):
    make_video(tmp_path / "=cmd|' -C calc'!A0.avi", 4)
    monkeypatch.chdir(tmp_path)

    main(["=cmd|' -C calc'!A0.avi", f"--spatial={models['spatial']}", "--views=1", "--crops=1", "--csv=all.csv"])

    assert {line[:6] for line in (tmp_path / "all.csv").read_text().splitlines()[1:]} == {"'=cmd|"}


def test_videos_of_one_name_are_saved_beside_each_other(models, tmp_path):
    for folder in ("a", "b"):
        make_video(tmp_path / "videos" / folder / "clip.avi", 4)
    options = [f"--spatial={models['spatial']}", "--views=1", "--crops=1", "--timeline", str(tmp_path / "lines")]

    main([str(tmp_path / "videos"), *options, "--save", str(tmp_path / "saved")])

    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["a_clip.avi.webm", "b_clip.avi.webm"]
    assert len(list((tmp_path / "lines").iterdir())) == 2


def test_a_folder_that_is_not_there_yet_is_made_for_one_video_too(models, video, tmp_path):
    main([str(video), f"--spatial={models['spatial']}", "--views=1", "--crops=1", "--save", str(tmp_path / "saved")])

    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["v_Run_g01_c01.webm"]


def test_what_can_not_be_saved_is_said_in_plain_words(models, video, tmp_path):
    (tmp_path / "file").touch()
    words = [str(video), f"--spatial={models['spatial']}", "--views=1", "--crops=1"]

    with pytest.raises(ValueError, match=r"^Not a directory: \S+file/new\. Name a place"):
        main([*words, "--save", str(tmp_path / "file" / "new" / "saved.webm")])


def test_an_odd_video_in_a_batch_fails_alone_and_every_result_is_written(models, tmp_path):
    make_video(tmp_path / "videos" / "a.avi", 4)
    make_video(tmp_path / "videos" / "b.avi", 3, width=4000, height=4)
    make_video(tmp_path / "videos" / "c.avi", 4)
    (tmp_path / "videos" / "d.avi").write_bytes(b"no video")
    options = [f"--{name}={path}" for name, path in models.items()]

    with pytest.raises(ValueError, match="of 4 videos could not be predicted"):
        main([str(tmp_path / "videos"), *options, "--views=1", "--crops=1", f"--json={tmp_path / 'all.json'}"])

    found = json.loads((tmp_path / "all.json").read_text())
    assert {"a.avi", "c.avi"} <= {Path(each["video"]).name for each in found["predictions"]}
    assert "d.avi" in {Path(each["video"]).name for each in found["failed"]}


def test_a_flat_video_can_be_annotated(models, tmp_path):
    video = make_video(tmp_path / "flat.avi", 3, width=4000, height=64)

    main([str(video), f"--spatial={models['spatial']}", "--views=1", "--crops=1", "--save", str(tmp_path / "out.avi")])

    assert sum(1 for _ in read_frames(tmp_path / "out.avi")) == 3


def test_results_are_on_the_disk_before_the_next_video_is_looked_at(two_stream, tmp_path):
    with Results(str(tmp_path / "all.json"), None, count=1) as results:
        results.add({"video": "a", "error": "It is empty."})
        there = json.loads((tmp_path / "all.json").read_text())

    assert there["failed"] == [{"video": "a", "error": "It is empty."}]


def test_a_video_that_a_full_disk_cuts_off_is_not_said_to_be_written(tmp_path):
    (tmp_path / "full.avi").symlink_to("/dev/full")

    with pytest.raises(OSError, match=r"Only 0 of 5 frames .* Is the disk full\?"):
        write_video(tmp_path / "full.avi", moving_texture(5), 10)


def test_a_picture_that_claims_gigabytes_is_refused_by_its_header(two_stream, tmp_path):
    huge = b"GIF89a" + struct.pack("<HH", 16_000, 16_000) + b"\xf7\x00\x00" + bytes(768) + b";"
    (tmp_path / "huge.gif").write_bytes(huge)

    with pytest.raises(ValueError, match=r"huge\.gif: Its frames are 16000x16000, more than 50 megapixels"):
        two_stream.predict(tmp_path / "huge.gif")


def test_a_video_of_more_frames_than_are_admitted_is_refused(models, video):
    with pytest.raises(ValueError, match=r"more than 5 frames\. Cut it, or allow more with --most-frames"):
        main([str(video), f"--spatial={models['spatial']}", "--most-frames", "5"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda card: card.pop("classes"), "it has no entry 'classes'"),
        (lambda card: card.update(classes="abc"), "'classes' is 'abc', not a list"),
        (lambda card: card.update(classes=["a", "a", "a"]), "classes are too few, or two of them are the same"),
        (lambda card: card.update(classes=["a", "b"]), "scores 3 classes, but its two_stream.json names 2"),
        (lambda card: card.update(surprise=1), "unknown entry 'surprise'"),
        (lambda card: card.update(length=10**9), "its length is 1000000000"),
        (lambda card: card.update(input_kind="smell"), "There is no input kind 'smell'"),
        (lambda card: card.update(input_kind="grey", length=7), r"takes \[3\] channels"),
        (lambda card: card.update(frames={"size": [10**6, 10**6]}), "expected 1 to 16384 pixels"),
        (lambda card: card.update(classes=["a", "b", "\x1b[2J"]), "contains control characters"),
    ],
)
def test_a_card_that_no_model_can_have_is_named_in_one_message(models, video, tmp_path, change, said):
    path = rewritten(models["spatial"], tmp_path / "changed.keras", "two_stream.json", change)

    with pytest.raises(ValueError, match=said):
        main([str(video), "--spatial", str(path), "--views=1", "--crops=1"])


def foreign_class(config):
    config["config"]["layers"][1].update(module="os", class_name="system", registered_name=None)


@pytest.mark.parametrize("change", [foreign_class, dict.clear, lambda config: config.update(config=[])])
def test_a_network_that_can_not_be_opened_is_named_in_one_message(models, video, tmp_path, change):
    path = rewritten(models["spatial"], tmp_path / "changed.keras", "config.json", change)

    with pytest.raises(
        ValueError, match=r"changed\.keras can't be opened as a Keras model: .* Train or export it again"
    ):
        main([str(video), "--spatial", str(path)])


def rewritten(model, path, member, change):
    """Copies a model with one of its JSON files changed."""
    with zipfile.ZipFile(model) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == member:
                value = json.loads(content)
                change(value)
                content = json.dumps(value).encode()
            target.writestr(name, content)
    return path


def test_equal_models_give_equal_files_whenever_they_are_saved(tmp_path):
    import keras

    contents = []
    for name in ("1", "2"):
        keras.utils.clear_session()  # Otherwise layers without a name are numbered on.
        contents.append(make_model(tmp_path / name / "a.keras", "temporal").read_bytes())

    assert contents[0] == contents[1]
