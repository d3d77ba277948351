"""Draws docs/pictures/shown.webp: test videos of the built-in data set, their flow, and what the streams say of them.

./run demo
python benchmarks/pictures/moving.py
"""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import numpy as np
from PIL import Image

from benchmarks.pictures.shapes import frames_of, motion_of
from commands.files import PROJECT, RUNS, replacing
from commands.running import quiet_tensorflow, run
from data.catalog import Video
from data.flow import flow_between
from data.ready import ready_dataset
from fusion.prediction.as_prepared import PreparedVideo

# Seconds that a frame is shown. The videos have twelve frames a second, too many to read the bars.
SECONDS = 0.25
WIDTH, ENLARGED = 720, 4
# One class of each motion and each appearance.
CLASSES = ("ChecksCircle", "StripesSlide", "RingsLift")


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, metavar="FOLDER", help="of the built-in data set")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="FOLDER", help="where its models are")
    parser.add_argument("--out", type=Path, default=PROJECT / "docs" / "pictures" / "shown.webp", metavar="FILE")
    options = parser.parse_args(argv)
    dataset = ready_dataset("shapes", options.root)
    tested = dataset.part(1, "test")
    videos = [max((each for each in tested if each.folder == name), key=moments_whole) for name in CLASSES]
    pictures = list(_pictures([dataset.root / "videos" / each.relative_path for each in videos], options.runs))
    with replacing(options.out) as temporary:
        more = {"save_all": True, "append_images": pictures[1:], "duration": round(1000 * SECONDS), "loop": 0}
        pictures[0].save(temporary, "WEBP", quality=60, method=6, **more)
    print(f"Wrote {options.out}: {len(pictures)} frames, {options.out.stat().st_size / 1e3:.0f} kB.")


class Enlarged(PreparedVideo):
    """A video whose frames are too small to be seen at their size."""

    def originals(self) -> Iterator[np.ndarray]:
        """Yields its frames, enlarged."""
        return (frame.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1) for frame in super().originals())


def moments_whole(video: Video) -> int:
    """Returns how often the disc of a video is whole: what leaves at an edge comes back at the opposite one."""
    frames = frames_of(video.name)
    return sum(motion_of(flow_between(*pair)) is not None for pair in itertools.pairwise(frames))


def _pictures(paths: Sequence[Path], runs: Path) -> Iterator[Image.Image]:
    quiet_tensorflow()
    from fusion import TwoStream
    from fusion.prediction.over_time.annotate import annotated_frames
    from fusion.prediction.over_time.timeline import timeline

    two_stream = TwoStream.load(runs / "shapes")
    for path in paths:
        prediction = two_stream.predict(path, hop=0.01)
        line = timeline(prediction, 0.5)
        for frame in annotated_frames(Enlarged(path, two_stream.making), line, prediction):
            picture = Image.fromarray(frame)
            yield picture.resize((WIDTH, round(WIDTH * picture.height / picture.width)), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    run(main)
