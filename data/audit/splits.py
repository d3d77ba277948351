"""Checks that splits are the published ones, and that no group has videos in both training and test."""

from collections.abc import Iterator

from data.audit.findings import ERROR, WARNING, Finding
from data.catalog import DataSet
from data.store.index import index_path

# A table can't be read by people.
_WRITE_CSV = "./run prepare {name} --index both writes the reasons into index.csv"


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
        where = "index.csv gives the reasons" if index_path(dataset.root).exists() else _WRITE_CSV
        yield Finding(WARNING, what, f"{where}. Get these videos and type ./run prepare again.", unready)


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
