"""Says what happens in videos, with both streams; flow is computed as it was for their training.

python fusion/predict.py clip.mp4 --spatial spatial.keras --temporal temporal.keras
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.progress import track

from commands.running import run
from fusion.annotate import CODECS, write_annotated
from fusion.making import PreparedVideo
from fusion.models import add_model_options, load_streams
from fusion.prediction import Prediction
from fusion.sources import named_videos
from fusion.timeline import as_text, timeline, write_picture
from fusion.watching import watch_live
from fusion.written import STANDARD_OUTPUT, as_line, as_table, error_of, place_of, write_csv, write_predictions

if TYPE_CHECKING:
    from fusion.two_stream import TwoStream


def main(argv: Sequence[str] | None = None) -> None:
    """Predicts the videos that the command line names; those that fail are named and don't stop the others."""
    options = _parse(argv)
    if options.camera:
        watch_live(options)
        return
    # What programs read has standard output to itself.
    out = Console(stderr=STANDARD_OUTPUT in (options.json, options.csv), highlight=False)
    predictions, failed = [], []
    with named_videos(options.videos) as videos:
        two_stream = load_streams(options, out.print)
        for result in _predict_all(two_stream, videos, options, out):
            predictions.append(result) if isinstance(result, Prediction) else failed.append(result)
    write_predictions(options.json, predictions, failed, options)
    write_csv(options.csv, predictions, options.top)
    if failed and len(videos) == 1:
        raise ValueError(failed[0]["error"])
    if failed:
        names = "\n".join(f"  {failure['error']}" for failure in failed)
        raise ValueError(f"{len(failed)} of {len(videos)} videos could not be predicted:\n{names}")


def _predict_all(
    two_stream: "TwoStream", videos: Sequence[Path], options: argparse.Namespace, out: Console
) -> Iterator[Prediction | dict[str, str]]:
    followed = track(videos, "Predicting", console=out) if len(videos) > 1 else videos
    for video in followed:
        try:
            prediction = two_stream.predict(
                video, views=options.views, crops=options.crops, hop=options.hop, partial=options.partial
            )
            out.print(as_table(prediction, options.top) if len(videos) == 1 else as_line(prediction))
            _show_over_time(prediction, two_stream, options, out, several=len(videos) > 1)
        except (ValueError, OSError) as error:
            yield error_of(video, error)
            continue
        yield prediction


def _show_over_time(
    prediction: Prediction, two_stream: "TwoStream", options: argparse.Namespace, out: Console, *, several: bool
) -> None:
    """Prints and draws the timeline and writes the annotated video, where they are asked for."""
    if options.timeline:
        line = timeline(prediction, options.window)
        out.print(as_text(line.stretches()))
        if options.timeline != STANDARD_OUTPUT:
            path = place_of(options.timeline, prediction.video, ".png", several=several)
            frames = list(PreparedVideo(Path(prediction.video), two_stream.making).spread(8))
            write_picture(path, line, frames, Path(prediction.video).name)
            out.print(f"The timeline is in {path}", soft_wrap=True)
    if options.save:
        path = place_of(options.save, prediction.video, ".webm", several=several)
        write_annotated(path, prediction, two_stream.making, options.window)
        out.print(f"The annotated video is in {path}", soft_wrap=True)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("videos", nargs="*", metavar="VIDEO", help="a file, a folder, a pattern, or - (standard input)")
    add_model_options(parser)
    parser.add_argument("--views", type=_at_least_one, default=25, metavar="N", help="clips of a video, evenly spaced")
    parser.add_argument("--crops", type=int, choices=(1, 5, 10), default=10, help="of each clip; see evaluate.py")
    parser.add_argument("--hop", type=_above_zero, metavar="SECONDS", help="a clip every so often, instead of --views")
    parser.add_argument(
        "--timeline", nargs="?", const=STANDARD_OUTPUT, metavar="FILE.png", help="who does what when, and as a picture"
    )
    parser.add_argument("--window", type=_above_zero, default=2.0, metavar="SECONDS", help="averaged at each moment")
    parser.add_argument("--save", metavar="FILE", help="the video with flow and bars: .webm, .mp4 or .avi")
    parser.add_argument("--camera", metavar="SOURCE", help="a camera's number, a URL, a pipe: look as it comes")
    parser.add_argument("--top", type=_at_least_one, default=5, metavar="N", help="how many classes are shown")
    parser.add_argument("--partial", action="store_true", help="go by what can be decoded of videos that are cut off")
    for kind in ("json", "csv"):
        words = f"write {kind.upper()}, to standard output unless FILE is given"
        parser.add_argument(f"--{kind}", nargs="?", const=STANDARD_OUTPUT, metavar="FILE", help=words)
    options = parser.parse_args(argv)
    if bool(options.videos) == bool(options.camera):
        parser.error("name a VIDEO or more, or a --camera")
    if options.save and Path(options.save).suffix.lower() not in ("", *CODECS):
        parser.error(f"--save writes {', '.join(CODECS)} files (browsers play .webm), not {options.save}")
    if options.timeline and not options.hop:
        options.hop = options.window / 2
    return options


def _at_least_one(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def _above_zero(word: str) -> float:
    number = float(word)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be above 0, not {word}")
    return number


if __name__ == "__main__":
    run(main)
