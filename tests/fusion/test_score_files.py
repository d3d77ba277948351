"""Score files: ours, and those of others."""

import dataclasses
import json
import os
import pickle
import shutil
from collections import OrderedDict

import h5py
import numpy as np
import pytest

from commands.pickled_arrays import read_pickle
from fusion.evaluate import main as evaluate
from fusion.methods.evidence import Evidence
from fusion.scores.gather import from_files
from fusion.scores.of_files import read_score_file
from streams.runs.score_file import Scores, read_scores, write_scores

VIDEOS = ("v_Run_g01_c01", "v_Run_g02_c01", "v_Sit_g01_c01")
LOGITS = np.arange(6, dtype=np.float64).reshape(3, 2)


def scores(**changes):
    plain = Scores(
        stream="spatial",
        data_set="made",
        split=1,
        part="test",
        protocol="2x10",
        model_hash="m",
        data_hash="d",
        selection="validation",
        classes=("Run", "Sit"),
        videos=VIDEOS,
        labels=np.array([0, 0, 1]),
        view_logits=np.stack([LOGITS, LOGITS + 1], axis=1).astype(np.float32),
    )
    return dataclasses.replace(plain, **changes)


def test_a_score_file_gives_back_what_was_written(tmp_path):
    write_scores(tmp_path / "scores.h5", scores())

    found = read_scores(tmp_path / "scores.h5")

    for name, value in vars(scores()).items():
        np.testing.assert_array_equal(getattr(found, name), value)


def test_features_are_read_again_and_not_taken_for_scores(tmp_path):
    features = scores(protocol="2x1-features", view_logits=np.zeros((3, 2, 7), np.float32))
    write_scores(tmp_path / "test_2x1-features.h5", features)

    assert read_scores(tmp_path / "test_2x1-features.h5").view_logits.shape == (3, 2, 7)
    with pytest.raises(ValueError, match=r"test_2x1-features\.h5 holds features, which can't be fused"):
        read_score_file(str(tmp_path / "test_2x1-features.h5"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"videos": (*VIDEOS[:2], "v_Sit_g09_c01")}, "v_Sit_g01_c01 against v_Sit_g09_c01"),
        ({"videos": VIDEOS[:2]}, "3 against 2, first at place 2, which only one of them has"),
        ({"classes": ("Run", "Jump")}, "Sit against Jump"),
        ({"split": 2}, "1 against 2"),
        ({"data_set": "other"}, "made against other"),
        ({"labels": np.array([0, 1, 1])}, "v_Run_g02_c01"),
    ],
)
def test_scores_that_disagree_are_refused_with_the_first_difference(changes, message):
    with pytest.raises(ValueError, match=message):
        Evidence.of([scores(), scores(stream="temporal", **changes)], ["a", "b", "c"])


def test_scores_that_are_not_finite_are_refused_with_the_video():
    broken = scores().view_logits.copy()
    broken[1, 0, 0] = np.nan

    with pytest.raises(ValueError, match=r"1 of 3 .*spatial.*v_Run_g02_c01"):
        Evidence.of([scores(view_logits=broken)], ["a", "b", "c"])


def test_a_damaged_score_file_is_named(tmp_path):
    path = tmp_path / "scores.h5"
    write_scores(path, scores())
    path.write_bytes(path.read_bytes()[:500])

    with pytest.raises(ValueError, match=r"scores\.h5"):
        read_scores(path)


def write_npz(path):
    np.savez(path, clips=np.array(VIDEOS), spatial=LOGITS, temporal=LOGITS[::-1])
    return f"{path}:spatial"


def write_npy(path):
    np.save(path, LOGITS)
    path.with_suffix(".txt").write_text("".join(f"Some/{name}.avi 1\n" for name in VIDEOS))
    return str(path)


def write_pickle(path):
    path.write_bytes(pickle.dumps({name.removeprefix("v_"): row for name, row in zip(VIDEOS, LOGITS, strict=True)}))
    return str(path)


def write_tsn(path):
    rows = np.empty((3, 2), dtype=object)
    for place, row in enumerate(LOGITS):  # 25 segments, a crop each, and the label beside them.
        rows[place, 0], rows[place, 1] = np.tile(row, (25, 1, 1)), place
    np.savez(path, scores=rows, labels=np.array([0, 0, 1]))
    path.with_suffix(".txt").write_text("\n".join(VIDEOS))
    return f"{path}:scores"


def write_csv(path):
    lines = [f"{name},{row[0]},{row[1]}" for name, row in zip(VIDEOS, LOGITS, strict=True)]
    path.write_text("\n".join(["video,Run,Sit", *lines]) + "\n")
    return str(path)


def write_hdf5(path):
    write_scores(path, scores(view_logits=LOGITS[:, None]))
    return str(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npz", write_npz),
        ("a.npy", write_npy),
        ("a.pickle", write_pickle),
        ("tsn.npz", write_tsn),
        ("a.csv", write_csv),
        ("a.h5", write_hdf5),
    ],
)
def test_score_files_of_others_are_read(tmp_path, name, write):
    source = write(tmp_path / name)

    gathered = from_files([source, source], None, 1, None)

    np.testing.assert_array_equal(gathered.unseen.labels, [0, 0, 1])
    assert gathered.streams[0].classes == ("Run", "Sit")
    assert len(set(gathered.unseen.streams)) == 2
    for logits in gathered.unseen.logits:
        np.testing.assert_allclose(logits, LOGITS)


def test_videos_in_another_order_are_put_in_order(tmp_path):
    np.savez(tmp_path / "a.npz", clips=np.array(VIDEOS), spatial=LOGITS)
    np.savez(tmp_path / "b.npz", clips=np.array(VIDEOS[::-1]), temporal=LOGITS[::-1])

    gathered = from_files([str(tmp_path / "a.npz"), str(tmp_path / "b.npz")], None, 1, None)

    np.testing.assert_array_equal(gathered.unseen.logits[1], LOGITS)


@pytest.mark.parametrize("written", ["{}.avi", "Some/{}", "videos/Some/{}.mp4"])
def test_names_are_matched_without_folder_extension_and_prefix(tmp_path, written):
    np.savez(tmp_path / "a.npz", clips=np.array([written.format(name) for name in VIDEOS]), spatial=LOGITS)
    names = np.array([name.removeprefix("v_").lower() for name in VIDEOS[::-1]])
    np.savez(tmp_path / "b.npz", clips=names, temporal=LOGITS[::-1])

    gathered = from_files([str(tmp_path / "a.npz"), str(tmp_path / "b.npz")], None, 1, None)

    assert gathered.streams[0].videos == VIDEOS
    assert gathered.streams[0].classes == ("Run", "Sit")
    np.testing.assert_array_equal(gathered.unseen.logits[1], LOGITS)


def test_videos_whose_names_differ_in_their_folder_alone_stay_apart(tmp_path):
    names = np.array(["run/001.avi", "sit/001.avi", "run/002.avi"])
    np.savez(tmp_path / "a.npz", clips=names, spatial=LOGITS)
    np.savez(tmp_path / "b.npz", clips=names[::-1], temporal=LOGITS[::-1])

    gathered = from_files([str(tmp_path / "a.npz"), str(tmp_path / "b.npz")], None, 1, None)

    np.testing.assert_array_equal(gathered.unseen.labels, [0, 1, 0])
    np.testing.assert_array_equal(gathered.unseen.logits[1], LOGITS)


def test_labels_in_a_file_say_which_column_is_of_which_class(tmp_path):
    np.savez(tmp_path / "a.npz", clips=np.array(VIDEOS), spatial=LOGITS, labels=np.array([1, 1, 0]))

    gathered = from_files([f"{tmp_path / 'a.npz'}:spatial"], None, 1, None)

    np.testing.assert_array_equal(gathered.unseen.labels, [0, 0, 1])
    np.testing.assert_array_equal(gathered.unseen.logits[0], LOGITS[:, ::-1])


def test_labels_in_a_file_that_contradict_the_names_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", clips=np.array(VIDEOS), spatial=LOGITS, labels=np.array([1, 0, 0]))

    with pytest.raises(ValueError, match=r"contradict .*v_Run_g0"):
        from_files([f"{tmp_path / 'a.npz'}:spatial"], None, 1, None)


def test_scores_of_others_that_are_not_finite_are_not_blamed_on_a_learning_rate(tmp_path):
    broken = LOGITS.copy()
    broken[1] = np.nan
    np.savez(tmp_path / "a.npz", clips=np.array(VIDEOS), spatial=broken)

    with pytest.raises(ValueError, match=r"v_Run_g02_c01\. They come from a score file") as raised:
        from_files([str(tmp_path / "a.npz")], None, 1, None)

    assert "--learning-rate" not in str(raised.value)


def made_splits(folder, number=3):
    """Files of two streams for each of some splits, of 60 videos in 12 groups each."""
    for split in range(1, number + 1):
        random = np.random.default_rng(split)
        labels = np.arange(60) % 3
        names = [f"v_{'ABC'[label]}_g{5 * split + row // 15:02}_c{row:02}" for row, label in enumerate(labels)]
        streams = 2 * np.eye(3)[labels] + random.normal(size=(2, 60, 3))
        np.savez(folder / f"split{split}.npz", clips=np.array(names), rgb=streams[0], flow=streams[1])
    return [word for name in ("rgb", "flow") for word in ("--scores", f"{folder}/split{{split}}.npz:{name}")]


def test_score_files_of_several_splits_are_evaluated_together(tmp_path, capsys):
    words = [*made_splits(tmp_path), "--split", "all", "--method", "average", "--method", "weighted-logits:1,1.5"]
    words += ["--top", "2", "--compare", "rgb", "--runs", str(tmp_path / "runs")]

    evaluate([*words, "--json", str(tmp_path / "out.json")])

    printed, found = capsys.readouterr().out, json.loads((tmp_path / "out.json").read_text())
    assert "mean of 3 splits" in printed
    assert list(found["splits"]) == ["1", "2", "3"]
    assert list(found["video_accuracy"]) == ["rgb", "flow", "average", "weighted-logits:1,1.5"]
    assert found["top"] == 2
    assert found["top_accuracy"]["rgb"] > found["video_accuracy"]["rgb"]
    assert list(found["comparison"]["rows"]) == ["flow", "average", "weighted-logits:1,1.5"]
    pages = sorted(
        path.parent.name for path in (tmp_path / "runs" / "clips" / "fusion" / "files").glob("*/report.html")
    )
    assert pages == ["all", "split1", "split2", "split3"]


def test_score_files_of_several_splits_need_a_place_for_the_number(tmp_path, capsys):
    with pytest.raises(SystemExit):
        evaluate(["--scores", str(tmp_path / "a.npz"), "--split", "all"])

    assert "write {split} where its number stands" in capsys.readouterr().err


def test_a_video_that_one_file_lacks_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", clips=np.array(VIDEOS), spatial=LOGITS)
    np.savez(tmp_path / "b.npz", clips=np.array(VIDEOS[:2]), temporal=LOGITS[:2])

    with pytest.raises(ValueError, match="v_Sit_g01_c01"):
        from_files([str(tmp_path / "a.npz"), str(tmp_path / "b.npz")], None, 1, None)


def test_an_array_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    source = write_npz(tmp_path / "a.npz").replace(":spatial", ":sound")

    with pytest.raises(ValueError, match="spatial, temporal"):
        read_score_file(source)


class _Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("ending", ["pickle", "npz"])
def test_a_pickle_that_runs_something_is_refused_and_nothing_runs(tmp_path, ending):
    path, trace = tmp_path / f"scores.{ending}", tmp_path / "was_here"
    if ending == "pickle":
        path.write_bytes(pickle.dumps({"v_Run_g01_c01": _Harmful(trace)}))
    else:
        np.savez(path, scores=np.array([_Harmful(trace), 1], dtype=object))

    with pytest.raises(ValueError, match="mkdir"):
        read_score_file(f"{path}:scores" if ending == "npz" else str(path))

    assert not trace.exists()


@pytest.mark.parametrize("array", ["clips", "labels", "npy"])
def test_objects_are_refused_in_every_array_but_scores(tmp_path, array):
    arrays = {"clips": np.array(VIDEOS), "spatial": LOGITS, "labels": np.array([0, 0, 1])}
    path = tmp_path / ("a.npy" if array == "npy" else "a.npz")
    if array == "npy":
        np.save(path, np.array([*LOGITS, None], dtype=object)[:3])
    else:
        np.savez(path, **{**arrays, array: arrays[array].astype(object)})

    with pytest.raises(ValueError, match="was not opened: Python objects are allowed only in the scores"):
        read_score_file(f"{path}:spatial" if array != "npy" else str(path))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [
        {"a": np.eye(3, dtype="f4"), "b": [1, 2.5, None, True, "x", b"y", (1, 2), {3, 4}]},
        OrderedDict(a=np.int64(4), b=np.float32(0.5), c=np.arange(6, dtype=">i4")),
        [
            np.asfortranarray([[1, 2], [3, 4]]),
            np.array(["aa", "b"]),
            np.zeros((0, 3)),
            np.array(5.0),
        ],
        [10**30, bytearray(b"z"), b"", set(), {}],
        np.array([{"a": 1}, [1, 2]], dtype=object),
    ],
    ids=["plain", "scalars", "arrays", "bytes", "objects"],
)
def test_plain_values_are_read_as_python_would_read_them(tmp_path, value, protocol):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol))

    found = read_pickle(tmp_path / "a.pkl")

    assert as_text(found) == as_text(value)


def as_text(value):
    """A value and the types of its parts, of which numbers of NumPy and ordered dictionaries are plain ones."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{as_text(value.tolist())}"
    if isinstance(value, dict):
        return str([(key, as_text(each)) for key, each in value.items()])
    if isinstance(value, list | tuple):
        return type(value).__name__ + str([as_text(each) for each in value])
    return repr(value.item() if isinstance(value, np.generic) else value)


def within_itself():
    found = []
    found.append(found)
    return found


def shared(times):
    found = 0
    for _ in range(10):
        found = [found] * times
    return found


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        # Python would take eight bytes of the file for the address of an object.
        (b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'O8'\nI0\nI1\ntRS'AAAAAAAA'\ntR.", "1 objects"),
        # Decoding takes time that grows with the square of the length.
        (b"c_codecs\nencode\n(V" + b"a" * 10**6 + b"\nVpunycode\ntR.", "punycode"),
        (pickle.dumps(within_itself()), "within each other"),
        (pickle.dumps(shared(1000)), "within each other"),
        (pickle.dumps({((((), ()),), ()): 1}), "tuple as a key"),
        (pickle.dumps(np.zeros(3, [("a", "f4")])), "type"),
        (pickle.dumps(1 + 2j), "builtins.complex"),
        (b"\x80\x04I1\n", "ends too early|exhausted"),
        (b"(lp0\nI1\na", "ends too early|exhausted"),
        (b"", "ends too early|exhausted"),
    ],
    ids=["address", "punycode", "itself", "shared", "key", "fields", "complex", "short", "shorter", "empty"],
)
def test_pickles_that_crash_or_never_end_elsewhere_are_refused_at_once(tmp_path, stored, said):
    (tmp_path / "a.pkl").write_bytes(stored)

    with pytest.raises(ValueError, match=f"a.pkl was not opened: .*({said})"):
        read_pickle(tmp_path / "a.pkl")


def test_no_damaged_pickle_does_anything_but_be_read_or_refused(tmp_path):
    random = np.random.default_rng(0)
    sound = [pickle.dumps([{"a": np.eye(2), "b": (1, "x")}, np.array([None, 2.5])], protocol) for protocol in range(6)]
    refused = 0

    for trial in range(3000):
        stored = bytearray(sound[trial % 6])
        for place in random.integers(0, len(stored), random.integers(1, 5)):
            stored[place] = random.integers(256)
        (tmp_path / "a.pkl").write_bytes(stored)
        try:
            read_pickle(tmp_path / "a.pkl")
        except ValueError:
            refused += 1

    assert 1000 < refused < 3000


def test_score_files_that_lead_elsewhere_or_do_not_fit_are_refused(tmp_path):
    write_scores(tmp_path / "sound.h5", scores())
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(10**4))

    def external(file):
        size = (3, 2, 2)
        file.create_dataset("view_logits", size, "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])

    def linked(file):
        file["view_logits"] = h5py.ExternalLink(str(tmp_path / "sound.h5"), "view_logits")

    def virtual(file):
        layout = h5py.VirtualLayout((3, 2, 2), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "sound.h5"), "view_logits", (3, 2, 2))
        file.create_virtual_dataset("view_logits", layout)

    def packed(file):
        file.create_dataset("view_logits", (3, 10**6, 2), "f4", compression="gzip", chunks=(1, 10**5, 2), fillvalue=0)

    def flat(file):
        file["view_logits"] = np.zeros(3, "f4")

    for change in (external, linked, virtual, packed, flat, lambda file: None):
        shutil.copy(tmp_path / "sound.h5", tmp_path / "a.h5")
        with h5py.File(tmp_path / "a.h5", "a") as file:
            del file["view_logits"]
            change(file)
        with pytest.raises(ValueError, match=r"a\.h5 is no score file, or a damaged one"):
            read_scores(tmp_path / "a.h5")


def test_a_pickle_without_scores_is_refused(tmp_path):
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(5))
    (tmp_path / "a.txt").write_text("v_Run_g01_c01")

    with pytest.raises(ValueError, match=r"must hold a list of the scores of videos\. Received int"):
        read_score_file(str(tmp_path / "a.pickle"))


def test_a_list_is_asked_for_where_a_file_names_no_videos(tmp_path):
    np.save(tmp_path / "a.npy", LOGITS)

    with pytest.raises(FileNotFoundError, match="--names"):
        read_score_file(str(tmp_path / "a.npy"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("size", [2**64 - 40, 2**40, 0])
def test_texts_on_whose_damage_hdf5_would_loop_for_ever_are_refused(tmp_path, size):
    write_scores(tmp_path / "scores.h5", scores())
    content = bytearray((tmp_path / "scores.h5").read_bytes())
    heap = content.find(b"GCOL")
    entry = heap + 16 if size else content.find(b"v_Sit_g01_c01", heap) + 16  # Or the room that is left.
    content[entry + 8 : entry + 16] = size.to_bytes(8, "little")
    (tmp_path / "scores.h5").write_bytes(content)

    with pytest.raises(ValueError, match="its texts are damaged"):
        read_scores(tmp_path / "scores.h5")
