"""Frames and flow of other tools are recognised by their names, counted, and read in place."""

import re
import shutil

import cv2
import numpy as np
import pytest

from data.audit.files import read_field
from data.extraction.older_layout import write_older_layout
from data.extraction.other_tools import recognise, use_in_place
from data.prepare import main as prepare
from data.ready import flow_description, open_dataset, ready_dataset
from data.sets.lists import training_lists
from data.sets.mmaction_lists import write_lists
from data.store.index import index_path, read_index
from tests.makers.data import ucf101_lists

VIDEOS = [f"v_{name}_g{group:02d}_c01" for name in ("Archery", "HandStandPushups") for group in (1, 2, 3)]


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((20, 30), 128, np.uint8))


def mmaction(root, video, flow="flow_"):
    folder = root / "rawframes" / video.split("_")[1] / video
    for number in (1, 2, 3):
        picture(folder / f"img_{number:05d}.jpg")
    for number in (1, 2):
        picture(folder / f"{flow}x_{number:05d}.jpg")
        picture(folder / f"{flow}y_{number:05d}.jpg")


def mmaction_short(root, video):
    mmaction(root, video, flow="")


def graz(root, video):
    for number in (1, 2, 3):
        picture(root / "jpegs_256" / video / f"frame{number:06d}.jpg")
    for number in (1, 2):
        for axis in "uv":
            picture(root / "tvl1_flow" / axis / video / f"frame{number:06d}.jpg")


@pytest.mark.parametrize(
    ("write", "layout", "digits"), [(mmaction, "mmaction", 5), (mmaction_short, "mmaction-short", 5), (graz, "graz", 6)]
)
def test_a_layout_is_recognised_and_every_counted_file_is_where_the_paths_say(tmp_path, write, layout, digits):
    root, frames = tmp_path / "ucf101", tmp_path / "odd {name} é"
    ucf101_lists(root)
    for video in VIDEOS:
        write(frames, video)
    dataset = open_dataset("ucf101", root)

    rows = use_in_place(dataset, recognise(frames))
    ready = ready_dataset("ucf101", root)

    assert {(row.state, row.frames, row.flows, row.width, row.height) for row in rows} == {("ready", 3, 2, 30, 20)}
    assert (ready.layout.name, ready.layout.digits, ready.layout.first, ready.layout.rule) == (
        layout,
        digits,
        1,
        "classic",
    )
    assert flow_description(root)["rule"] == "classic"
    for video in ready.videos.values():
        assert all(ready.layout.frame_path(root, video, index).is_file() for index in range(3))
        assert all(path.is_file() for index in range(2) for path in ready.layout.flow_paths(root, video, index))
        prefix = ready.layout.prefix(ready.layout.flow_y, root, video)
        assert str(ready.layout.flow_paths(root, video, 0)[1]) == f"{prefix}{1:0{digits}d}.jpg"
    assert not (frames / "index.csv").exists()


def test_folders_of_rawframes_alone_and_numbers_from_zero_are_recognised(tmp_path):
    for number in (0, 1, 2):
        picture(tmp_path / "Archery" / "v_Archery_g01_c01" / f"img_{number:05d}.jpg")

    extraction = recognise(tmp_path)

    assert extraction.layout.name == "mmaction"
    assert (extraction.layout.first, extraction.layout.frame) == (0, "{folder}/{video}/img_{number}.jpg")


def test_a_gap_in_the_numbers_and_an_absent_video_are_recorded(tmp_path):
    ucf101_lists(tmp_path)
    for video in VIDEOS:
        mmaction(tmp_path, video)
    (tmp_path / "rawframes/Archery/v_Archery_g01_c01/img_00002.jpg").unlink()
    shutil.rmtree(tmp_path / "rawframes/Archery/v_Archery_g02_c01")

    use_in_place(open_dataset("ucf101", tmp_path), recognise(tmp_path))

    index = read_index(index_path(tmp_path))
    assert index["v_Archery_g01_c01"].reason == "Number 2 of its frame files is missing."
    assert index["v_Archery_g02_c01"].state == "missing"


def test_split_folders_with_metadata_and_floats_are_a_data_set_of_their_own(tmp_path):
    root, frames = tmp_path / "mine", tmp_path / "theirs"
    for part, labels in (("train", ("a", "b")), ("val", ("a", "b")), ("test", ("a", "b"))):
        rows = ["video_name,label,class"]
        for label in labels:
            name = f"{part}_{label}"
            rows.append(f"{name},{'ab'.index(label)},{label}")
            for number in range(1, 12):
                picture(frames / "rgb" / part / label / name / f"frame{number:04d}.jpg")
            (frames / "flows" / part / label / name).mkdir(parents=True)
            for number in range(1, 11):
                field = np.zeros((20, 30, 2), np.float32)
                np.save(frames / "flows" / part / label / name / f"flow_{number}_{number + 1}.npy", field)
        (frames / "metadata").mkdir(exist_ok=True)
        (frames / "metadata" / f"{part}.csv").write_text("\n".join(rows))
    root.mkdir()
    (root / "annotations").symlink_to(frames / "metadata")

    dataset = open_dataset("mine", root)
    use_in_place(dataset, recognise(frames))
    ready = ready_dataset("mine", root)

    assert ready.classes == ("a", "b")
    assert ready.splits[1].train == ("train_a", "train_b", "val_a", "val_b")
    assert ready.splits[1].test == ("test_a", "test_b")
    training, validation = training_lists(ready, 1, "validation", 0.1, 0)
    assert [[video.name for video in part] for part in (training, validation)] == [
        ["train_a", "train_b"],
        ["val_a", "val_b"],
    ]
    assert ready.layout.is_float
    for video in ready.videos.values():
        assert (video.num_frames, video.num_flows) == (11, 10)
        assert ready.layout.frame_path(root, video, 10).name == "frame0011.jpg"
        assert [path.name for path in ready.layout.flow_paths(root, video, 9)] == ["flow_10_11.npy"] * 2
        assert ready.layout.flow_paths(root, video, 9)[0].is_file()


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (np.zeros((2, 20, 30), np.int16), "must hold floats [H, W, 2] or [2, H, W]. It holds int16 [2, 20, 30]."),
        (np.zeros((20, 30), np.float32), "It holds float32 [20, 30]."),
        (np.full((20, 30, 2), np.nan, np.float32), "holds numbers that are not finite."),
    ],
)
def test_a_field_that_is_none_is_named_when_it_is_prepared(tmp_path, field, reason):
    for video in ("a/v1", "a/v2", "b/v3", "b/v4"):
        picture(tmp_path / "theirs" / "rgb" / video / "frame0001.jpg")
        (tmp_path / "theirs" / "flows" / video).mkdir(parents=True)
        np.save(tmp_path / "theirs" / "flows" / video / "flow_1_2.npy", field)

    with pytest.raises(
        ValueError, match=rf"No video is ready\. The first reason: .*v1/flow_1_2\.npy .*{re.escape(reason)}"
    ):
        prepare(["mine", "--root", str(tmp_path / "mine"), "--frames", str(tmp_path / "theirs")])


def test_folders_alone_say_class_and_part_and_a_name_may_repeat(tmp_path):
    for part in ("train", "test"):
        for label in "ab":
            picture(tmp_path / "theirs" / "frames" / part / label / "clip.1" / "frame_1.jpg")
            (tmp_path / "theirs" / "flows" / part / label / "clip.1").mkdir(parents=True)
            field = np.zeros((20, 30, 2), np.float32)
            np.save(tmp_path / "theirs" / "flows" / part / label / "clip.1" / "flow_1_2.npy", field)

    prepare(["mine", "--root", str(tmp_path / "mine"), "--frames", str(tmp_path / "theirs")])
    ready = ready_dataset("mine", tmp_path / "mine")

    assert ready.classes == ("a", "b")
    assert [[video.label for video in ready.part(1, part)] for part in ("train", "test")] == [[0, 1], [0, 1]]
    for video in ready.videos.values():
        assert ready.layout.frame_path(ready.root, video, 0).is_file()
        assert ready.layout.flow_paths(ready.root, video, 0)[0].is_file()


def test_extracted_frames_in_the_place_of_videos_are_told_how_to_be_used(tmp_path):
    root = tmp_path / "odd name"
    picture(root / "rgb" / "a" / "v" / "frame0001.jpg")
    (root / "flows" / "a" / "v").mkdir(parents=True)
    np.save(root / "flows" / "a" / "v" / "flow_1_2.npy", np.zeros((20, 30, 2), np.float32))

    for words in (["--root", str(root)], ["--root", str(tmp_path / "new"), "--videos", str(root)]):
        with pytest.raises(ValueError, match=r"./run prepare mine --root .* --frames '.*odd name'"):
            prepare(["mine", *words])
    assert not (tmp_path / "new").exists()


def test_videos_without_class_folders_are_told_to_need_a_list(tmp_path):
    graz(tmp_path / "theirs", "v_a")

    with pytest.raises(ValueError, match=r"their classes are unknown.*videos\.csv .*--root .* --frames "):
        prepare(["mine", "--root", str(tmp_path / "mine"), "--frames", str(tmp_path / "theirs")])


def test_a_field_that_is_an_archive_of_arrays_counts_as_damaged(tmp_path):
    field = np.zeros((20, 30, 2), np.float32)
    np.save(tmp_path / "flow.npy", field)
    np.savez(tmp_path / "archive.npz", flow=field)
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")

    assert read_field(tmp_path / "flow.npy") is not None
    assert read_field(tmp_path / "archive.npy") is None


def test_lists_for_mmaction2_name_folder_count_and_label(tmp_path):
    ucf101_lists(tmp_path)
    for video in VIDEOS:
        mmaction(tmp_path, video)
    use_in_place(open_dataset("ucf101", tmp_path), recognise(tmp_path))

    paths = write_lists(ready_dataset("ucf101", tmp_path))

    by_name = {path.name: path.read_text().splitlines() for path in paths}
    assert by_name["ucf101_val_split_1_rawframes.txt"] == [
        "Archery/v_Archery_g01_c01 3 0",
        "HandStandPushups/v_HandStandPushups_g01_c01 3 1",
    ]
    assert by_name["ucf101_train_split_1_flow.txt"][0].endswith(" 2 0")


def test_the_older_layout_is_written_as_links_and_read_like_the_original(tmp_path):
    root, older, other = tmp_path / "ucf101", tmp_path / "older", tmp_path / "other"
    for each in (root, other):
        ucf101_lists(each)
    for place, video in enumerate(VIDEOS):
        mmaction(root, video)
        for path in (root / "rawframes" / video.split("_")[1] / video).iterdir():
            cv2.imwrite(str(path), np.full((20, 30), 100 + 9 * place + int(path.stem[-1]), np.uint8))
    use_in_place(open_dataset("ucf101", root), recognise(root))
    dataset = ready_dataset("ucf101", root)

    said = write_older_layout(dataset, older)
    again = write_older_layout(dataset, older)
    use_in_place(open_dataset("ucf101", other), recognise(older))

    theirs = ready_dataset("ucf101", other)
    assert theirs.layout.name == "graz"
    assert said == again
    assert "rule classic" in said
    for name, video in dataset.videos.items():
        twin = theirs.videos[name]
        assert (twin.num_frames, twin.num_flows) == (video.num_frames, video.num_flows) == (3, 2)
        for index in range(2):
            ours = [dataset.layout.frame_path(root, video, index), *dataset.layout.flow_paths(root, video, index)]
            linked = [theirs.layout.frame_path(other, twin, index), *theirs.layout.flow_paths(other, twin, index)]
            assert all(first.samefile(second) for first, second in zip(ours, linked, strict=True))


def test_the_older_layout_is_finished_where_it_was_interrupted(tmp_path):
    ucf101_lists(tmp_path)
    for video in VIDEOS:
        mmaction(tmp_path, video)
    use_in_place(open_dataset("ucf101", tmp_path), recognise(tmp_path))
    half = tmp_path / "older" / "jpegs_256" / f".{VIDEOS[0]}.partial"
    half.mkdir(parents=True)
    (half / "frame000001.jpg").write_bytes(b"")

    write_older_layout(ready_dataset("ucf101", tmp_path), tmp_path / "older")

    assert not half.exists()
    assert len(list((tmp_path / "older" / "jpegs_256" / VIDEOS[0]).iterdir())) == 3
    assert len(list((tmp_path / "older" / "tvl1_flow" / "v" / VIDEOS[0]).iterdir())) == 2


def test_frames_without_a_folder_of_their_class_are_named_as_such(tmp_path):
    for video in VIDEOS:
        picture(tmp_path / "rawframes" / video / "img_00001.jpg")
        picture(tmp_path / "rawframes" / video / "img_00002.jpg")

    with pytest.raises(
        ValueError, match=r"holds the frames of a video but is in no folder of a class, like 6 .*video,label"
    ):
        open_dataset("mine", tmp_path)


def test_the_rule_of_levels_can_be_named(tmp_path):
    ucf101_lists(tmp_path)
    for video in VIDEOS:
        mmaction(tmp_path, video)

    use_in_place(open_dataset("ucf101", tmp_path), recognise(tmp_path).by_rule("truncated"))

    assert flow_description(tmp_path)["rule"] == "truncated"
    assert ready_dataset("ucf101", tmp_path).layout.rule == "truncated"


def test_a_folder_of_something_else_is_refused_with_what_was_looked_for(tmp_path):
    (tmp_path / "holiday").mkdir()
    picture(tmp_path / "holiday" / "beach.jpg")

    with pytest.raises(ValueError, match=r"Looked for mmaction: rawframes/"):
        recognise(tmp_path)


def test_real_frames_of_mmaction2_are_recognised(shared_data, tmp_path):
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "video").symlink_to(shared_data / "mmaction_frames")

    extraction = recognise(tmp_path)

    assert extraction.layout.name == "mmaction-short"
    assert (extraction.layout.digits, extraction.layout.first) == (5, 1)
