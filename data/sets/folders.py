r"""Makes a data set of your own videos: one folder per class, or a CSV that names the class of each video.

The CSV has the columns `video,label[,group][,split]`: a path below `videos/`; a class, or several joined by `|` (a `|`
in the name of one is written `\|`); the person or place that was filmed; and `train`, `val`, `test` or nothing. Missing
groups and splits are made here, and kept in `annotations/videos.csv`.
"""

import csv
import dataclasses
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from commands.files import write_text
from commands.text import as_cell, is_printable, printable
from data.catalog import DataSet, Split, Video, in_words
from data.sets.lists import cut_validation
from data.sets.own_lists import (
    PARTS,
    TEST,
    TRAIN,
    VALIDATION,
    joined,
    read_csv,
    read_folders,
    read_frame_folders,
    read_metadata,
    separate,
)

TEST_SHARE = 0.3  # As in HMDB-51.


def open_dataset(root: Path) -> DataSet:
    """Returns the data set that its CSV describes, or its folders if there is no CSV yet."""
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
        f"{root} holds no data set of your own videos: it has neither annotations/videos.csv nor a folder videos. "
        f"Run: ./run prepare {in_words(root.name, root)} --videos FOLDER. FOLDER must hold one folder per "
        "class, or a videos.csv."
    )


def kept_list(root: Path) -> Path:
    """Returns the path of the kept list of videos, with their groups and split."""
    return root / "annotations" / "videos.csv"


def check_kept(root: Path) -> None:
    """Raises ValueError if the kept list has other videos than the list beside the videos."""
    kept, now = kept_list(root), root / "videos" / "videos.csv"
    if kept.is_file() and {row["video"] for row in read_csv(kept)} != {row["video"] for row in read_csv(now)}:
        raise ValueError(
            f"{kept} lists other clips than were cut now. Delete it to get a new split, or pass another NAME."
        )


def keep_list(dataset: DataSet) -> None:
    """Writes the list with its groups and split, unless it exists: a split never changes once it is made."""
    path = kept_list(dataset.root)
    if path.exists():
        return
    split = dataset.splits[1]
    named = ((split.train, TRAIN), (split.validation, VALIDATION), (split.test, TEST))
    part_of = {name: part for names, part in named for name in names}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "label", "group", "split"])
    for video in dataset.videos.values():
        label = joined(dataset.classes[label] for label in video.labels)
        row = (video.relative_path.as_posix(), label, video.group, part_of.get(video.name, ""))
        writer.writerow(map(as_cell, row))
    write_text(path, text.getvalue())


def _from_rows(root: Path, source: Path, rows: Sequence[dict[str, str]]) -> DataSet:
    if not rows:
        raise ValueError(f"{source} holds no videos. Expected one folder per class with videos in it, or a videos.csv.")
    rows, left_out = _without_repeats(rows)
    rows, unfit = _of_fit_names(rows)
    left_out |= unfit
    labels = [separate(row["label"]) for row in rows]
    classes = tuple(sorted({name for names in labels for name in names}, key=_as_number))
    multi_label = any(len(names) > 1 for names in labels)
    if len(classes) < 2 or (not multi_label and not all(labels)):
        raise ValueError(
            f"{source} must give every video a class, and have at least two classes. Found: {', '.join(classes)}. "
            "Put the videos of each class into a folder of its own, or name their classes in a videos.csv."
        )
    label_of = {name: label for label, name in enumerate(classes)}
    numbers_of = {names: tuple(label_of[name] for name in names) for names in set(labels)}
    videos = []
    for name, row, of_video in zip(_unique_names([row["video"] for row in rows]), rows, labels, strict=True):
        # Frames are stored by class; those of a video with several classes, by the folder of its file.
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
    """Returns the first row of every file and the reason for dropping others: a video in both parts would be a leak."""
    first: dict[str, dict[str, str]] = {}
    left_out = {}
    for row in rows:
        earlier = first.setdefault(row["video"], row)
        if earlier is not row:
            if earlier["label"] != row["label"]:
                raise ValueError(
                    f"{row['video']} is listed twice, as {earlier['label']} and as {row['label']}. "
                    "Give every video one row, with several labels joined by '|'."
                )
            left_out[row["video"]] = (
                f"listed twice; the first row counts ({earlier.get('split') or 'no split'}), "
                f"not the second ({row.get('split') or 'no split'})"
            )
    return list(first.values()), left_out


def _of_fit_names(rows: Sequence[dict[str, str]]) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Returns the rows whose names can be printed and written to lists, and the reason for leaving out the others."""
    reason = "its name or class holds control characters, or bytes that are not UTF-8: rename it"
    unfit = [row for row in rows if not is_printable(row["video"] + row["label"] + row.get("group", ""), keep="\n")]
    return [row for row in rows if row not in unfit] if unfit else list(rows), {
        printable(row["video"]): reason for row in unfit
    }


def _given(videos: Sequence[Video], parts: Sequence[str]) -> Split:
    def named(*wanted: str) -> tuple[str, ...]:
        return tuple(video.name for video, part in zip(videos, parts, strict=True) if part in wanted)

    return Split(named(TRAIN, VALIDATION), named(TEST), named(VALIDATION))


def _made(videos: Sequence[Video]) -> Split:
    """Returns a split whose test part has some groups of every class, drawn with seed 0."""
    try:
        train, test = cut_validation(videos, TEST_SHARE, seed=0)
    except ValueError:
        raise ValueError(
            f"{len(videos)} videos in {len({video.group for video in videos})} groups can't be split into training and "
            "test: a class with a single group would be missing from one of them. Add groups, or write train or test "
            "into a column split of videos.csv."
        ) from None
    return Split(tuple(video.name for video in train), tuple(video.name for video in test))


def _unique_names(files: Sequence[str]) -> list[str]:
    """Returns the shortest distinct name of each video: its stem; or with its folders; or with its extension too."""
    stems = [_stem_and_suffix(file)[0] for file in files]
    if len({stem.casefold() for stem in stems}) == len(stems):
        return stems  # Nearly always; so no time is spent on other spellings of hundreds of thousands of names.
    paths = [PurePosixPath(file) for file in files]
    spellings = (
        stems,
        ["-".join(path.with_suffix("").parts) for path in paths],
        ["-".join(path.parts) for path in paths],
    )
    # Compared without case: on some file systems, names that differ only by case would share a folder.
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
        raise ValueError("Two videos have the same name once slashes become dashes. Rename one of them.")
    return [name.replace("/", "-") for name in names]


def _says(video: Video, file: str) -> bool:
    """Tells whether the path of a video's file follows from its folder, name and extension."""
    return file == f"{video.folder}/{video.name}{video.extension}"


def _stem_and_suffix(file: str) -> tuple[str, str]:
    """Returns the same stem and suffix as pathlib, three times as fast."""
    name = file.rstrip("/").rpartition("/")[2]
    place = name.rfind(".")
    return (name[:place], name[place:]) if 0 < place < len(name) - 1 else (name, "")


def _group_in(name: str, labels: Sequence[str]) -> str:
    """Returns the group in a name like `v_Class_g01_c01`; any other video is a group of its own."""
    match = re.search(r"^(.*_g\d{2,})_c\d+$", name)
    return f"{'|'.join(labels)}/{match[1]}" if match else name


def _folder_name(label: str) -> str:
    """Returns a folder name for a class, whatever characters the class has."""
    return label.replace("/", "_").strip(".") or ("_" if label else "")


def _as_number(name: str) -> tuple[int, str]:
    """Returns a sorting key that orders numeric classes by value, after all others."""
    return (int(name), name) if name.isdecimal() else (-1, name)
