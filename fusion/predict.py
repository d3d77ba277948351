"""Recognises what happens in videos, with both streams; flow is computed as it was for their training.

./run predict clip.mp4
./run predict clip.mp4 --dataset ucf101 --timeline timeline.png --save annotated.webm
./run predict clips/ --spatial spatial.keras --temporal temporal.keras --csv answers.csv
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from rich.console import Console

from commands.help_page import Layout
from commands.options import Parser, positive
from commands.running import quiet_tensorflow, run
from data.extraction.video_limits import add_limits
from fusion.prediction.chosen_models import add_model_options, model_files
from fusion.prediction.named_videos import named_videos
from fusion.prediction.tables import CODECS, STANDARD_OUTPUT, Results

_LAYOUT = Layout(
    first=(
        "dataset",
        "spatial",
        "temporal",
        "model",
        "fusion",
        "views",
        "timeline",
        "save",
        "camera",
        "top",
        "json",
        "csv",
    )
)


def main(argv: Sequence[str] | None = None) -> None:
    """Predicts the videos that the command line names; those that fail are named and don't stop the others."""
    options = _parse(argv)
    # JSON and CSV have standard output to themselves. Names are not markup.
    out = Console(stderr=STANDARD_OUTPUT in (options.json, options.csv), highlight=False, markup=False, emoji=False)
    with named_videos(options.videos) as videos:
        models = model_files(options, out.print)
        quiet_tensorflow()
        from fusion import each_video

        two_stream = each_video.load_streams(models, options.method, out.print, options.fusion)
        if options.camera:
            each_video.watch_live(two_stream, options, out)
            return
        window = options.window if options.timeline else None
        with Results(options.json, options.csv, count=options.top, window=window) as results:
            for result in each_video.predict_all(two_stream, videos, options, out):
                results.add(result)
    failed = results.failed
    if failed and len(videos) == 1:
        raise ValueError(failed[0]["error"])
    if failed:
        names = "\n".join(f"  {failure['error']}" for failure in failed)
        raise ValueError(f"{len(failed)} of {len(videos)} videos could not be predicted:\n{names}")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__, _LAYOUT)
    parser.add_argument("videos", nargs="*", metavar="VIDEO", help="a file, a folder, a pattern, or - (standard input)")
    add_model_options(parser)
    looking = parser.add_argument_group("how videos are looked at")
    looking.add_argument("--views", type=positive, default=25, metavar="N", help="clips of a video, evenly spaced")
    looking.add_argument(
        "--crops", type=int, choices=(1, 5, 10), default=10, help="squares of each clip that are looked at"
    )
    looking.add_argument("--hop", type=_above_zero, metavar="SECONDS", help="time between clips, instead of --views")
    output = parser.add_argument_group("output")
    output.add_argument(
        "--timeline",
        nargs="?",
        const=STANDARD_OUTPUT,
        metavar="FILE",
        help="print what happens when; draw it in FILE too",
    )
    looking.add_argument(
        "--window", type=_above_zero, default=2.0, metavar="SECONDS", help="length of averages over time"
    )
    output.add_argument("--save", metavar="FILE", help="write the video with flow and class bars: .webm, .mp4 or .avi")
    looking.add_argument("--camera", metavar="SOURCE", help="predict live: the number of a camera, a URL or a pipe")
    output.add_argument("--top", type=positive, default=5, metavar="N", help="how many classes are shown")
    looking.add_argument("--partial", action="store_true", help="accept videos that are cut off, as far as they go")
    add_limits(looking)
    for kind in ("json", "csv"):
        words = f"write {kind.upper()}, to standard output unless FILE is given"
        output.add_argument(f"--{kind}", nargs="?", const=STANDARD_OUTPUT, metavar="FILE", help=words)
    options = parser.parse_args(argv)
    if bool(options.videos) == bool(options.camera):
        parser.error("name a VIDEO or more, or a --camera")
    if options.save and Path(options.save).suffix.lower() not in ("", *CODECS):
        parser.error(f"--save writes {', '.join(CODECS)} files (browsers play .webm), not {options.save}")
    if options.timeline and not options.hop:
        options.hop = options.window / 2
    return options


def _above_zero(word: str) -> float:
    number = float(word)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be above 0, not {word}")
    return number


if __name__ == "__main__":
    run(main)
