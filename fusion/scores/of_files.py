"""Reads score files: ours, NumPy arrays, files of TSN, pickled dictionaries, and CSV."""

import contextlib
import csv
import io
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from commands.files import read_text
from commands.pickled_arrays import read_object_array, read_pickle
from commands.running import first_line
from commands.text import is_printable
from data.extraction.video_files import is_video
from streams.runs.score_file import read_scores

# Usual names for the array of video names in a `.npz` file.
_NAMES = ("clips", "videos", "names")
# An array may be at most this many times larger than its file.
_MOST_PACKED = 1000


@dataclass(frozen=True)
class NamedScores:
    """The scores in a file, [V, views, C], with the names of the videos."""

    stream: str
    videos: tuple[str, ...]
    view_logits: np.ndarray
    classes: tuple[str, ...] = ()  # Empty if the file does not name them.
    labels: np.ndarray | None = None  # For each video, the column of its class, int[V], if the file has it.


def read_score_file(source: str, names: Path | None = None) -> NamedScores:
    """Reads `FILE` or `FILE:ARRAY`. `names` lists the videos of files that contain only arrays."""
    path, array = parted(source)
    if not path.is_file():
        raise FileNotFoundError(f"There is no score file {path}.")
    readers = {".h5": _hdf5, ".npz": _npz, ".npy": _npy, ".pickle": _pickled, ".pkl": _pickled, ".csv": _csv}
    if path.suffix not in readers:
        raise ValueError(f"{path} has an unknown extension. Score files end in {', '.join(readers)}.")
    try:
        scores: NamedScores = readers[path.suffix](path, array, names)
    except (ValueError, OSError, MemoryError):
        raise
    except Exception as error:  # For a damaged file, NumPy, csv and zipfile may raise almost any exception.
        raise ValueError(f"{path} can't be read as a score file: {first_line(error)}.") from None
    _check(path, scores)
    return scores


def _check(path: Path, scores: NamedScores) -> None:
    """Raises ValueError unless each video has one row of scores and a printable name."""
    if scores.view_logits.ndim != 3 or min(scores.view_logits.shape[1:]) < 1 or scores.view_logits.shape[2] < 2:
        raise ValueError(
            f"{path} must hold scores of at least two classes for every video. Received {scores.view_logits.shape}."
        )
    if not all(is_printable(name, keep="\n") for name in (*scores.videos, *scores.classes)):
        raise ValueError(f"{path} has names with control characters, or that are not UTF-8. Rename them.")
    if not len(scores.videos) == len(scores.view_logits) == len(set(scores.videos)):
        raise ValueError(
            f"{path} must have one row of scores per video. It has {len(scores.view_logits)} rows for "
            f"{len(scores.videos)} names; {len(set(scores.videos))} names are different."
        )


def parted(source: str) -> tuple[Path, str]:
    """Splits `FILE:ARRAY`, but not at the colon of a Windows drive."""
    file, colon, array = source.rpartition(":")
    return (Path(file), array) if colon and len(file) > 1 and not Path(source).is_file() else (Path(source), "")


def _hdf5(path: Path, array: str, names: Path | None) -> NamedScores:
    scores = read_scores(path)
    if scores.of_features:
        raise ValueError(f"{path} holds features, which can't be fused as scores. Name the file without -features.")
    return NamedScores(scores.stream, scores.videos, scores.view_logits, scores.classes)


def _npz(path: Path, array: str, names: Path | None) -> NamedScores:
    _check_unpacked(path)
    with np.load(path, allow_pickle=False) as stored:
        own_names = next((name for name in _NAMES if name in stored.files), "")
        candidates = [name for name in stored.files if name not in (own_names, "labels")]
        if not array and len(candidates) == 1:
            array = candidates[0]
        if array not in stored.files:
            raise ValueError(
                f"{path} has the arrays {', '.join(candidates)}. Received {array or 'none'}: "
                f"pass --scores {path}:{candidates[0] if candidates else 'ARRAY'}"
            )
        try:
            rows: object = stored[array]
        except ValueError:  # TSN writes an array of objects: scores, each with a label.
            rows = read_object_array(path, array)
        with _without_objects(path):
            videos = [str(name) for name in stored[own_names]] if own_names else _listed(path, names)
            labels = stored["labels"] if "labels" in stored.files else np.empty(0)
    is_of_videos = labels.dtype.kind in "iu" and labels.shape == (len(videos),)
    stream = array if own_names else path.stem
    return NamedScores(stream, tuple(videos), _stacked(path, rows), labels=labels if is_of_videos else None)


def _npy(path: Path, array: str, names: Path | None) -> NamedScores:
    with _without_objects(path):
        rows = np.load(path, allow_pickle=False)
    return NamedScores(path.stem, _listed(path, names), _stacked(path, rows))


@contextlib.contextmanager
def _without_objects(path: Path) -> Iterator[None]:
    """Explains the error for an array of Python objects: NumPy would run a pickle to read it."""
    try:
        yield
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise ValueError(
            f"{path} was not opened: Python objects are allowed only in the scores of an .npz, as TSN writes them. "
            "Save names as text and other arrays as numbers, without dtype=object."
        ) from None


def _check_unpacked(path: Path) -> None:
    """Raises ValueError if unpacked arrays would fill the memory: zeros can be compressed to almost nothing."""
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > max(_MOST_PACKED * path.stat().st_size, 2**20):
        raise ValueError(f"{path} would unpack to {size:,} bytes, more than {_MOST_PACKED} times its own size.")


def _pickled(path: Path, array: str, names: Path | None) -> NamedScores:
    stored = read_pickle(path)
    if isinstance(stored, Mapping) and array:
        stored = stored.get(array)
    if not isinstance(stored, Mapping):
        return NamedScores(path.stem, _listed(path, names), _stacked(path, stored))
    return NamedScores(path.stem, tuple(map(str, stored)), _stacked(path, list(stored.values())))


def _csv(path: Path, array: str, names: Path | None) -> NamedScores:
    try:
        header, *rows = list(csv.reader(io.StringIO(read_text(path), newline=""))) or [[]]
    except csv.Error as error:
        raise ValueError(f"{path} can't be read as a CSV: {error}.") from None
    if not rows or len(header) < 3:
        raise ValueError(f"{path} must have a first line `video,<class>,<class>,...` and then one line per video.")
    try:
        scores = np.array([[float(cell) for cell in row[1:]] for row in rows])
    except ValueError as error:
        raise ValueError(f"{path} must hold one number per video and class: {error}.") from None
    return NamedScores(path.stem, tuple(row[0] for row in rows), _stacked(path, scores), tuple(header[1:]))


def _stacked(path: Path, rows: object) -> np.ndarray:
    """Returns scores as [V, views, C]. A row is [C], [views, C] or [views, crops, C], or a pair of such and a label."""
    if isinstance(rows, np.ndarray) and rows.dtype != object and rows.ndim in (2, 3):
        return rows[:, None].astype(np.float64) if rows.ndim == 2 else rows.astype(np.float64)
    if not isinstance(rows, Collection) or not len(rows):
        raise ValueError(f"{path} must hold a list of the scores of videos. Received {type(rows).__name__}.")
    views = [_views(row) for row in rows]
    shapes = {view.shape for view in views}
    if len({shape[1] for shape in shapes}) != 1:
        raise ValueError(f"{path} must have the same number of scores for each video. Received {sorted(shapes)[:3]}.")
    # Videos may have a different number of views each. Only their means can be stacked.
    return np.stack(views) if len(shapes) == 1 else np.stack([view.mean(axis=0, keepdims=True) for view in views])


def _views(row: object) -> np.ndarray:
    if isinstance(row, Sequence | np.ndarray) and len(row) == 2 and np.ndim(row[0]) > 0 and np.ndim(row[1]) == 0:
        row = row[0]  # TSN adds the label to the scores.
    scores = np.asarray(row, np.float64)
    if scores.ndim > 2:  # Views, then crops or an axis of length one.
        scores = scores.reshape(len(scores), -1, scores.shape[-1]).mean(axis=1)
    return np.atleast_2d(scores)


def _listed(path: Path, names: Path | None) -> tuple[str, ...]:
    beside = names or path.with_suffix(".txt")
    if not beside.is_file():
        raise FileNotFoundError(
            f"{path} does not name its videos, and there is no list {beside}. Pass --names LIST, one video per line."
        )
    return tuple(plain_name(line.split()[0]) for line in read_text(beside).splitlines() if line.strip())


def plain_name(entry: str) -> str:
    """Returns a video's name from a line of a list, without its folder and extension."""
    name = Path(entry).name
    return name.removesuffix(Path(name).suffix) if is_video(Path(name)) else name
