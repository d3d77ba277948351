"""What fusion/predict.py does with each video: it says what happens in it, and writes what is asked for."""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from fusion.prediction.annotate import write_annotated
from fusion.prediction.as_prepared import PreparedVideo
from fusion.prediction.prediction import Prediction
from fusion.prediction.tables import STANDARD_OUTPUT, Failure, as_line, as_table, place_of
from fusion.prediction.timeline import as_text, timeline, write_picture
from fusion.two_stream import TwoStream


def load_streams(models: Mapping[str, Path], method: str | None, say: Callable[[str], None]) -> TwoStream:
    """Loads the models; says so where flow is computed by another method than for their training."""
    two_stream = TwoStream(models)
    if method and (note := two_stream.use_flow(method)):
        say(f"Note: {note}.")
    return two_stream


def predict_all(
    two_stream: TwoStream, videos: Sequence[Path], options: argparse.Namespace, out: Console
) -> Iterator[Prediction | Failure]:
    """Yields what the streams say of each video, or why they can't, after it has been printed and written."""
    followed = track(videos, "Predicting", console=out) if len(videos) > 1 else videos
    for video in followed:
        try:
            prediction = two_stream.predict(
                video, views=options.views, crops=options.crops, hop=options.hop, partial=options.partial
            )
            out.print(as_table(prediction, options.top) if len(videos) == 1 else as_line(prediction))
            _show_over_time(prediction, two_stream, options, out, several=len(videos) > 1)
        except (ValueError, OSError) as error:
            yield {"video": str(video), "error": str(error)}
            continue
        yield prediction


def _show_over_time(
    prediction: Prediction, two_stream: TwoStream, options: argparse.Namespace, out: Console, *, several: bool
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
