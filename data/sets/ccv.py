"""Columbia Consumer Video (Jiang et al., 2011): YouTube videos with any number of labels each."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from data.catalog import DataSet, Split, Video
from data.sets.lists import bad_line, find_lists, lines_of

SOURCE = "the lists of CCV (trainVidID.txt, trainLabel.txt, testVidID.txt, testLabel.txt, categoryName.txt)"
HOW_TO_GET = (
    "Its authors publish lists, not videos. Get the lists from https://www.ee.columbia.edu/ln/dvmm/CCV/ and put them "
    "into {root}/annotations. Then run this command without --download: it writes the addresses of all missing videos "
    "into {root}/missing.txt and prints the command that downloads them into {root}/videos."
)
# The lists name 4659 and 4658 videos; 1009 and 987 of them show none of the classes.
OFFICIAL, OFFICIAL_OF_ALL = {1: (3650, 3671)}, {1: (4659, 4658)}
MOST = 1000  # More labels than any video has.
WATCH = "https://www.youtube.com/watch?v="


def open_dataset(root: Path) -> DataSet:
    """Returns the multi-label data set; videos without any label are left out and reported."""
    return _open(root, range(1, MOST), OFFICIAL)


def open_all(root: Path) -> DataSet:
    """Returns the multi-label data set with the videos that show none of the classes, which its protocol ranks too."""
    return _open(root, range(MOST), OFFICIAL_OF_ALL)


def open_single(root: Path) -> DataSet:
    """Returns the data set with single labels; videos with none or several are left out and reported."""
    return _open(root, range(1, 2), {})


def _open(root: Path, numbers: range, official: Mapping[int, tuple[int, int]]) -> DataSet:
    """Returns the videos whose number of labels is in `numbers`."""
    lists = find_lists(root, "trainVidID.txt", ["CCV"], SOURCE, can_be_fetched=False)
    classes = tuple(line for _, line in lines_of(lists / "categoryName.txt"))
    videos: dict[str, Video] = {}
    left_out: dict[str, str] = {}
    parts = []
    for part in ("train", "test"):
        names = []
        for name, labels in _read_rows(lists, part, len(classes)):
            if len(labels) not in numbers:
                left_out[name] = f"{len(labels) or 'no'} positive labels in {part}Label.txt"
                continue
            # CCV does not publish who filmed which video, so every video is a group of its own.
            videos[name] = Video(name, "", "", labels, group=name)
            names.append(name)
        parts.append(tuple(names))
    return DataSet(
        "ccv",
        root,
        classes,
        videos,
        {1: Split(*parts)},
        multi_label=max(numbers) > 1,
        official=official,
        address=WATCH,
        left_out=left_out,
    )


def _read_rows(lists: Path, part: str, num_classes: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    ids, labels = list(lines_of(lists / f"{part}VidID.txt")), list(lines_of(lists / f"{part}Label.txt"))
    if len(ids) != len(labels):
        raise ValueError(
            f"{lists} names {len(ids)} videos in {part}VidID.txt but has {len(labels)} rows in {part}Label.txt. "
            "Each video needs its row. Get both files again."
        )
    for (_, name), (number, row) in zip(ids, labels, strict=True):
        values = row.split()
        if len(values) != num_classes or not set(values) <= {"0", "1"}:
            raise bad_line(lists / f"{part}Label.txt", number, row, f"{num_classes} numbers, each 0 or 1")
        yield name, tuple(label for label, value in enumerate(values) if value == "1")
