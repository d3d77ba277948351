"""Checks that splits are those published, and that no test video, copy of one, or group of one is trained on."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from data.audit.findings import ERROR, WARNING, Finding
from data.catalog import DataSet, Video
from data.store.pictures import read_grey

HASHED_FRAMES = 3
# Bits of 64 that may differ. Different scenes differ in about 32, copies of other quality in a few.
NEAR = 4
# Pictures with less contrast than this are left out: their hashes would be noise.
FLATTEST = 8.0


def audit_counts(dataset: DataSet, listed: DataSet) -> Iterator[Finding]:
    """Yields splits whose sizes differ from the published ones, and listed videos that are not prepared."""
    for number, official in listed.official.items():
        split = listed.splits[number]
        found = len(split.train), len(split.test)
        if found != official:
            here, published = (f"{train:,} + {test:,}" for train, test in (found, official))
            what = f"Split {number} lists {here} videos; the published split has {published}."
            if listed.if_too_many and found[0] > official[0]:
                what += f" {listed.if_too_many}"
            yield Finding(ERROR, what, "Get the published lists again and don't edit them.")
    unready = tuple(name for name in listed.videos if name not in dataset.videos)
    if unready:
        what = (
            f"{len(unready):,} of {len(listed.videos):,} videos are not prepared, so results don't follow the protocol."
        )
        yield Finding(
            WARNING, what, "index.csv gives the reasons. Get these videos and run data/prepare.py again.", unready
        )


def audit_groups(dataset: DataSet) -> Iterator[Finding]:
    """Yields the splits that have videos of one group in both training and test."""
    for number in dataset.splits:
        train, test = (dataset.part(number, part) for part in ("train", "test"))
        shared = {video.group for video in train} & {video.group for video in test}
        if shared:
            names = tuple(video.name for video in test if video.group in shared)
            what = f"Split {number} has {len(shared)} groups both in training and in test, for example {min(shared)}."
            remedy = "Move whole groups to one part: the same people or places must not be in both."
            yield Finding(ERROR, what, remedy, names)
        twice = set(dataset.splits[number].train) & set(dataset.splits[number].test)
        if twice:
            what = f"Split {number} has videos both in training and in test."
            yield Finding(ERROR, what, "Remove them from one of the lists.", tuple(sorted(twice)))


def audit_duplicates(dataset: DataSet) -> Iterator[Finding]:
    """Yields test videos that look the same as a training video in several frames spread over both."""
    hashes = {name: _hashes(dataset, video) for name, video in dataset.videos.items()}
    known = {name: value for name, value in hashes.items() if value is not None}
    for number in dataset.splits:
        train, test = (
            [video for video in dataset.part(number, part) if video.name in known] for part in ("train", "test")
        )
        pairs = list(near_pairs(train, test, known))
        if pairs:
            first, second = pairs[0]
            what = f"Split {number} has {len(pairs)} test videos that look like training videos: {second} like {first}."
            remedy = "Watch them. If they are copies, remove them from one list or put them into one group."
            yield Finding(WARNING, what, remedy, tuple(pair[1] for pair in pairs))


def near_pairs(
    train: Sequence[Video], test: Sequence[Video], hashes: dict[str, np.ndarray]
) -> Iterator[tuple[str, str]]:
    """Yields `(training video, test video)` for each test video with a near copy in training."""
    if not train or not test:
        return
    table = np.stack([hashes[video.name] for video in train])
    for video in test:
        # One row at a time keeps memory small; comparing with 9,537 videos takes a millisecond.
        distances = np.bitwise_count(table ^ hashes[video.name]).max(axis=1)
        nearest = int(distances.argmin())
        if distances[nearest] <= NEAR:
            yield train[nearest].name, video.name


def _hashes(dataset: DataSet, video: Video) -> np.ndarray | None:
    """Returns difference hashes of some frames: 64 bits that say which of 8x8 cells outshine their right neighbours."""
    if not video.num_frames:
        return None
    bits = []
    for place in range(HASHED_FRAMES):
        index = (2 * place + 1) * video.num_frames // (2 * HASHED_FRAMES)
        picture = read_grey(dataset.layout.frame_path(dataset.root, video, index))
        if picture is None:
            return None
        small = cv2.resize(picture, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
        if small.std() < FLATTEST:
            return None
        bits.append(np.packbits(small[:, 1:] > small[:, :-1]).view(np.uint64)[0])
    return np.array(bits, np.uint64)
