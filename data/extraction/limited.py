"""Chooses a few videos of a data set on which a training works: equally many of each class, and of each part."""

from collections.abc import Collection, Sequence

from data.catalog import DataSet, Split, Video

# A class needs a training video, a validation video of another group, and a test video.
LEAST_OF_A_CLASS = 3


def few_videos(dataset: DataSet, there: Collection[str], limit: int) -> list[Video]:
    """Returns `limit` of the existing videos, or of all if none exist: equally many of each class and of its parts."""
    present = [video for video in dataset.videos.values() if video.name in there]
    by_class: dict[tuple[int, ...], list[Video]] = {}
    for video in present or dataset.videos.values():
        by_class.setdefault(video.labels[:1], []).append(video)
    turns = {label: _in_turn(dataset, by_class[label]) for label in sorted(by_class)}
    chosen: set[str] = set()
    for turn in range(max(map(len, turns.values()), default=0)):
        able = [videos[turn] for videos in turns.values() if turn < len(videos)]
        chosen.update(video.name for video in _spread(able, min(len(able), limit - len(chosen))))
    return [video for name, video in dataset.videos.items() if name in chosen]


def too_few(dataset: DataSet, chosen: Sequence[Video]) -> str:
    """Returns advice if no training is possible on the videos of a limit, or "" if one is."""
    split, names = next(iter(dataset.splits.values()), Split((), ())), {video.name for video in chosen}
    trained = [dataset.videos[name] for name in split.train if name in names]
    lacking = len(dataset.classes) - len({label for video in trained for label in video.labels})
    groups = {(label, video.group) for video in trained for label in video.labels}
    if not lacking and (split.validation or len(groups) > len(dataset.classes)):
        return ""
    enough = LEAST_OF_A_CLASS * len(dataset.classes)
    return (
        f"The {len(chosen)} videos of --limit are too few: {lacking} of {len(dataset.classes)} classes have "
        f"no training video, or none has a second one to validate on. Pass --limit {enough} or more."
    )


def _in_turn(dataset: DataSet, videos: Sequence[Video]) -> list[Video]:
    """Returns the videos of a class in the order of their choice: from each part in turn, new groups first."""
    split = next(iter(dataset.splits.values()), None)
    if split is None:
        return list(videos)
    validation, test = set(split.validation), set(split.test)
    training = set(split.train) - validation
    parts = [[video for video in videos if video.name in names] for names in (training, test, validation)]
    left = [list(_other_groups_first(part)) for part in parts]
    # Two training videos for each test video, so that one of the two can be used for validation.
    order = [left[0], left[1], left[0], left[2]]
    found: list[Video] = []
    while any(left):
        found += [part.pop(0) for part in order if part]
    unused = {video.name for video in videos} - {video.name for video in found}
    return found + [video for video in videos if video.name in unused]


def _other_groups_first(videos: Sequence[Video]) -> list[Video]:
    """Returns videos in an order in which each group comes once before any comes twice."""
    turns: dict[str, int] = {}
    numbered = []
    for video in videos:
        turns[video.group] = turns.get(video.group, 0) + 1
        numbered.append((turns[video.group], video))
    return [video for _, video in sorted(numbered, key=lambda each: each[0])]


def _spread(videos: Sequence[Video], count: int) -> list[Video]:
    return [videos[place * len(videos) // count] for place in range(count)]
