"""The doctor finds what was broken on purpose, and nothing in what was not."""

import json
import shutil

import cv2
import numpy as np
import pytest

from data.doctor import examine, main
from data.extraction.other_tools import recognise, use_in_place
from data.optical_flow.levels import dequantise, mirror_levels, quantise
from data.ready import open_dataset, ready_dataset
from data.store.index import BROKEN, MISSING, Row, index_path, read_index
from data.store.mapped_writer import CSV, TABLE, keep_index
from tests.makers.data import claim, hmdb51_lists, sound_data

FOLDER = "rawframes/left"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Four videos, none like another: those of one class move to the right, those of the other down."""
    return sound_data(tmp_path_factory.mktemp("sound") / "mine")


@pytest.fixture
def root(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "mine")


def found(root):
    findings = examine(ready_dataset("mine", root), open_dataset("mine", root))
    return {finding.what: finding for finding in findings}


def change_flow(root, change):
    for x_path in root.glob("rawframes/*/*/flow_x_*.jpg"):
        y_path = x_path.with_name(x_path.name.replace("flow_x", "flow_y"))
        x, y = change(*(cv2.imread(str(path), 0) for path in (x_path, y_path)))
        cv2.imwrite(str(x_path), x)
        cv2.imwrite(str(y_path), y)


def test_nothing_is_wrong_with_a_sound_data_set(sound, tmp_path, capsys):
    main(["mine", "--root", str(sound), "--json", str(tmp_path / "found.json")])

    printed = capsys.readouterr().out
    assert "4 videos ready, 2 classes" in printed
    counts = json.loads((tmp_path / "found.json").read_text())["classes"]
    assert counts == {"1": {part: {"left": 1, "right": 1} for part in ("train", "test")}}
    assert "No problems found." in printed


def test_missing_and_damaged_files_are_found_and_fix_makes_just_these_again(root, sound, tmp_path, capsys):
    (root / FOLDER / "left0" / "img_00002.jpg").unlink()
    cut = root / FOLDER / "left1" / "flow_y_00004.jpg"
    cut.write_bytes(cut.read_bytes()[:-40])
    untouched = (root / "rawframes" / "right" / "right0" / "video.json").stat().st_mtime_ns

    with pytest.raises(ValueError, match="2 of the 2 findings"):
        main(["mine", "--root", str(root), "--json", str(tmp_path / "found.json")])
    main(["mine", "--root", str(root), "--fix"])

    assert "No problems found." in capsys.readouterr().out
    assert (root / "rawframes" / "right" / "right0" / "video.json").stat().st_mtime_ns == untouched
    for name in ("left0/img_00002.jpg", "left1/flow_y_00004.jpg"):
        assert (root / FOLDER / name).read_bytes() == (sound / FOLDER / name).read_bytes()


@pytest.mark.parametrize("form", [CSV, TABLE])
def test_fix_keeps_what_the_index_says_of_all_other_videos(root, capsys, form):
    listed = root / "videos" / "videos.csv"
    for name in ("torn", "gone", "later"):
        listed.write_text(f"{listed.read_text()}\nleft/{name}.avi,left,{name},train")
    rows = list(read_index(index_path(root)).values())
    odd = [Row("torn", "left", state=BROKEN, reason="no video"), Row("gone", "left", state=MISSING, reason="none")]
    keep_index(open_dataset("mine", root), [*rows, *odd], form)
    before = dict(read_index(index_path(root)))
    (root / FOLDER / "left0" / "img_00002.jpg").unlink()

    main(["mine", "--root", str(root), "--fix"])

    assert dict(read_index(index_path(root))) == before
    printed = capsys.readouterr().out
    assert printed.count("4 of 7 videos are used: 1 broken, 1 missing, 1 not prepared") == 2
    told = "index.csv gives the reasons" if form == CSV else f"prepare mine --root {root} --index both writes the"
    assert told in printed


@pytest.mark.timeout(20)
@pytest.mark.parametrize("side", [32_000, 65_500])
def test_a_picture_that_claims_to_be_huge_is_found_at_once(root, side):
    claim(root / FOLDER / "left0" / "img_00001.jpg", side, side)

    errors = [finding for finding in found(root).values() if finding.severity == "error"]

    assert [finding.videos for finding in errors] == [("left0",)]


def test_missing_backward_flow_is_found_where_it_was_made(root):
    assert not any("flow" in what for what in found(root))
    description = json.loads((root / "flow.json").read_text())
    (root / "flow.json").write_text(json.dumps({**description, "backward": True}))

    assert "Some files of the flow that index.csv counts are missing." in found(root)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x, y: (y, x), "The x and y parts of the flow are swapped."),
        (lambda x, y: (mirror_levels(x), y), "The x part of the flow has the wrong sign"),
        (lambda x, y: (x, mirror_levels(y)), "The y part of the flow has the wrong sign"),
    ],
)
def test_flow_that_points_elsewhere_is_found(root, change, expected):
    change_flow(root, change)

    assert any(what.startswith(expected) for what in found(root))


@pytest.mark.parametrize(("written", "read"), [("truncated", "classic"), ("classic", "truncated")])
def test_levels_that_are_read_by_the_rule_of_another_tool_are_found(root, tmp_path, written, read):
    change_flow(root, lambda *planes: [quantise(dequantise(plane), rule=written) for plane in planes])
    theirs = tmp_path / "theirs"
    (theirs / "annotations").mkdir(parents=True)
    shutil.copy(root / "videos" / "videos.csv", theirs / "annotations")

    findings = {}
    for rule in (written, read):
        (theirs / "flow.json").unlink(missing_ok=True)
        use_in_place(open_dataset("theirs", theirs), recognise(root, "mmaction").by_rule(rule))
        found = examine(ready_dataset("theirs", theirs), open_dataset("theirs", theirs))
        findings[rule] = [finding for finding in found if "read by the rule" in finding.what]

    assert findings[written] == []
    (finding,) = findings[read]
    assert f"in the rule {written}. So it is 0.078 pixels off" in finding.what
    assert f"--rule {written}" in finding.remedy


@pytest.fixture
def floats(sound, tmp_path):
    """The same videos as another tool extracts them, with flow in files of floats."""
    root = tmp_path / "theirs"
    for part, number in (("train", 0), ("test", 1)):
        lines = [f"{label}{number},{label}" for label in ("left", "right")]
        (root / "metadata").mkdir(parents=True, exist_ok=True)
        (root / "metadata" / f"{part}.csv").write_text("\n".join(["video_name,class", *lines]))
        for label in ("left", "right"):
            ours = sound / "rawframes" / label / f"{label}{number}"
            for kind in ("rgb", "flows"):
                (root / kind / part / label / ours.name).mkdir(parents=True)
            for path in ours.glob("img_*.jpg"):
                shutil.copy(path, root / "rgb" / part / label / ours.name / f"frame{path.stem[-4:]}.jpg")
            for path in ours.glob("flow_x_*.jpg"):
                planes = [cv2.imread(str(path.with_name(path.name.replace("_x_", f"_{axis}_"))), 0) for axis in "xy"]
                index = int(path.stem[-5:])
                field = np.dstack([dequantise(plane) for plane in planes])
                np.save(root / "flows" / part / label / ours.name / f"flow_{index}_{index + 1}.npy", field)
    return root


def examine_floats(root):
    use_in_place(open_dataset("theirs", root), recognise(root))
    return [finding.what for finding in examine(ready_dataset("theirs", root), open_dataset("theirs", root), full=True)]


def test_flow_of_floats_is_read_and_compared_too(floats):
    assert examine_floats(floats) == []

    paths = list(floats.glob("flows/*/*/*/*.npy"))
    for path in paths:
        np.save(path, np.load(path)[..., ::-1])
    assert examine_floats(floats) == ["The x and y parts of the flow are swapped."]

    paths[0].write_bytes(paths[0].read_bytes()[:200])
    assert "Some files of the flow can't be decoded or are cut off." in examine_floats(floats)


def test_flow_scaled_frame_by_frame_is_found(root):
    def stretch(*planes):
        # Real flow is never quite the same everywhere.
        uneven = [plane + np.linspace(0, 0.5, plane.size, dtype=np.float32).reshape(plane.shape) for plane in planes]
        return [cv2.normalize(plane, None, 0, 255, cv2.NORM_MINMAX) for plane in uneven]

    change_flow(root, stretch)

    assert any("speed is lost" in what for what in found(root))


def test_a_group_on_both_sides_is_found(root):
    path = root / "videos" / "videos.csv"
    path.write_text(path.read_text().replace("left1,test", "left0,test"))

    finding = next(finding for what, finding in found(root).items() if "groups both in training and in test" in what)

    assert finding.videos == ("left1",)


def test_a_copy_on_the_other_side_is_found(root):
    for path in (root / FOLDER / "left0").glob("img_*.jpg"):
        picture = cv2.imread(str(path))
        cv2.imwrite(str(root / FOLDER / "left1" / path.name), picture, [cv2.IMWRITE_JPEG_QUALITY, 40])

    finding = next(finding for what, finding in found(root).items() if "are copies of training videos" in what)

    assert finding.videos == ("left1",)
    assert finding.severity == "error"


def test_black_and_frozen_videos_are_found(root):
    for path in (root / FOLDER / "left0").glob("img_*.jpg"):
        cv2.imwrite(str(path), np.zeros((64, 80, 3), np.uint8))
    for path in (root / FOLDER / "left1").glob("img_*.jpg"):
        shutil.copy(root / FOLDER / "left1" / "img_00001.jpg", path) if path.name != "img_00001.jpg" else None

    findings = found(root)

    assert findings["Some videos show only one colour."].videos == ("left0",)
    assert findings["Some videos show no motion from start to end."].videos == ("left1",)


def test_hmdb51_trained_on_unused_videos_is_found(tmp_path):
    hmdb51_lists(tmp_path)
    dataset = open_dataset("hmdb51", tmp_path)
    dataset = type(dataset)(
        **{**{name: getattr(dataset, name) for name in dataset.__dataclass_fields__}, "official": {1: (1, 2)}}
    )

    whats = [finding.what for finding in examine(dataset, dataset)]

    assert any("tag 0" in what for what in whats)
