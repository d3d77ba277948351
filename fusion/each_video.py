"""Predicts videos, or a live source, for fusion/predict.py: prints what happens in each, and writes the results."""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress import track
from rich.text import Text

from commands.running import first_line
from commands.text import printable
from commands.waiting import Now
from data.extraction.decoder import Bounds
from fusion.live.decisions import Glance, watch
from fusion.prediction.annotate import write_annotated
from fusion.prediction.as_prepared import PreparedVideo
from fusion.prediction.chosen_fusion import sentence
from fusion.prediction.prediction import Prediction
from fusion.prediction.tables import STANDARD_OUTPUT, Failure, as_line, as_table, places_of, write_to
from fusion.prediction.timeline import as_text, clock, timeline, write_picture
from fusion.two_stream import TwoStream


def load_streams(
    models: Mapping[str, Path], method: str | None, say: Callable[[str], None], fusion: str = ""
) -> TwoStream:
    """Loads the models; says how they are fused, and whether flow is computed otherwise than for their training."""
    Now.doing = "Loading the models"
    two_stream = TwoStream(models, fusion)
    if len(two_stream.scorers) > 1:
        say(sentence(two_stream.fusion))
    if method and (note := two_stream.use_flow(method)):
        say(f"Note: {note}.")
    return two_stream


def predict_all(
    two_stream: TwoStream, videos: Sequence[Path], options: argparse.Namespace, out: Console
) -> Iterator[Prediction | Failure]:
    """Yields the prediction for each video, or why there is none, after printing and writing it."""
    followed = track(videos, "Predicting", console=out) if len(videos) > 1 else videos
    bounds = Bounds(None, round(options.most_megapixels * 1e6), options.most_frames)
    show = _Shown(two_stream, videos, options, out)
    for video in followed:
        Now.doing = f"Looking at {video.name}: decoding, flow, both networks"
        try:
            prediction = two_stream.predict(
                video,
                views=options.views,
                crops=options.crops,
                hop=options.hop,
                partial=options.partial,
                bounds=bounds,
            )
            out.print(as_table(prediction, options.top) if len(videos) == 1 else as_line(prediction))
            show.over_time(prediction)
        except Exception as error:  # A failure of one video must not stop the others.
            yield {"video": printable(video), "error": printable(_reason(video, error))}
            continue
        yield prediction


def _reason(video: Path, error: Exception) -> str:
    if isinstance(error, ValueError | OSError):
        return str(error)
    return f"{video}: {type(error).__name__}: {first_line(error)}"


class _Shown:
    """Prints and draws timelines and writes annotated videos, if requested."""

    def __init__(
        self, two_stream: TwoStream, videos: Sequence[Path], options: argparse.Namespace, out: Console
    ) -> None:
        self._two_stream, self._options, self._out = two_stream, options, out
        pictures = options.timeline if options.timeline != STANDARD_OUTPUT else None
        self._pictures = places_of(pictures, videos, ".png") if pictures else {}
        self._films = places_of(options.save, videos, ".webm") if options.save else {}

    def over_time(self, prediction: Prediction) -> None:
        """Shows one prediction."""
        video, options, making = Path(prediction.video), self._options, self._two_stream.making
        if options.timeline:
            line = timeline(prediction, options.window)
            self._out.print(as_text(line.stretches()))
        if path := self._pictures.get(video):
            write_picture(path, line, list(PreparedVideo(video, making).spread(8)), printable(video.name))
            self._out.print(f"The timeline is in {printable(path)}", soft_wrap=True)
        if path := self._films.get(video):
            write_annotated(path, prediction, making, options.window)
            self._out.print(f"The annotated video is in {printable(path)}", soft_wrap=True)


BAR = 20


def watch_live(two_stream: TwoStream, options: argparse.Namespace, out: Console) -> None:
    """Shows the decisions on a live source until it ends or is stopped."""
    Now.doing = ""  # A live source may stay silent for any time.
    glances: list[Glance] = []
    try:
        with Live(console=out, refresh_per_second=8) as display:
            for glance in watch(two_stream, options.camera, window=options.window, top=options.top):
                if glance.note:
                    out.print(f"Note: {glance.note}.")
                display.update(_shown(glance))
                glances.append(glance)
    except KeyboardInterrupt:
        out.print("Stopped.")
    write_to(options.json, [asdict(glance) for glance in glances])
    if not glances:
        raise ValueError(f"The source {options.camera} ended before one clip of it was complete.")


def _shown(glance: Glance) -> Text:
    lines = [
        Text.assemble(("━" * round(share * BAR)).ljust(BAR), f" {share:6.1%} {label}\n", style="" if place else "bold")
        for place, (label, share) in enumerate(glance.top)
    ]
    state = (
        f"{clock(glance.seconds)}  latency {1000 * glance.latency:.0f} ms  flow {glance.method}  "
        f"{glance.dropped} of {glance.frames} frames dropped"
    )
    return Text.assemble(*lines, (state, "bright_black"))
