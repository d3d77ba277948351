"""Clips that are cut from long videos by labelled segments."""

import json
from collections import Counter

import numpy as np
import pytest

from data.extraction.decoder import read_frames, write_video
from data.prepare import main as prepare
from data.ready import ready_dataset
from data.sets.cutting import rate_of, videos_below
from data.sets.segments import read_segments
from tests.makers.models import moving_texture

RATE = 10


@pytest.fixture(scope="module")
def long_videos(tmp_path_factory):
    """Four videos of six seconds."""
    folder = tmp_path_factory.mktemp("long")
    for number in range(4):
        write_video(folder / f"day{number}.avi", moving_texture(60, seed=number), RATE)
    return folder


def table(path, rows):
    path.write_text("video,label,start,end\n" + "".join(f"{','.join(map(str, row))}\n" for row in rows))
    return path


LABELLED = [
    (f"day{number}.avi", label, *span)
    for number in range(4)
    for label, span in (("Run", (0.5, 1.5)), ("Sit", (3, "0:04.5")))
]


def cut(long_videos, tmp_path, segments, *options):
    root = tmp_path / "made"
    words = ["mine", "--videos", str(long_videos), "--segments", str(segments), "--root", str(root), *options]
    prepare([*words, "--method", "dis", "--workers", "1"])
    return ready_dataset("mine", root)


def test_a_clip_holds_the_very_frames_of_its_segment_and_videos_are_not_parted(long_videos, tmp_path):
    dataset = cut(long_videos, tmp_path, table(tmp_path / "labels.csv", LABELLED))

    assert dataset.classes == ("Run", "Sit")
    video = next(each for each in dataset.videos.values() if each.group == "day1.avi" and each.label == 1)
    clip = list(read_frames(dataset.root / "videos" / video.relative_path))
    whole = list(read_frames(long_videos / "day1.avi"))
    np.testing.assert_array_equal(clip, whole[30:45])
    assert rate_of(dataset.root / "videos" / video.relative_path) == RATE
    parts = [
        {dataset.videos[name].group for name in part} for part in (dataset.splits[1].train, dataset.splits[1].test)
    ]
    assert not parts[0] & parts[1] and len(parts[0] | parts[1]) == 4


def test_a_segment_is_of_one_class_whatever_its_name_holds(long_videos, tmp_path):
    named = {"Run": "walk|run", "Sit": "=sit"}
    labels = table(tmp_path / "labels.csv", [(video, named[label], *span) for video, label, *span in LABELLED])

    dataset = cut(long_videos, tmp_path, labels)

    assert dataset.classes == ("=sit", "walk|run") and not dataset.multi_label
    assert "'=sit/" in (dataset.root / "videos" / "videos.csv").read_text()


def test_what_is_not_labelled_becomes_nothing_where_that_is_wanted(long_videos, tmp_path):
    dataset = cut(long_videos, tmp_path, table(tmp_path / "labels.csv", LABELLED), "--with-nothing")

    counts = Counter(dataset.classes[video.label] for video in dataset.videos.values())
    assert counts == {"Run": 4, "Sit": 4, "nothing": 4}  # As many as of the commonest class.
    spans = [name.rpartition("_")[2] for name in dataset.videos]
    for span, video in zip(spans, dataset.videos.values(), strict=True):
        start, end = (float(word) for word in span.split("-"))
        if dataset.classes[video.label] == "nothing":
            assert end <= 0.5 or (start >= 1.5 and end <= 3) or start >= 4.5
            assert end - start == pytest.approx(1.25)  # The median of one second and a half, and one.


def exported(path, tasks):
    path.write_text(json.dumps(tasks))
    return path


def task(video, *parts, **more):
    regions = [
        {"type": "timelinelabels", "value": {"ranges": [{"start": start, "end": end}], "timelinelabels": [label]}}
        for label, start, end in parts
    ]
    return {"id": 1, "data": {"video": video}, "annotations": [{"result": regions, **more}]}


def test_an_export_of_label_studio_is_read_in_frames_of_the_video(long_videos, tmp_path):
    path = exported(
        tmp_path / "export.json",
        [
            task("/data/upload/3/0123abcd-day0.avi", ("Run", 1, 10), ("Sit", 31, 45)),
            task("day1.avi", ("Run", 11, 20), was_cancelled=True),
        ],
    )

    found = read_segments(path, videos_below(long_videos), rate_of)

    assert [(each.video, each.label, each.start, each.end) for each in found] == [
        ("day0.avi", "Run", 0.0, 1.0),
        ("day0.avi", "Sit", 3.0, 4.5),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,start,end\n", "no column label"),
        ("video,label,start,end\n", "has no labelled segments"),
        ("video,label,start,end\nday0.avi,Run,2,1\n", "Line 2 .* lasts from 2 to 1 seconds"),
        ("video,label,start,end\nday0.avi,Run,soon,1\n", "Line 2 .* the start 'soon'"),
        ("video,label,start,end\nday0.avi,,0,1\n", "Line 2 .* has no label"),
        ("video,label,start,end\nnight.avi,Run,0,1\n", "'night.avi', which is none of the 4 videos, like day0.avi"),
    ],
)
def test_a_table_that_can_not_be_used_is_refused_with_the_line(text, message, long_videos, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(text)

    with pytest.raises(ValueError, match=message):
        read_segments(path, videos_below(long_videos), rate_of)


def test_another_json_is_no_export(long_videos, tmp_path):
    with pytest.raises(ValueError, match="no export of Label Studio"):
        read_segments(exported(tmp_path / "export.json", {"a": 1}), videos_below(long_videos), rate_of)


def test_other_segments_do_not_change_a_split_behind_ones_back(long_videos, tmp_path):
    cut(long_videos, tmp_path, table(tmp_path / "labels.csv", LABELLED))

    with pytest.raises(ValueError, match="lists other clips than were cut now"):
        cut(long_videos, tmp_path, table(tmp_path / "labels.csv", LABELLED[:-1]))
