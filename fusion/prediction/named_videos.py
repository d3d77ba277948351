"""Finds the video files that a user names: a file, a folder, a pattern, or standard input."""

import glob
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from commands.files import scratch_folder
from data.extraction.video_files import VIDEO_EXTENSIONS, is_of_pictures, is_video, walk_files


@contextmanager
def named_videos(names: Sequence[str]) -> Iterator[list[Path]]:
    """Yields the named files. The temporary file for standard input is deleted afterwards."""
    with scratch_folder() as folder:
        videos: list[Path] = []
        for name in names:
            videos.extend([_from_standard_input(folder)] if name == "-" else _files(name))
        yield list(dict.fromkeys(videos))


def _files(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir() and not is_of_pictures(path):
        found = [file for file in walk_files(path) if is_video(file)]
        if not found:
            raise ValueError(f"The folder {path} has no video in it, that is, no {', '.join(VIDEO_EXTENSIONS)}.")
        return found
    if not path.exists() and glob.has_magic(name):
        # Path.glob refuses absolute patterns.
        found = sorted(path for path in map(Path, glob.iglob(name, recursive=True)) if path.is_file())  # noqa: PTH207
        if not found:
            raise ValueError(f"No file matches {name}. Check the folder, and put the pattern in quotes.")
        return found
    return [path]


def _from_standard_input(folder: Path) -> Path:
    # Decoding needs to seek in the file, and a pipe can't seek.
    path = folder / "standard-input"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    if path.stat().st_size == 0:
        raise ValueError("Standard input is empty. Pipe a video into it: cat clip.mp4 | ./run predict -")
    return path
