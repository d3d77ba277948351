"""Are the splits those that were published, and is nothing of the test part seen in training?"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from data.audit.findings import ERROR, WARNING, Finding
from data.catalog import DataSet, Video
from data.store.pictures import read_grey

HASHED_FRAMES = 3
# Of 64 bits a frame. Frames of different scenes differ in about 32, copies in other qualities in a few.
NEAR = 4
# A hash of a picture without detail is made of noise.
FLATTEST = 8.0


def audit_counts(dataset: DataSet, listed: DataSet) -> Iterator[Finding]:
    """Yields where lists differ from what was published, and where videos of the lists are not ready."""
    for number, official in listed.official.items():
        split = listed.splits[number]
        found = len(split.train), len(split.test)
        if found != official:
            here, published = (f"{train:,} + {test:,}" for train, test in (found, official))
            what = f"Split {number} lists {here} videos; published are {published}."
            if listed.if_too_many and found[0] > official[0]:
                what += f" {listed.if_too_many}"
            yield Finding(ERROR, what, "Get the published lists again, and change nothing in them.")
    unready = tuple(name for name in listed.videos if name not in dataset.videos)
    if unready:
        what = (
            f"{len(unready):,} of {len(listed.videos):,} videos are not ready; results are not those of the protocol."
        )
        yield Finding(WARNING, what, "index.csv has the reasons. Get these videos, and run data/prepare.py.", unready)


def audit_groups(dataset: DataSet) -> Iterator[Finding]:
    """Yields the splits that have videos of one group on both sides."""
    for number in dataset.splits:
        train, test = (dataset.part(number, part) for part in ("train", "test"))
        shared = {video.group for video in train} & {video.group for video in test}
        if shared:
            names = tuple(video.name for video in test if video.group in shared)
            what = f"Split {number} has {len(shared)} groups both in training and in test, as {min(shared)}."
            remedy = "Move whole groups to one side: the same people or places must not be on both."
            yield Finding(ERROR, what, remedy, names)
        twice = set(dataset.splits[number].train) & set(dataset.splits[number].test)
        if twice:
            what = f"Split {number} has videos both in training and in test."
            yield Finding(ERROR, what, "Take them out of one list.", tuple(sorted(twice)))


def audit_duplicates(dataset: DataSet) -> Iterator[Finding]:
    """Yields test videos that look the same as a training video in several frames spread over them."""
    hashes = {name: _hashes(dataset, video) for name, video in dataset.videos.items()}
    known = {name: value for name, value in hashes.items() if value is not None}
    for number in dataset.splits:
        train, test = (
            [video for video in dataset.part(number, part) if video.name in known] for part in ("train", "test")
        )
        pairs = list(near_pairs(train, test, known))
        if pairs:
            first, second = pairs[0]
            what = (
                f"Split {number} has {len(pairs)} test videos that look like training videos, as {second} like {first}."
            )
            remedy = "Look at them. Copies belong on one side: take them out of a list, or give them one group."
            yield Finding(WARNING, what, remedy, tuple(pair[1] for pair in pairs))


def near_pairs(
    train: Sequence[Video], test: Sequence[Video], hashes: dict[str, np.ndarray]
) -> Iterator[tuple[str, str]]:
    """Yields `(training video, test video)` for each test video whose nearest in training is as good as the same."""
    if not train or not test:
        return
    table = np.stack([hashes[video.name] for video in train])
    for video in test:
        # A row at a time keeps memory small: 9,537 videos take a millisecond.
        distances = np.bitwise_count(table ^ hashes[video.name]).max(axis=1)
        nearest = int(distances.argmin())
        if distances[nearest] <= NEAR:
            yield train[nearest].name, video.name


def _hashes(dataset: DataSet, video: Video) -> np.ndarray | None:
    """Returns 64 bits for each of some frames: whether each of 8x8 fields is brighter than its right neighbour."""
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
