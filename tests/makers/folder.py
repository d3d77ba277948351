"""A folder of own videos, and what prepare leaves of it."""

from data.ready import open_dataset
from tests.makers.data import write_clip


def make_videos(root, count=6, frames=5):
    for label in ("a b", "it's ü"):
        for number in range(count):
            write_clip(root / "videos" / label / f"{label} {number}.avi", frames=frames)
    return open_dataset("mine", root)


def contents(root):
    """What prepare leaves, by path; hidden files are leftovers, which there must be none of."""
    files = {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    return {path: data for path, data in files.items() if path.parts[0] != "videos"}
