"""The published data sets and own folders, from lists in exactly the form in which they come."""

import dataclasses

import pytest

from data.catalog import Split
from data.extraction.video_files import find_sources
from data.prepare import main as prepare
from data.ready import home_of, open_dataset
from data.sets.folders import keep_list, kept_list
from data.sets.lists import training_lists
from tests.makers.data import ccv_lists, hmdb51_lists, ucf101_lists, write_lines


def touch(root, *names):
    for name in names:
        path = root / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video")


def test_ucf101_has_its_splits_and_one_name_for_the_class_that_is_spelt_in_two_ways(tmp_path):
    ucf101_lists(tmp_path)

    dataset = open_dataset("ucf101", tmp_path)

    assert dataset.classes == ("Archery", "HandstandPushups")
    assert len(dataset.videos) == 6
    for split in (1, 2, 3):
        train, test = dataset.part(split, "train"), dataset.part(split, "test")
        assert (len(train), len(test)) == (4, 2)
        assert {video.group for video in train}.isdisjoint(video.group for video in test)
        assert {video.folder for video in train} == set(dataset.classes)


@pytest.mark.parametrize(
    "place",
    [
        "HandstandPushups/v_HandStandPushups_g01_c01.avi",
        "HandStandPushups/v_HandstandPushups_g01_c01.avi",
        "v_HandStandPushups_g01_c01.avi",
        "UCF-101/HandstandPushups/v_HandStandPushups_g01_c01.avi",
    ],
)
def test_ucf101_is_found_however_the_archive_was_unpacked(tmp_path, place):
    ucf101_lists(tmp_path)
    touch(tmp_path, place)
    dataset = open_dataset("ucf101", tmp_path)

    sources = find_sources(dataset, tmp_path / "videos")

    (name,) = sources
    assert name.casefold() == "v_handstandpushups_g01_c01"
    assert sources[name] == tmp_path / "videos" / place


def test_a_line_that_is_not_of_the_published_form_is_named(tmp_path):
    ucf101_lists(tmp_path)
    path = tmp_path / "annotations" / "ucfTrainTestlist" / "trainlist02.txt"
    write_lines(path, "Archery/v_Archery_g01_c01.avi 1", "Archery/v_Archery_g02_c01.avi 2")

    with pytest.raises(ValueError, match=r"Line 2 of .*trainlist02\.txt"):
        open_dataset("ucf101", tmp_path)


def test_hmdb51_never_trains_on_unused_videos_and_keeps_odd_names(tmp_path):
    hmdb51_lists(tmp_path)

    dataset = open_dataset("hmdb51", tmp_path)

    assert dataset.classes == ("brush_hair", "wave")
    train, test = dataset.part(1, "train"), dataset.part(1, "test")
    assert [video.name for video in train] == [
        f"A_film!_[part_0]_(b)_{name}_u_nm_np1_ba_goo_0" for name in dataset.classes
    ]
    assert [video.name[-1] for video in test] == ["1", "1"]
    assert train[0].group == "brush_hair/A_film!_[part_0]_(b)"


def test_ccv_is_multi_label_and_lists_what_it_leaves_out(tmp_path):
    ccv_lists(tmp_path)

    dataset = open_dataset("ccv", tmp_path)

    assert dataset.multi_label
    assert [video.labels for video in dataset.part(1, "train")] == [(1,), (0, 2)]
    assert set(dataset.left_out) == {"none_1", "none_2"}


def test_ccv_may_keep_the_videos_that_show_none_of_the_classes(tmp_path):
    ccv_lists(tmp_path)

    dataset = open_dataset("ccv-all", tmp_path)

    assert [video.labels for video in dataset.part(1, "test")] == [(1,), (0, 2), ()]
    assert not dataset.left_out
    with pytest.raises(ValueError, match=r"There is no archive of ccv-all.*columbia\.edu.*missing\.txt"):
        prepare(["ccv-all", "--root", str(tmp_path), "--download"])


def test_ccv_read_with_single_labels_keeps_rows_with_exactly_one(tmp_path):
    ccv_lists(tmp_path)

    dataset = open_dataset("ccv-single", tmp_path)

    assert not dataset.multi_label
    assert [video.label for video in dataset.part(1, "test")] == [1]
    assert len(dataset.left_out) == 4


def test_ccv_videos_are_found_by_id_whatever_stands_around_it(tmp_path):
    ccv_lists(tmp_path)
    touch(tmp_path, "-aB3_x.webm", "A title [AB3_x-].mkv", "t1_____", "t2_____.txt")
    dataset = open_dataset("ccv", tmp_path)

    sources = find_sources(dataset, tmp_path / "videos")

    assert {name: path.name for name, path in sources.items()} == {
        "-aB3_x": "-aB3_x.webm",
        "AB3_x-": "A title [AB3_x-].mkv",
        "t1_____": "t1_____",
    }


def test_rows_of_ids_and_labels_that_do_not_match_are_refused(tmp_path):
    ccv_lists(tmp_path)
    write_lines(tmp_path / "annotations" / "testLabel.txt", "0 1 0")

    with pytest.raises(ValueError, match=r"3 videos in testVidID\.txt but has 1 rows"):
        open_dataset("ccv", tmp_path)


def own_videos(root, count=10):
    names = [
        f"{label}/v_{label}_g{group:02d}_c{clip:02d}.mp4"
        for label in ("a b", "ü'\"{x}")
        for group in range(1, count + 1)
        for clip in (1, 2)
    ]
    touch(root, *names)


def test_a_folder_of_own_videos_gets_a_split_that_parts_no_group_and_keeps_it(tmp_path):
    own_videos(tmp_path)

    dataset = open_dataset("mine", tmp_path)
    keep_list(dataset)
    touch(tmp_path, "a b/new.mp4")
    again = open_dataset("mine", tmp_path)

    train, test = dataset.part(1, "train"), dataset.part(1, "test")
    assert {video.group for video in train}.isdisjoint(video.group for video in test)
    assert {video.label for video in test} == {0, 1}
    assert 0.2 <= len(test) / len(dataset.videos) <= 0.4
    assert kept_list(tmp_path).exists()
    assert (again.splits, again.videos) == (dataset.splits, dataset.videos)


def test_a_csv_decides_classes_groups_and_parts(tmp_path):
    touch(tmp_path, "x/1.mp4", "y/1.mp4", "2.mp4", "3.mp4")
    rows = [
        "video,label,group,split",
        "x/1.mp4,run,anna,train",
        "y/1.mp4,jump,,val",
        "2.mp4,run,bert,test",
        "3.mp4,jump,,",
    ]
    (tmp_path / "videos" / "videos.csv").write_text("\n".join(rows))

    dataset = open_dataset("mine", tmp_path)

    assert dataset.classes == ("jump", "run")
    assert [(video.name, video.folder, video.group) for video in dataset.videos.values()] == [
        ("x-1", "run", "anna"),
        ("y-1", "jump", "y-1"),
        ("2", "run", "bert"),
        ("3", "jump", "3"),
    ]
    assert dataset.splits[1].train == ("x-1", "y-1")
    assert dataset.splits[1].test == ("2",)
    assert dataset.splits[1].validation == ("y-1",)
    assert [video.name for video in training_lists(dataset, 1, "validation", 0.1, 0)[1]] == ["y-1"]
    assert len(training_lists(dataset, 1, "paper", 0.1, 0)[0]) == 2
    keep_list(dataset)
    assert open_dataset("mine", tmp_path).splits == dataset.splits
    assert len(find_sources(dataset, tmp_path / "videos")) == 4


@pytest.mark.parametrize("name", ["walk|run", r"walk\|run", "|", "walk\\"])
def test_a_folder_is_one_class_whatever_its_name_holds(tmp_path, name):
    touch(tmp_path, *(f"{label}/{label[:1]}{number}.mp4" for label in (name, "sit") for number in range(4)))

    dataset = open_dataset("mine", tmp_path)
    keep_list(dataset)
    again = open_dataset("mine", tmp_path)

    assert set(dataset.classes) == {name, "sit"} and not dataset.multi_label
    assert (again.classes, again.videos, again.splits) == (dataset.classes, dataset.videos, dataset.splits)


def test_a_video_may_show_classes_whose_names_hold_what_joins_them(tmp_path):
    touch(tmp_path, "1.mp4", "2.mp4", "3.mp4", "4.mp4")
    rows = ["video,label", r"1.mp4,walk\|run|sit", r"2.mp4,walk\|run", "3.mp4,sit", "4.mp4,sit"]
    (tmp_path / "videos" / "videos.csv").write_text("\n".join(rows))

    dataset = open_dataset("mine", tmp_path)
    keep_list(dataset)

    assert dataset.classes == ("sit", "walk|run")
    assert [video.labels for video in dataset.videos.values()] == [(1, 0), (1,), (0,), (0,)]
    assert open_dataset("mine", tmp_path).videos == dataset.videos


def test_folders_of_parts_are_no_classes(tmp_path):
    touch(tmp_path, *(f"{part}/{label}/{part}{label}.mp4" for part in ("train", "val", "test") for label in "ab"))

    dataset = open_dataset("mine", tmp_path)

    assert dataset.classes == ("a", "b")
    assert dataset.splits[1] == Split(
        ("traina", "trainb", "vala", "valb"), test=("testa", "testb"), validation=("vala", "valb")
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("../secret.mp4,run", "outside the folder"),
        ("/etc/passwd,run", "outside the folder"),
        ("a.mp4,", "must give every video a class"),
        (",run", "names no video"),
    ],
)
def test_a_csv_that_makes_no_sense_is_refused(tmp_path, line, message):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "videos.csv").write_text(f"video,label\nb.mp4,jump\nc.mp4,run\n{line}\n")

    with pytest.raises(ValueError, match=message):
        open_dataset("mine", tmp_path)


def test_a_video_that_is_listed_in_both_parts_counts_once_and_is_told_of(tmp_path):
    (tmp_path / "videos").mkdir()
    rows = ["video,label,split", "a.mp4,run,test", "b.mp4,jump,train", "a.mp4,run,train", "c.mp4,run,train"]
    (tmp_path / "videos" / "videos.csv").write_text("\n".join(rows))

    dataset = open_dataset("mine", tmp_path)

    assert (dataset.splits[1].train, dataset.splits[1].test) == (("b", "c"), ("a",))
    assert "listed twice" in dataset.left_out["a.mp4"]


def test_a_loop_of_links_is_walked_once(tmp_path):
    own_videos(tmp_path, count=3)
    (tmp_path / "videos" / "a b" / "back").symlink_to(tmp_path / "videos")

    assert len(open_dataset("mine", tmp_path).videos) == 12


def test_the_official_lists_have_their_published_counts(shared_data, tmp_path):
    for name in ("ucf101", "hmdb51", "ccv", "ccv-all"):
        root = tmp_path / name
        root.mkdir()
        (root / "annotations").symlink_to(shared_data / "annotations" / name.removesuffix("-all"))
        dataset = open_dataset(name, root)

        found = {number: (len(split.train), len(split.test)) for number, split in dataset.splits.items()}

        assert found == dataset.official
        for number in dataset.splits:
            train, test = ({video.group for video in dataset.part(number, part)} for part in ("train", "test"))
            assert train.isdisjoint(test)


def test_a_split_that_is_not_there_is_answered_by_one_that_is(tmp_path):
    ucf101_lists(tmp_path)
    dataset = open_dataset("ucf101", tmp_path)
    later = dataclasses.replace(dataset, splits={10: dataset.splits[1], 11: dataset.splits[2]})

    with pytest.raises(ValueError, match=r"no split 1\. Its splits are 10, 11: pass --split 10\."):
        later.part(1, "train")
    with pytest.raises(ValueError, match="has no splits"):
        dataclasses.replace(dataset, splits={}).part(1, "train")


def test_what_one_data_set_needs_alone_it_brings_along(tmp_path):
    hmdb51_lists(tmp_path / "hmdb51")
    touch(tmp_path / "mine", "left/a.avi", "left/b.avi", "right/c.avi", "right/d.avi")

    shapes, hmdb51, own = (open_dataset(name, tmp_path / name) for name in ("shapes", "hmdb51", "mine"))

    assert shapes.make_videos
    assert "tag 0" in hmdb51.if_too_many
    assert own.keep_list
    assert home_of("ccv-single") == home_of("ccv")
