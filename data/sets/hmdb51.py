"""HMDB-51 (Kuehne et al., 2011): one list per class and split, which tags each video as training, test or unused."""

import re
from pathlib import Path

from data.catalog import Archive, DataSet, Split, Video
from data.sets.lists import bad_line, find_lists, lines_of

SOURCE = "test_train_splits.rar"
OFFICIAL = {1: (3570, 1530), 2: (3570, 1530), 3: (3570, 1530)}
# The authors publish no sizes or checksums, so those of the first download are kept (docs/background/robustness.md).
ADDRESS = "https://serre-lab.clps.brown.edu/wp-content/uploads/2013/10"
ARCHIVES = (
    Archive(f"{ADDRESS}/test_train_splits.rar", "annotations"),
    Archive(f"{ADDRESS}/hmdb51_org.rar", "videos"),
)
UNUSED, TRAIN, TEST = "0", "1", "2"
IF_TOO_MANY = "Perhaps videos with tag 0 (unused) were added to training."

# File names are source_class_visible_camera_people_viewpoint_quality_number: Some_film_brush_hair_u_nm_np1_ba_goo_0.
_ATTRIBUTES = re.compile(r"_[a-z]_[a-z]{2}_np\d+_[a-z]{2}_[a-z]{3}_\d+$")


def open_dataset(root: Path) -> DataSet:
    """Returns the data set that the published lists in `root`/annotations describe."""
    lists = find_lists(root, "*_test_split1.txt", ["testTrainMulti_7030_splits"], SOURCE)
    classes = tuple(sorted(path.name.removesuffix("_test_split1.txt") for path in lists.glob("*_test_split1.txt")))
    videos: dict[str, Video] = {}
    splits = {}
    for number in OFFICIAL:
        tags: dict[str, str] = {}
        for label, name in enumerate(classes):
            tags |= _read_class(lists / f"{name}_test_split{number}.txt", name, label, videos)
        # Tag 0 means unused: a third of the videos of each split is in neither part.
        splits[number] = Split(
            *(tuple(name for name, tag in tags.items() if tag == wanted) for wanted in (TRAIN, TEST))
        )
    return DataSet("hmdb51", root, classes, videos, splits, official=OFFICIAL, if_too_many=IF_TOO_MANY)


def group_of(name: str, class_name: str) -> str:
    """Returns class and film of a video: official splits never divide the clips that a class has from one film."""
    return f"{class_name}/{_ATTRIBUTES.sub('', name).removesuffix(f'_{class_name}')}"


def _read_class(path: Path, class_name: str, label: int, videos: dict[str, Video]) -> dict[str, str]:
    """Adds the videos of one class to `videos` and returns their tags by name."""
    tags = {}
    for number, line in lines_of(path):
        # File names may contain spaces, so only the last word of a line is the tag.
        file, _, tag = line.rpartition(" ")
        if not file or tag not in (UNUSED, TRAIN, TEST):
            raise bad_line(path, number, line, "a file name and its tag: 1 for training, 2 for test, 0 for unused")
        name, dot, ending = file.strip().rpartition(".")
        known = videos.setdefault(name, Video(name, class_name, dot + ending, (label,), group_of(name, class_name)))
        if known.label != label:
            raise bad_line(path, number, line, f"a video of one class; this one is also listed under {known.folder}")
        tags[name] = tag
    return tags
