"""The index of very many videos: a table that is mapped, which says the same as the CSV."""

import dataclasses
import json

import numpy as np
import pytest

from data.catalog import DataSet, Split, Video
from data.ready import frame_description, ready_dataset
from data.sets.folders import keep_list, open_dataset
from data.sets.lists import cut_validation, training_lists
from data.store.columns import PART_ROWS, Ragged, Table, TableWriter, first_place, key_of, keys_of, mixed
from data.store.description import Recipe
from data.store.index import BROKEN, MISSING, Row, index_path, is_table, read_index, table_folder
from data.store.mapped_index import VideoRows, mapped_index
from data.store.mapped_writer import BOTH, CSV, TABLE, keep_index

CLASSES = "Ä", "b", "c"


def made_set(root, number=60, *, multi_label=False):
    """A data set of made-up videos with groups of two, its list, and the row of each."""
    videos = {}
    for place in range(number):
        label = place % 3
        name = f"v{place:03d}_{'é' * (place % 4)}"
        group = name if place % 5 == 0 else f"g{place // 6}_{label}"
        labels = tuple({0, label}) if multi_label else (label,)
        videos[name] = Video(name, CLASSES[label], (".avi", ".mp4")[place % 2], labels, group)
    names = list(videos)
    split = Split(tuple(names[::-1][: number * 2 // 3]), tuple(names[: number // 3]))
    dataset = DataSet("made", root, CLASSES, videos, {1: split}, multi_label, keep_list=keep_list)
    keep_list(dataset)
    rows = [
        Row(
            video.name,
            video.folder,
            10 + place,
            9 + place,
            64,
            48 + (place % 3 > 1),
            1000 * place,
            stored="s" * (place % 2),
        )
        for place, video in enumerate(videos.values())
    ]
    rows[4] = Row(names[4], rows[4].folder, state=BROKEN, reason="bad\nfile")
    rows[7] = Row(names[7], rows[7].folder, state=MISSING, reason="none")
    Recipe(short_side=48).keep(root)
    return dataset, rows


@pytest.fixture(params=[False, True], ids=["one-label", "several-labels"])
def both(request, tmp_path):
    """The same prepared data set, its index once a CSV and once a table."""
    found = []
    for form in (CSV, TABLE):
        root = tmp_path / form
        _, rows = made_set(root, multi_label=request.param)
        keep_index(open_dataset(root), rows, form)
        found.append(ready_dataset("folder", root))
    return found


def test_a_table_gives_the_same_videos_and_lists_as_the_csv(both):
    csv, table = both

    assert isinstance(table.part(1, "train"), VideoRows)
    assert dict(table.videos) == dict(csv.videos)
    assert len(table.videos) == 58
    for part in ("train", "test", "validation"):
        assert list(table.part(1, part)) == list(csv.part(1, part))
        assert list(getattr(table.splits[1], part)) == list(getattr(csv.splits[1], part))
    assert (table.classes, table.multi_label, table.layout) == (csv.classes, csv.multi_label, csv.layout)
    assert frame_description(table.root) == frame_description(csv.root)


def test_rows_of_a_table_are_those_of_the_csv(both):
    csv, table = (read_index(index_path(dataset.root)) for dataset in both)

    assert not index_path(both[1].root).exists() and is_table(both[1].root)
    assert {row.video: row for row in table.values()} == csv
    assert all(table[name] == row for name, row in csv.items())
    assert "nobody" not in table


def test_the_form_of_an_index_stays_until_another_is_asked_for(tmp_path):
    dataset, rows = made_set(tmp_path)

    keep_index(dataset, rows)
    assert (index_path(tmp_path).exists(), is_table(tmp_path)) == (True, False)
    keep_index(dataset, rows, BOTH)
    keep_index(dataset, rows[:10])
    assert (index_path(tmp_path).exists(), is_table(tmp_path)) == (True, True)
    assert len(read_index(index_path(tmp_path))) == 10
    keep_index(dataset, rows, CSV)
    assert (index_path(tmp_path).exists(), is_table(tmp_path)) == (True, False)


def test_lists_that_have_changed_are_read_again(tmp_path):
    _, rows = made_set(tmp_path)
    keep_index(open_dataset(tmp_path), rows, TABLE)
    path = tmp_path / "annotations" / "videos.csv"
    path.write_text(path.read_text().replace(",test", ",train"))

    found = ready_dataset("folder", tmp_path)

    assert not found.splits[1].test and len(found.splits[1].train) == 58


def test_validation_is_cut_from_a_table_by_whole_groups_some_of_every_class(both):
    table = both[1]

    training, validation = cut_validation(table.part(1, "train"), 0.3, seed=3)

    assert len(training) + len(validation) == len(table.part(1, "train"))
    assert not {video.group for video in training} & {video.group for video in validation}
    assert {label for video in validation for label in video.labels} == {0, 1, 2}
    again = training_lists(table, 1, "validation", 0.3, 3)
    assert [list(part) for part in again] == [list(training), list(validation)]
    assert list(training_lists(table, 1, "validation", 0.3, 4)[1]) != list(validation)


def test_videos_of_one_class_are_found(tmp_path):
    dataset, rows = made_set(tmp_path)
    keep_index(dataset, rows, TABLE)
    found = mapped_index(tmp_path)

    of_class = found.of_class(found.part(1, "train"), 1)

    assert {video.labels for video in of_class} == {(1,)}
    assert len(of_class) == sum(video.label == 1 for video in found.part(1, "train"))


def test_columns_are_read_over_parts(tmp_path, monkeypatch):
    writer = TableWriter(tmp_path)
    for first in (0, 100, 200):
        names = Ragged.of_texts(f"n{number}" for number in range(first, first + 100))
        alike = np.full(100, first, np.int32)
        writer.add(100, {"name": names, "number": np.arange(first, first + 100), "alike": alike})
    writer.close({"of": "me"}, {"list": np.array([0], np.uint32)})

    table = Table(tmp_path)

    rows = np.array([299, 0, 100, 7, 100])
    assert table.numbers("number", rows).tolist() == rows.tolist()
    assert table.numbers("alike", rows).tolist() == [200, 0, 100, 0, 100]
    assert table.numbers("missing", rows).tolist() == [0] * 5
    assert [table.text("name", row) for row in rows] == ["n299", "n0", "n100", "n7", "n100"]
    assert [table.number("alike", row) for row in rows] == [200, 0, 100, 0, 100]
    assert (len(table), table.whole("list").tolist(), table.about) == (300, [0], {"of": "me"})
    assert sum(int(values.sum()) for _, values in table.chunks("number")) == 299 * 150


def test_a_table_is_replaced_whole_and_who_has_it_open_keeps_it(tmp_path):
    def write(number):
        writer = TableWriter(tmp_path)
        writer.add(2, {"number": np.array([number, number + 1])})
        return writer

    write(1).close({}, {})
    before = Table(tmp_path)
    assert before.number("number", 1) == 2
    write(5)  # Is never closed.
    assert Table(tmp_path).number("number", 0) == 1
    write(7).close({}, {})

    assert before.number("number", 0) == 1
    assert Table(tmp_path).number("number", 0) == 7
    assert Table(tmp_path).digest != before.digest
    assert len(list(tmp_path.glob("0*"))) == 1


def test_a_damaged_table_is_named(tmp_path):
    dataset, rows = made_set(tmp_path)
    keep_index(dataset, rows, TABLE)
    path = next(table_folder(tmp_path).glob("*/00000/frames.npy"))

    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"frames\.npy is damaged .*Run prepare again"):
        mapped_index(tmp_path).all().column("frames")
    path.unlink()
    with pytest.raises(ValueError, match=r"frames\.npy is damaged"):
        mapped_index(tmp_path).all().column("frames")
    described = table_folder(tmp_path) / "table.json"
    described.write_text(json.dumps({**json.loads(described.read_text()), "rows": ["many"]}))
    with pytest.raises(ValueError, match=r"table\.json can't be used"):
        mapped_index(tmp_path)


def test_names_with_control_characters_are_refused(tmp_path):
    dataset, rows = made_set(tmp_path)
    name = rows[0].video
    bad = dataclasses.replace(dataset.videos[name], group="\x1b[2J")
    keep_index(dataset.replace_videos([bad]), rows, TABLE)

    with pytest.raises(ValueError, match="control characters"):
        mapped_index(tmp_path)[name]


def test_a_key_is_found_where_a_search_of_all_keys_finds_it():
    spread = np.sort(np.random.default_rng(0).integers(0, 2**64, 30_000, np.uint64))
    crowded = np.sort(np.concatenate([spread[:50] >> np.uint64(20), spread, spread[100:120]]))

    for keys in (spread, crowded, spread[:1], spread[:0]):
        asked = [0, 2**64 - 1, *keys[:: max(1, len(keys) // 300)].tolist()]
        asked += [each - 1 for each in asked[2:] if each]
        assert [first_place(keys, key) for key in asked] == np.searchsorted(keys, np.array(asked, np.uint64)).tolist()


def test_keys_tell_texts_apart_and_do_not_depend_on_their_neighbours():
    texts = [f"{'x' * (number % 7)}{number}" for number in range(5000)] + ["", "a", "aa", "é"]

    keys = keys_of(Ragged.of_texts(texts))

    assert len(set(keys.tolist())) == len(texts)
    assert all(keys_of(Ragged.of_texts([text])) == key for text, key in zip(texts[::97], keys[::97], strict=True))
    assert [key_of(text) for text in texts] == keys.tolist()
    shares = np.bincount((mixed(keys) >> np.uint64(60)).astype(int), minlength=16) / len(keys)
    assert abs(shares - 1 / 16).max() < 0.02
    assert PART_ROWS >= 2**20
