"""What the published lists of the data sets have in common: where they are put, and how a bad line is told."""

from collections.abc import Iterator, Sequence
from pathlib import Path


def find_lists(root: Path, landmark: str, folders: Sequence[str], source: str) -> Path:
    """Returns the folder below `root` that holds the published lists, known by the file or pattern `landmark`."""
    places = [root / "annotations", *(root / above / folder for above in ("annotations", ".") for folder in folders)]
    for place in places:
        if any(place.glob(landmark)):
            return place
    raise FileNotFoundError(
        f"{landmark} is not in {root / 'annotations'}: the lists of this data set are not there. "
        f"Get {source} and put its files there, or name their folder with --annotations, or let --download fetch them."
    )


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the lines of a list that are not empty, with their numbers, whatever ends them."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; the other lists of the data set are in that folder.")
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def bad_line(path: Path, number: int, line: str, expected: str) -> ValueError:
    """Returns the error for a line that is not of the form that the data set's authors publish."""
    return ValueError(f"Line {number} of {path} is {line!r}. Expected {expected}. Get the published list again.")
