"""Reads the lists of UCF-101 (Soomro et al., 2012): its classes, groups and three splits."""

from pathlib import Path

from data.catalog import Archive, DataSet, Split, Video
from data.sets.lists import bad_line, find_lists, lines_of

SOURCE = "UCF101TrainTestSplits-RecognitionTask.zip"
# Training and test videos of each split; 13,320 videos of 101 classes in 25 groups per class.
OFFICIAL = {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}
ADDRESS = "https://www.crcv.ucf.edu/data/UCF101"
# The size and the checksum of the lists are those that TensorFlow Datasets records; the authors publish none. Of the
# videos nobody does, so those of the first download are kept; see docs/background/robustness.md.
ARCHIVES = (
    Archive(
        f"{ADDRESS}/UCF101TrainTestSplits-RecognitionTask.zip",
        "annotations",
        113_943,
        "5c0d1a53b8ed364a2ac830a73f405e51bece7d98ce1254fd19ed4a36b224bd27",
    ),
    Archive(f"{ADDRESS}/UCF101.rar", "videos"),
)


def open_dataset(root: Path) -> DataSet:
    """Returns the data set that the published lists in `root`/annotations describe."""
    lists = find_lists(root, "classInd.txt", ["ucfTrainTestlist"], SOURCE)
    classes = _read_classes(lists / "classInd.txt")
    videos: dict[str, Video] = {}
    splits = {}
    for number in OFFICIAL:
        parts = [_read_part(lists / f"{part}list{number:02d}.txt", classes, videos) for part in ("train", "test")]
        splits[number] = Split(*parts)
    by_name = {video.name: video for video in videos.values()}
    return DataSet("ucf101", root, tuple(classes), by_name, splits, official=OFFICIAL)


def _read_classes(path: Path) -> list[str]:
    classes: list[str] = []
    for number, line in lines_of(path):
        words = line.split()
        if len(words) != 2 or words[0] != str(len(classes) + 1):
            raise bad_line(path, number, line, f"{len(classes) + 1} and the name of a class")
        classes.append(words[1])
    return classes


def _read_part(path: Path, classes: list[str], videos: dict[str, Video]) -> tuple[str, ...]:
    """Adds the videos of one list to `videos` and returns their names."""
    # Lists, archives and other people's copies differ in the case of one class (`HandstandPushups`,
    # `HandStandPushups`), so names are compared without case, and the first spelling seen is kept.
    label_of = {name.casefold(): label for label, name in enumerate(classes)}
    names = []
    for number, line in lines_of(path):
        words = line.split()
        folder, _, file = words[0].partition("/")
        label = label_of.get(folder.casefold())
        name, dot, ending = file.rpartition(".")
        # Test lists give no number; training lists give the number that classInd.txt gave.
        if label is None or "_g" not in name or words[1:] not in ([], [str(label + 1)]):
            raise bad_line(path, number, line, "a class of classInd.txt/v_Class_g01_c01.avi and the class's number")
        group = name.removeprefix("v_").rpartition("_c")[0]
        video = Video(name, classes[label], dot + ending, (label,), group)
        names.append(videos.setdefault(name.casefold(), video).name)
    return tuple(names)
