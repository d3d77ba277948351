"""The kinds of input that benchmarks/robustness/changed_files.py changes, and the command that then reads each."""

import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from benchmarks.robustness.mutations import changed_bytes, changed_json, changed_table, odd_name
from commands.text import printable
from data import doctor
from data.extraction.one_video import Job, extract_video
from data.extraction.unpack import unpack
from data.pack import pack
from data.ready import open_dataset
from data.store.description import Recipe
from data.store.flow_files import read_flow, write_flo
from data.store.index import with_counts
from fusion import evaluate
from fusion.methods.kept import Fusion, KeptFusions
from fusion.prediction.as_prepared import PreparedVideo
from fusion.prediction.named_videos import named_videos
from streams.runs.run_folder import Run, say_result, threads_before
from streams.weights.torch_file import read_tensors
from tests.makers.data import extract_all, hmdb51_lists, sound_data, ucf101_lists, write_clip
from tests.makers.torch.files import FORMS, write_safetensors, write_torch

Act = Callable[[Path], None]
# The videos of the score files.
NAMES = tuple(f"v_{label}_g{group:02d}_c01" for label in ("Run", "Sit") for group in range(1, 6))


class Kind(NamedTuple):
    """A kind of input: what makes a changed one in a folder, and the command that reads it there."""

    make: Callable[[Path, random.Random], None]
    act: Act
    needs_networks: bool = False


def kinds(seeds: Path) -> dict[str, Kind]:
    """Returns all kinds; what they are changed from is made in `seeds` first."""
    if not (seeds / "whole").exists():
        shutil.rmtree(seeds, ignore_errors=True)
        _make_seeds(seeds)
        (seeds / "whole").touch()
    return {**_of_pixels(seeds), **_of_data_sets(seeds), **_of_scores(seeds), **_of_runs(seeds), **_of_weights(seeds)}


def _make_seeds(seeds: Path) -> None:
    for ending, codec in (("avi", "MJPG"), ("mp4", "mp4v"), ("webm", "VP80"), ("mkv", "FFV1")):
        write_clip(seeds / "videos" / f"clip.{ending}", frames=6, codec=codec)
    frames = [Image.fromarray(np.random.default_rng(n).integers(0, 255, (40, 48, 3), np.uint8)) for n in range(4)]
    frames[0].save(seeds / "videos" / "clip.gif", save_all=True, append_images=frames[1:], duration=[50, 200, 50, 90])
    for ending in ("png", "jpg", "webp", "tif", "bmp"):
        (seeds / "pictures").mkdir(exist_ok=True)
        frames[0].save(seeds / "pictures" / f"1.{ending}")
    (seeds / "flow").mkdir()
    flow = np.random.default_rng(0).normal(0, 3, (12, 16, 2)).astype(np.float32)
    write_flo(seeds / "flow" / "a.flo", flow)
    np.save(seeds / "flow" / "a.npy", flow)
    sound_data(seeds / "loose")
    shutil.copytree(seeds / "loose", seeds / "packed")
    pack(with_counts(open_dataset("mine", seeds / "packed")))
    ucf101_lists(seeds / "ucf101")
    hmdb51_lists(seeds / "hmdb51")
    _make_scores(seeds / "scores")
    _make_weights(seeds / "weights")
    with zipfile.ZipFile(seeds / "lists.zip", "w") as archive:
        for path in (seeds / "ucf101").rglob("*.txt"):
            archive.write(path, path.name)
    run = Run(seeds / "run")
    result = {"epoch": 1.0, "epochs": 2.0, "loss": 0.5, "val_loss": 0.4, "val_accuracy": 0.9}
    described = {"options": {"protocol": "validation", "validation": 0.1, "seed": 0}, "data_hash": "d", "threads": 2}
    run.folder.mkdir()
    run.config.write_text(json.dumps({**described, "versions": {"keras": "3"}, "result": result, "skipped": {"a": 1}}))


def _make_scores(folder: Path) -> None:
    import pickle

    from streams.runs.score_file import Scores, write_scores

    folder.mkdir()
    logits = np.random.default_rng(0).normal(0, 1, (10, 3, 2)).astype(np.float32)
    labels = np.repeat([0, 1], 5)
    about = ("spatial", "clips", 1, "test", "3x10", "m", "d", "validation", ("Run", "Sit"), NAMES)
    write_scores(folder / "a.h5", Scores(*about, labels, logits))
    np.savez(folder / "a.npz", spatial=logits, clips=np.array(NAMES))
    np.save(folder / "a.npy", logits)
    (folder / "a.txt").write_text("\n".join(NAMES) + "\n")
    (folder / "a.pkl").write_bytes(pickle.dumps(dict(zip(NAMES, logits, strict=True))))
    rows = [f"{name},{row[0, 0]},{row[0, 1]}" for name, row in zip(NAMES, logits, strict=True)]
    (folder / "a.csv").write_text("\n".join(["video,Run,Sit", *rows]) + "\n")
    kept = KeptFusions("average", ("Run", "Sit"), {"spatial": "a", "temporal": "b"}, {"average": Fusion()})
    kept.write(folder / "fusion.json")


def _make_weights(folder: Path) -> None:
    folder.mkdir()
    arrays = {f"layer{number}.weight": np.random.default_rng(number).random((3, 4), np.float32) for number in (1, 2)}
    write_safetensors(folder / "weights.safetensors", arrays)
    for form in FORMS:
        write_torch(folder / f"{form}.pth", {"epoch": 3, "state_dict": arrays} if form != "tar" else arrays, form)


def _of_weights(seeds: Path) -> dict[str, Kind]:
    def make(folder: Path, chance: random.Random) -> None:
        source = chance.choice(sorted((seeds / "weights").iterdir()))
        (folder / f"input{source.suffix}").write_bytes(changed_bytes(source.read_bytes(), chance))

    def read(folder: Path) -> None:
        tensors = read_tensors(next(folder.glob("input*")))
        print({name: tensor.read().sum() for name, tensor in tensors.items()})

    return {"weights of PyTorch": Kind(make, read)}


def _of_pixels(seeds: Path) -> dict[str, Kind]:
    def video(folder: Path, chance: random.Random) -> None:
        source = chance.choice(sorted((seeds / "videos").iterdir()))
        (folder / f"input{source.suffix}").write_bytes(changed_bytes(source.read_bytes(), chance))

    def predict_reads(folder: Path) -> None:
        prepared = PreparedVideo(next(folder.glob("input*")), Recipe())
        print(sum(1 for _ in prepared.frames()))

    def prepare_reads(folder: Path) -> None:
        row = extract_video(Job(next(folder.glob("input*")), folder / "out", "input", "", Recipe(method="dis")))
        if row.state != "ready":
            raise ValueError(row.reason)

    def pictures(folder: Path, chance: random.Random) -> None:
        source = chance.choice(sorted((seeds / "pictures").iterdir()))
        (folder / "input").mkdir()
        for number in (1, 2, 3):
            content = source.read_bytes()
            changed = changed_bytes(content, chance) if number == 2 else content
            (folder / "input" / f"{number}{source.suffix}").write_bytes(changed)

    def flow(folder: Path, chance: random.Random) -> None:
        source = chance.choice(sorted((seeds / "flow").iterdir()))
        (folder / f"input{source.suffix}").write_bytes(changed_bytes(source.read_bytes(), chance))

    return {
        "video, predicted": Kind(video, predict_reads),
        "video, prepared": Kind(video, prepare_reads),
        "PNG, JPEG and other pictures": Kind(pictures, prepare_reads),
        "npy and flo": Kind(flow, lambda folder: print(read_flow(next(folder.glob("input*"))).shape)),
        "names": Kind(_named_oddly(seeds), _reads_names),
    }


def _named_oddly(seeds: Path) -> Callable[[Path, random.Random], None]:
    content = (seeds / "videos" / "clip.avi").read_bytes()

    def make(folder: Path, chance: random.Random) -> None:
        for label in (b"left", odd_name(chance)):
            place = os.path.join(os.fsencode(folder / "set" / "videos"), label)  # noqa: PTH118 - names are bytes
            os.makedirs(place, exist_ok=True)  # noqa: PTH103
            for _ in range(2):
                path = os.path.join(place, odd_name(chance)[:150] + b".avi")  # noqa: PTH118
                with open(path, "wb") as file:  # noqa: PTH123
                    file.write(content)

    return make


def _reads_names(folder: Path) -> None:
    with named_videos([str(folder / "set" / "videos")]) as videos:
        for video in videos:
            print(printable(video), PreparedVideo(video, Recipe()).num_frames)
    dataset = open_dataset("mine", folder / "set")
    if dataset.keep_list:
        dataset.keep_list(dataset)
    print(*open_dataset("mine", folder / "set").videos, sep="\n")


def _of_data_sets(seeds: Path) -> dict[str, Kind]:
    def one_of(root: str, pattern: str, change: Callable[[Path, random.Random], None]) -> Callable[..., None]:
        def make(folder: Path, chance: random.Random) -> None:
            shutil.copytree(seeds / root, folder / "set", symlinks=True)
            change(chance.choice(sorted((folder / "set").glob(pattern))), chance)

        return make

    def check(folder: Path) -> None:
        doctor.main(["mine", "--root", str(folder / "set"), "--full"])

    def prepare_again(folder: Path) -> None:
        rows = extract_all(open_dataset("mine", folder / "set"), Recipe(method="dis"))
        print(*(row.state for row in rows))

    def lists(name: str) -> Act:
        return lambda folder: print(len(open_dataset(name, folder / "set").videos))

    def layout(folder: Path, chance: random.Random) -> None:
        shutil.copytree(seeds / "loose", folder / "set")
        whole = {"name": "mine", "frame": "rawframes/{folder}/{video}/img_{number}.jpg", "digits": 5, "first": 1}
        (folder / "set" / "layout.json").write_text(changed_json(json.dumps(whole), chance))

    def archive(folder: Path, chance: random.Random) -> None:
        (folder / "input.zip").write_bytes(changed_bytes((seeds / "lists.zip").read_bytes(), chance))

    return {
        "JPEG of a data set": Kind(one_of("loose", "rawframes/*/*/*.jpg", _bytes), check),
        "index.csv": Kind(one_of("loose", "index.csv", _table), check),
        "flow.json": Kind(one_of("loose", "flow.json", _json), check),
        "video.json": Kind(one_of("loose", "rawframes/*/*/video.json", _json), prepare_again),
        "layout.json": Kind(layout, check),
        "archive of a video": Kind(one_of("packed", "rawframes/*/*.zip", _bytes), check),
        "archive of a publisher": Kind(archive, lambda folder: unpack(folder / "input.zip", folder / "out")),
        "lists of UCF-101": Kind(one_of("ucf101", "annotations/*/*.txt", _table), lists("ucf101")),
        "lists of HMDB-51": Kind(one_of("hmdb51", "annotations/*/*.txt", _table), lists("hmdb51")),
        "videos.csv": Kind(one_of("loose", "videos/videos.csv", _table), lists("mine")),
    }


def _of_scores(seeds: Path) -> dict[str, Kind]:
    def scores(ending: str, change: Callable[[Path, random.Random], None]) -> Kind:
        def make(folder: Path, chance: random.Random) -> None:
            shutil.copytree(seeds / "scores", folder / "scores")
            change(folder / "scores" / f"a.{ending}", chance)

        source = "a.npy" if ending == "txt" else f"a.{ending}"
        return Kind(make, lambda folder: _evaluate(folder, source))

    def report(folder: Path, chance: random.Random) -> None:
        shutil.copytree(seeds / "scores", folder / "scores")
        groups = [name.rpartition("_")[0] for name in NAMES]
        about = {"videos": NAMES, "labels": [0] * 5 + [1] * 5, "groups": groups, "classes": ["Run", "Sit"]}
        whole = {**about, "decisions": {"average": [0] * 10}, "video_accuracy": {"average": 0.5}}
        (folder / "report.json").write_text(changed_json(json.dumps(whole), chance))

    def fusion(folder: Path, chance: random.Random) -> None:
        (folder / "fusion.json").write_text(changed_json((seeds / "scores" / "fusion.json").read_text(), chance))

    def read_fusion(folder: Path) -> None:
        kept = KeptFusions.read(folder / "fusion.json")
        print(kept.named(kept.chosen))

    binary = {f"scores in .{ending}": scores(ending, _bytes) for ending in ("h5", "npz", "npy", "pkl")}
    return {
        **binary,
        "scores in .csv": scores("csv", _table),
        "names of scores": scores("txt", _table),
        "report.json": Kind(
            report, lambda folder: _evaluate(folder, "a.csv", "--compare", str(folder / "report.json"))
        ),
        "fusion.json": Kind(fusion, read_fusion),
    }


def _evaluate(folder: Path, source: str, *words: str) -> None:
    files = [f"--scores={folder / 'scores' / source}", f"--scores={folder / 'scores' / 'a.csv'}"]
    evaluate.main([*files, "--method", "average", "--runs", str(folder / "runs"), *words])


def _of_runs(seeds: Path) -> dict[str, Kind]:
    def config(folder: Path, chance: random.Random) -> None:
        shutil.copytree(seeds / "run", folder / "run")
        _json(folder / "run" / "config.json", chance)

    def read_config(folder: Path) -> None:
        from streams.config import TrainConfig

        run = Run(folder / "run")
        run.model.touch()
        print(threads_before(TrainConfig(), run))
        say_result(run)

    return {"config.json": Kind(config, read_config)}


def _bytes(path: Path, chance: random.Random) -> None:
    path.write_bytes(changed_bytes(path.read_bytes(), chance))


def _table(path: Path, chance: random.Random) -> None:
    path.write_bytes(changed_table(path.read_text(encoding="utf-8"), chance).encode("utf-8", "surrogatepass"))
    if chance.random() < 0.15:
        _bytes(path, chance)


def _json(path: Path, chance: random.Random) -> None:
    path.write_text(changed_json(path.read_text(encoding="utf-8"), chance), encoding="utf-8")
    if chance.random() < 0.1:
        _bytes(path, chance)


Kinds = Mapping[str, Kind]
cv2.setNumThreads(1)  # Threads don't survive the fork of a trial.
