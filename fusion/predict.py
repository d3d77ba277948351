"""Recognises actions in videos, with both streams. Flow is computed as it was for their training.

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
from commands.options import Parser, part_of, positive
from commands.running import quiet_tensorflow, run
from data.extraction.video_files import WRITABLE_CODECS
from data.extraction.video_limits import add_limits
from fusion.prediction.chosen_models import add_model_options, model_files
from fusion.prediction.named_videos import named_videos
from fusion.prediction.over_time.segments import EXTENSIONS
from fusion.prediction.tables import STANDARD_OUTPUT, Results

_LAYOUT = Layout(
    first=(
        "dataset",
        "spatial",
        "temporal",
        "model",
        "fusion",
        "views",
        "timeline",
        "segments",
        "save",
        "camera",
        "json",
        "csv",
    )
)

# Options that can't be used with a live source.
_NOT_LIVE = ("views", "when_unsure", "partial", "truth", "most_megapixels", "most_frames")


def main(argv: Sequence[str] | None = None) -> None:
    """Predicts the videos that the command line names. If one fails, it is reported and the others go on."""
    options = _parse(argv)
    # JSON and CSV need standard output for themselves. Markup is off, because names may look like it.
    out = Console(stderr=STANDARD_OUTPUT in (options.json, options.csv), highlight=False, markup=False, emoji=False)
    number, parts = options.shard
    with named_videos(options.videos) as named:
        videos = named[number - 1 :: parts]
        models = model_files(options, out.print)
        quiet_tensorflow()
        from fusion import each_video

        two_stream = each_video.load_streams(
            models, options.method, out.print, options.fusion, when_unsure=options.when_unsure
        )
        if options.camera:
            each_video.watch_live(two_stream, options, out)
            return
        window = options.window if options.timeline else None
        delay = None if options.delay is None else options.delay / 1000
        with Results(options.json, options.csv, count=options.top, window=window, delay=delay) as results:
            for result in each_video.predict_all(two_stream, videos, options, out):
                results.add(result)
    failed = results.failed
    if failed and len(videos) == 1:
        raise ValueError(failed[0]["error"])
    if failed:
        names = "\n".join(f"  {failure['error']}" for failure in failed)
        raise ValueError(f"{len(failed)} of {len(videos)} videos could not be predicted:\n{names}")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    # Unset options are None at first: with a camera, some have another default, and some are not allowed.
    options = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(("crops", *_NOT_LIVE))))
    if bool(options.videos) == bool(options.camera):
        parser.error("name a VIDEO or more, or a --camera")
    given = [f"--{name.replace('_', '-')}" for name in _NOT_LIVE if getattr(options, name)]
    if options.camera and given:
        parser.error(f"{', '.join(given)} can't be used with --camera, which looks at what comes every --hop seconds")
    for name in ("crops", *_NOT_LIVE):
        if getattr(options, name) is None:
            setattr(options, name, 1 if name == "crops" and options.camera else parser.get_default(name))
    over_time = [name for name in ("timeline", "segments", "truth", "save") if getattr(options, name)]
    if options.when_unsure and over_time:
        parser.error(f"--when-unsure decides on whole videos, but --{over_time[0]} needs both streams at every moment")
    if options.save and Path(options.save).suffix.lower() not in ("", *WRITABLE_CODECS):
        parser.error(f"--save writes {', '.join(WRITABLE_CODECS)} files (browsers play .webm), not {options.save}")
    if options.segments and options.segments.suffix.lower() not in EXTENSIONS:
        parser.error(f"--segments writes {' and '.join(EXTENSIONS)} files, not {options.segments}")
    if (options.timeline or options.segments or options.truth) and not (options.hop or options.camera):
        options.hop = options.window / 2
    return options


def _parser() -> argparse.ArgumentParser:
    parser = Parser(__doc__, _LAYOUT)
    parser.add_argument("videos", nargs="*", metavar="VIDEO", help="a file, a folder, a pattern, or - (standard input)")
    add_model_options(parser)
    _add_looking(parser.add_argument_group("views and flow"))
    _add_sharing(parser.add_argument_group("several devices and machines"))
    _add_output(parser.add_argument_group("output"))
    return parser


def _add_looking(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--when-unsure", action="store_true", help="compute flow only for videos that the spatial stream is unsure of")
    add("--views", type=positive, default=25, metavar="N", help="clips of a video, evenly spaced")
    words = "squares of each clip to score; with --camera, 1 unless given"
    add("--crops", type=int, choices=(1, 5, 10), default=10, help=words)
    add("--hop", type=_above_zero, metavar="SECONDS", help="time between clips, instead of --views")
    add("--window", type=_above_zero, default=2.0, metavar="SECONDS", help="time over which scores are averaged")
    words = (
        "decide on each moment N milliseconds later, using nothing after that; without it, views around the moment are "
        "averaged, and --camera decides at once"
    )
    add("--delay", type=_not_negative, metavar="N", help=words)
    add("--camera", metavar="SOURCE", help="predict a live source: the number of a camera, a URL or a pipe")
    add("--partial", action="store_true", help="accept videos that are cut off, up to the cut")
    add_limits(group)


def _add_sharing(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--devices", type=positive, metavar="N", help="number of devices that look at videos (default: all)")
    words = "let the workers of this Dask scheduler look at the videos, like tls://host:8786"
    add("--cluster", default="", metavar="ADDRESS", help=words)
    words = "the scheduler's certificate and key, cert.pem and key.pem"
    add("--tls", type=Path, metavar="FOLDER", help=words)
    words = "only this part of the videos, as in 1/4; each video is in one part"
    add("--shard", type=part_of, default=(1, 1), metavar="N/N", help=words)


def _add_output(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    words = "print the timeline: which class from when to when; also draw it in FILE"
    add("--timeline", nargs="?", const=STANDARD_OUTPUT, metavar="FILE", help=words)
    add(
        "--segments",
        type=Path,
        metavar="FILE",
        help="write the timeline as .csv or .json: start,end,class,confidence",
    )
    words = "evaluate segments by these labels: video,label,start,end, or a Label Studio export"
    add("--truth", type=Path, metavar="FILE", help=words)
    add("--save", metavar="FILE", help="write the video with flow and class bars: .webm, .mp4 or .avi")
    add("--top", type=positive, default=5, metavar="N", help="number of classes to show")
    for kind in ("json", "csv"):
        words = f"write {kind.upper()} to FILE, or to standard output"
        add(f"--{kind}", nargs="?", const=STANDARD_OUTPUT, metavar="FILE", help=words)


def _above_zero(word: str) -> float:
    number = float(word)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be above 0, not {word}")
    return number


def _not_negative(word: str) -> float:
    number = float(word)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be 0 or more, not {word}")
    return number


if __name__ == "__main__":
    run(main)
