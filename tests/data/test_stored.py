"""Videos prepared straight into archives: the same bytes as packing later, whole or not at all, and audited alike."""

import dataclasses
import json
import shutil

import pytest

from data.catalog import HALF_PACKED, PACKED
from data.doctor import main as doctor
from data.extraction.all_videos import Work, merge_shards, prepare
from data.extraction.one_video import Job, extract_video
from data.pack import pack
from data.ready import open_dataset
from data.store.description import Recipe
from data.store.index import index_path, read_index, with_counts
from data.store.whole_folder import archive_path
from tests.makers.data import write_clip
from tests.makers.processes.full_disk import ROOM, extract_on_full_disk

RECIPE = Recipe(method="dis")


@pytest.fixture
def dataset(tmp_path):
    for label in ("a b", "ü"):
        for number in range(2):
            name = f"{label} {number}"
            write_clip(
                tmp_path / "mine" / "videos" / label / f"{name}.avi", frames=4 + number, seed=ord(label[0]) + number
            )
    return open_dataset("mine", tmp_path / "mine")


def layout_name(dataset):
    return json.loads((dataset.root / "layout.json").read_text())["name"]


def archives(root):
    return {path.name: path.read_bytes() for path in sorted(root.glob("rawframes/**/*.*")) if path.is_file()}


def extract(dataset, packed, **recipe):
    """Prepares the first video in this process, and returns the bytes of its archive, packed later if need be."""
    video = next(iter(dataset.videos.values()))
    source, folder = dataset.root / "videos" / video.relative_path, dataset.frame_folder(video)
    for only in recipe.pop("parts", ("",)):
        made = dataclasses.replace(RECIPE, only=only, **recipe)
        row = extract_video(Job(source, folder, video.name, video.folder, made, packed))
        assert row.state == "ready", row.reason
    if not packed:
        counted = dataclasses.replace(video, num_frames=row.frames, num_flows=row.flows)
        pack(dataclasses.replace(dataset, videos={video.name: counted}))
    (only_file,) = (path for path in dataset.root.glob("rawframes/**/*") if path.is_file())
    content = only_file.read_bytes()
    only_file.unlink()
    return content


@pytest.mark.parametrize(
    "recipe", [{}, {"backward": True, "step": 2}, {"parts": ("frames",)}, {"parts": ("frames", "flow")}]
)
def test_archives_made_while_preparing_are_those_that_packing_makes_later(dataset, recipe):
    later = extract(dataset, packed=False, **recipe)
    (dataset.root / "layout.json").unlink()

    at_once = extract(dataset, packed=True, **recipe)

    assert at_once == later


def test_a_data_set_is_prepared_in_archives_and_nothing_loose_is_left(dataset):
    rows = prepare(dataset, recipe=RECIPE, work=Work(workers=2, packed=True))
    before = archives(dataset.root)

    again = prepare(dataset, recipe=RECIPE, work=Work(1, packed=True))

    assert layout_name(dataset) == PACKED
    assert [row.state for row in rows] == ["ready"] * 4
    assert sorted(rows, key=str) == sorted(again, key=str)
    assert list(before) == ["a b 0.zip", "a b 1.zip", "ü 0.zip", "ü 1.zip"]
    assert archives(dataset.root) == before


def test_what_lies_loose_already_is_packed_and_only_the_rest_is_decoded(dataset):
    prepare(dataset, recipe=RECIPE, work=Work(1, limit=2))
    ready = {row.video for row in read_index(index_path(dataset.root)).values() if row.state == "ready"}
    for path in (dataset.root / "videos").rglob("*.avi"):
        if path.stem in ready:
            path.unlink()  # It was prepared, and needs no video any more.

    rows = prepare(dataset, recipe=RECIPE, work=Work(workers=1, packed=True))

    assert {row.video: row.state for row in rows} == dict.fromkeys(dataset.videos, "ready")
    assert len(archives(dataset.root)) == 4


def test_loose_files_are_not_made_beside_archives(dataset):
    prepare(dataset, recipe=RECIPE, work=Work(1, limit=2, packed=True))

    with pytest.raises(ValueError, match=r"Add --pack .*./run pack mine --root .* --unpack"):
        prepare(dataset, recipe=RECIPE)


@pytest.mark.slow
def test_shards_of_archives_are_packed_once_they_are_merged(dataset):
    for number in (1, 2):
        prepare(dataset, recipe=RECIPE, work=Work(1, shard=(number, 2), packed=True))
        assert layout_name(dataset) == HALF_PACKED

    merge_shards(dataset)

    assert layout_name(dataset) == PACKED


def test_a_removal_that_was_interrupted_after_packing_is_finished(dataset):
    prepare(dataset, recipe=RECIPE, work=Work(1, packed=True))
    video = with_counts(dataset).videos["a b 0"]
    dataset.frame_folder(video).mkdir()
    (dataset.frame_folder(video) / "img_00002.jpg").write_bytes(b"the last that was not removed")
    before = archive_path(dataset, video).read_bytes()

    pack(with_counts(dataset))

    assert not dataset.frame_folder(video).exists()
    assert archive_path(dataset, video).read_bytes() == before


def test_a_folder_with_a_hole_is_not_packed(dataset):
    prepare(dataset, 1, RECIPE)
    (dataset.frame_folder(dataset.videos["a b 0"]) / "img_00002.jpg").unlink()

    with pytest.raises(ValueError, match=r"img_0000\d\.jpg can't be packed"):
        pack(with_counts(dataset))


def test_what_can_not_be_added_to_a_damaged_archive_costs_that_video_only(dataset):
    video = dataset.videos["a b 1"]
    source, folder = dataset.root / "videos" / video.relative_path, dataset.frame_folder(video)
    frames, flow = (
        Job(source, folder, video.name, "", dataclasses.replace(RECIPE, only=only), True) for only in ("frames", "flow")
    )
    extract_video(frames)
    path = archive_path(dataset, video)
    content = path.read_bytes()
    place = content.index(b"\xff\xd8", 500) + 300
    path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])

    row = extract_video(flow)

    assert row.state == "broken"
    assert "Bad CRC" in row.reason


@pytest.mark.slow
def test_the_doctor_reads_archives_and_makes_damaged_ones_again(dataset, capsys):
    prepare(dataset, recipe=RECIPE, work=Work(1, packed=True))
    path = archive_path(dataset, dataset.videos["a b 1"])
    sound = path.read_bytes()
    broken = bytearray(sound)
    broken[sound.index(b"\xff\xd8", 500) + 300] ^= 255
    path.write_bytes(broken)

    with pytest.raises(ValueError, match="findings"):
        doctor(["mine", "--root", str(dataset.root), "--full"])
    assert "(a b 1)" in capsys.readouterr().out
    doctor(["mine", "--root", str(dataset.root), "--full", "--fix"])

    assert path.read_bytes() == sound
    assert read_index(index_path(dataset.root))["a b 1"].state == "ready"


@pytest.mark.parametrize("packed", [False, True])
def test_a_full_disk_ends_in_one_message_and_the_second_run_in_the_same_bytes(dataset, packed):
    work = Work(1, packed=packed)
    prepare(dataset, recipe=RECIPE, work=work)
    expected = archives(dataset.root)
    shutil.rmtree(dataset.root / "rawframes")
    index_path(dataset.root).unlink()
    little_room = dataclasses.replace(work, extract=extract_on_full_disk)

    with pytest.raises(OSError, match=r"^No space left on device: .*Make room, then run the same command again"):
        prepare(dataset, recipe=RECIPE, work=little_room)
    left = list(dataset.root.glob("rawframes/*/*"))
    (dataset.root / ROOM).touch()
    prepare(dataset, recipe=RECIPE, work=little_room)

    assert left == []
    assert archives(dataset.root) == expected
