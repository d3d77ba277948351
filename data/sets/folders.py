"""A folder of own videos becomes a data set: one folder a class, or a CSV that says what each video shows.

The CSV has the columns `video,label[,group][,split]`: a path below `videos/`, a class (several joined by `|`), who or
where was filmed, and `train`, `test` or nothing. What it doesn't say is made here and kept in `annotations/videos.csv`.
"""

import csv
import dataclasses
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from commands.files import write_text
from data.catalog import DataSet, Split, Video, in_words
from data.sets.lists import cut_validation
from data.sets.own_lists import PARTS, TEST, TRAIN, read_csv, read_folders, read_frame_folders, read_metadata

TEST_SHARE = 0.3  # As in HMDB-51.


def open_dataset(root: Path) -> DataSet:
    """Returns the data set from its CSV, or from its folders where no CSV is kept yet."""
    for path in (kept_list(root), root / "videos" / "videos.csv"):
        if path.is_file():
            return _from_rows(root, path, list(read_csv(path)))
    if (root / "videos").is_dir():
        return _from_rows(root, root / "videos", list(read_folders(root / "videos")))
    for folder in (root / "annotations", root / "metadata"):
        if (folder / "train.csv").is_file():
            return _from_rows(root, folder, list(read_metadata(folder)))
    if (root / "rawframes").is_dir():
        return _from_rows(root, root / "rawframes", list(read_frame_folders(root / "rawframes")))
    raise FileNotFoundError(
        f"{root} holds no data set of own videos: neither annotations/videos.csv nor a folder videos. "
        f"Run: python data/prepare.py {in_words(root.name, root)} --videos FOLDER, with one folder a class in it or a "
        "videos.csv."
    )


def kept_list(root: Path) -> Path:
    """Returns where the list of own videos is kept, with the groups and the split that were made."""
    return root / "annotations" / "videos.csv"


def keep_list(dataset: DataSet) -> None:
    """Writes the list with groups and split, unless there is one: splits, once made, stay."""
    path = kept_list(dataset.root)
    if path.exists():
        return
    part_of = {name: part for part in (TRAIN, TEST) for name in getattr(dataset.splits[1], part)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "label", "group", "split"])
    for video in dataset.videos.values():
        label = "|".join(dataset.classes[label] for label in video.labels)
        writer.writerow([video.relative_path.as_posix(), label, video.group, part_of.get(video.name, "")])
    write_text(path, text.getvalue())


def _from_rows(root: Path, source: Path, rows: Sequence[dict[str, str]]) -> DataSet:
    if not rows:
        raise ValueError(f"{source} holds no videos. Expected one folder a class with video files, or a videos.csv.")
    rows, left_out = _without_repeats(rows)
    labels = [tuple(part for part in row["label"].split("|") if part) for row in rows]
    classes = tuple(sorted({name for names in labels for name in names}, key=_as_number))
    multi_label = any(len(names) > 1 for names in labels)
    if len(classes) < 2 or (not multi_label and not all(labels)):
        raise ValueError(
            f"{source} must give every video a class, of two at least. Found: {', '.join(classes)}. "
            "Put the videos of each class into a folder of its own, or name their classes in a videos.csv."
        )
    label_of = {name: label for label, name in enumerate(classes)}
    numbers_of = {names: tuple(label_of[name] for name in names) for names in set(labels)}
    videos = []
    for name, row, of_video in zip(_unique_names([row["video"] for row in rows]), rows, labels, strict=True):
        # Frames lie by class; a video of several classes lies by the folder of its file.
        by_class = len(of_video) == 1 and not multi_label
        folder = of_video[0] if by_class else PurePosixPath(row["video"]).parent.as_posix().removeprefix(".")
        group = row.get("group") or _group_in(name, of_video)
        extension = _stem_and_suffix(row["video"])[1]
        video = Video(name, _folder_name(folder), extension, numbers_of[of_video], name if group == name else group)
        videos.append(video if _says(video, row["video"]) else dataclasses.replace(video, file=row["video"]))
    by_name = {video.name: video for video in videos}
    parts = [PARTS[row.get("split", "").lower()] for row in rows]
    split = _given(videos, parts) if any(parts) else _made(videos)
    return DataSet("folder", root, classes, by_name, {1: split}, multi_label, left_out=left_out, keep_list=keep_list)


def _without_repeats(rows: Sequence[dict[str, str]]) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Returns the first row of every file, and what is said of the others: in two parts, it would be a leak."""
    first: dict[str, dict[str, str]] = {}
    left_out = {}
    for row in rows:
        earlier = first.setdefault(row["video"], row)
        if earlier is not row:
            if earlier["label"] != row["label"]:
                raise ValueError(
                    f"{row['video']} is listed twice, as {earlier['label']} and as {row['label']}. "
                    "Every video has one row; several labels are joined by '|'."
                )
            left_out[row["video"]] = (
                f"listed twice; the first row counts ({earlier.get('split') or 'no split'}), "
                f"not the second ({row.get('split') or 'no split'})"
            )
    return list(first.values()), left_out


def _given(videos: Sequence[Video], parts: Sequence[str]) -> Split:
    names = {part: tuple(v.name for v, p in zip(videos, parts, strict=True) if p == part) for part in (TRAIN, TEST)}
    return Split(names[TRAIN], names[TEST])


def _made(videos: Sequence[Video]) -> Split:
    """Returns a split with some groups of every class in its test part, drawn from the seed 0."""
    try:
        train, test = cut_validation(videos, TEST_SHARE, seed=0)
    except ValueError:
        raise ValueError(
            f"No test part can be cut from {len(videos)} videos in {len({video.group for video in videos})} groups: a "
            "class in one group would be missing from one of the parts. Add groups, or say which videos are train and "
            "which test in a column split of videos.csv."
        ) from None
    return Split(tuple(video.name for video in train), tuple(video.name for video in test))


def _unique_names(files: Sequence[str]) -> list[str]:
    """Returns the shortest names that tell the videos apart: the stem, with its folders, with its extension."""
    stems = [_stem_and_suffix(file)[0] for file in files]
    if len({stem.casefold() for stem in stems}) == len(stems):
        return stems  # As nearly always: hundreds of thousands are not spelt in other ways first.
    paths = [PurePosixPath(file) for file in files]
    spellings = (
        stems,
        ["-".join(path.with_suffix("").parts) for path in paths],
        ["-".join(path.parts) for path in paths],
    )
    # On file systems that ignore case, names that differ by it alone would share a folder.
    counts = [Counter(name.casefold() for name in names) for names in spellings]
    names = [
        next(
            (
                spelling[i]
                for spelling, count in zip(spellings, counts, strict=True)
                if count[spelling[i].casefold()] == 1
            ),
            file,
        )
        for i, file in enumerate(files)
    ]
    if len({name.casefold() for name in names}) < len(names):
        raise ValueError("Two videos have names that can't be told apart without slashes: rename one of them.")
    return [name.replace("/", "-") for name in names]


def _says(video: Video, file: str) -> bool:
    """Tells whether folder, name and extension say where the file of a video is."""
    return file == f"{video.folder}/{video.name}{video.extension}"


def _stem_and_suffix(file: str) -> tuple[str, str]:
    """Returns the stem and the suffix of a path's name, as pathlib has them, of which it takes three times as long."""
    name = file.rstrip("/").rpartition("/")[2]
    place = name.rfind(".")
    return (name[:place], name[place:]) if 0 < place < len(name) - 1 else (name, "")


def _group_in(name: str, labels: Sequence[str]) -> str:
    """Returns the group in a name of the form `v_Class_g01_c01`; other videos are their own group."""
    match = re.search(r"^(.*_g\d{2,})_c\d+$", name)
    return f"{'|'.join(labels)}/{match[1]}" if match else name


def _folder_name(label: str) -> str:
    """Returns a class as the name of one folder, whatever characters are in it."""
    return label.replace("/", "_").strip(".") or ("_" if label else "")


def _as_number(name: str) -> tuple[int, str]:
    """Sorts classes that are numbers as numbers."""
    return (int(name), name) if name.isdecimal() else (-1, name)
