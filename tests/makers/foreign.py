"""Frames and flow as other tools leave them, made of a data set that this project prepared."""

import shutil
from pathlib import Path

import cv2
import numpy as np

from data.optical_flow.levels import dequantise, quantise
from data.ready import open_dataset
from data.store.description import Recipe
from tests.makers.data import extract_all, write_clip

LABELS = ("left", "right")
PARTS = ("train", "train", "val", "test")


def our_videos(root: Path) -> Path:
    """Prepares eight videos of two motions: of each two to train on, one to validate on and one to test on."""
    lines = ["video,label,split"]
    for place, label in enumerate(LABELS):
        for number, part in enumerate(PARTS):
            name, seed = f"{label}/{label}{number}.avi", 10 * place + number
            write_clip(root / "videos" / name, frames=6, shift=2 - 2 * place, down=2 * place, size=(80, 64), seed=seed)
            lines.append(f"{name},{label},{part}")
    (root / "videos" / "videos.csv").write_text("\n".join(lines))
    extract_all(open_dataset("mine", root), Recipe(method="dis"))
    return root


def mmaction(ours: Path, theirs: Path, flow: str = "flow_") -> None:
    """Writes class folders of frames and of flow of the classic rule."""
    for source, _, label in _videos(ours):
        folder = theirs / "rawframes" / label / source.name
        folder.mkdir(parents=True)
        for path in source.glob("img_*.jpg"):
            shutil.copy(path, folder)
        for number, field in _fields(source):
            for axis, plane in zip("xy", np.moveaxis(quantise(field, rule="classic"), -1, 0), strict=True):
                cv2.imwrite(str(folder / f"{flow}{axis}_{number:05d}.jpg"), plane)


def mmaction_short(ours: Path, theirs: Path) -> None:
    """Writes the same with shorter names."""
    mmaction(ours, theirs, flow="")


def graz(ours: Path, theirs: Path) -> None:
    """Writes one folder a video, without classes."""
    for source, _, _ in _videos(ours):
        frames = theirs / "jpegs_256" / source.name
        frames.mkdir(parents=True)
        for path in source.glob("img_*.jpg"):
            shutil.copy(path, frames / f"frame{path.stem[-5:]:0>6}.jpg")
        for number, field in _fields(source):
            for axis, plane in zip("uv", np.moveaxis(quantise(field, rule="classic"), -1, 0), strict=True):
                (theirs / "tvl1_flow" / axis / source.name).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(theirs / "tvl1_flow" / axis / source.name / f"frame{number:06d}.jpg"), plane)


def floats(ours: Path, theirs: Path, frame="rgb/{}/frame{:04d}.jpg", metadata=True, form=np.asarray) -> None:
    """Writes split folders of frames, of flow in `.npy` files, and maybe of metadata."""
    rows: dict[str, list[str]] = {}
    for source, part, label in _videos(ours):
        below = f"{part}/{label}/{source.name}"
        rows.setdefault(part, []).append(f"{source.name},{label}")
        for path in source.glob("img_*.jpg"):
            target = theirs / frame.format(below, int(path.stem[-5:]))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        (theirs / "flows" / below).mkdir(parents=True)
        for number, field in _fields(source):
            np.save(theirs / "flows" / below / f"flow_{number}_{number + 1}.npy", form(field))
    for part, lines in rows.items() if metadata else ():
        (theirs / "metadata").mkdir(exist_ok=True)
        (theirs / "metadata" / f"{part}.csv").write_text("\n".join(["video_name,class", *lines]))


def floats_named_otherwise(ours: Path, theirs: Path) -> None:
    """Writes frames as `frames/.../frame_1.jpg`."""
    floats(ours, theirs, frame="frames/{}/frame_{}.jpg")


def floats_without_metadata(ours: Path, theirs: Path) -> None:
    """Leaves it to the folders to say class and part."""
    floats(ours, theirs, metadata=False)


def floats_by_columns(ours: Path, theirs: Path) -> None:
    """Writes fields in Fortran order."""
    floats(ours, theirs, form=np.asfortranarray)


def floats_by_planes(ours: Path, theirs: Path) -> None:
    """Writes fields as [2, H, W], half of them in double precision."""
    floats(ours, theirs, form=lambda field: np.moveaxis(field, -1, 0).astype(np.float64))


def _videos(ours: Path):
    dataset = open_dataset("mine", ours)
    split = dataset.splits[1]
    for video in dataset.videos.values():
        part = "test" if video.name in split.test else "val" if video.name in split.validation else "train"
        yield dataset.frame_folder(video), part, dataset.classes[video.label]


def _fields(source: Path):
    for path in sorted(source.glob("flow_x_*.jpg")):
        planes = [cv2.imread(str(path.with_name(path.name.replace("_x_", f"_{axis}_"))), 0) for axis in "xy"]
        yield int(path.stem[-5:]), dequantise(np.dstack(planes))
