"""What fusion/predict.py does with each video, or with a live source: it says what happens, and writes it."""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress import track
from rich.text import Text

from fusion.live.decisions import Glance, watch
from fusion.prediction.annotate import write_annotated
from fusion.prediction.as_prepared import PreparedVideo
from fusion.prediction.chosen_fusion import sentence
from fusion.prediction.prediction import Prediction
from fusion.prediction.tables import STANDARD_OUTPUT, Failure, as_line, as_table, place_of, write_to
from fusion.prediction.timeline import as_text, clock, timeline, write_picture
from fusion.two_stream import TwoStream


def load_streams(
    models: Mapping[str, Path], method: str | None, say: Callable[[str], None], fusion: str = ""
) -> TwoStream:
    """Loads the models; says how they are fused, and whether flow is computed otherwise than for their training."""
    two_stream = TwoStream(models, fusion)
    if len(two_stream.scorers) > 1:
        say(sentence(two_stream.fusion))
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


BAR = 20


def watch_live(two_stream: TwoStream, options: argparse.Namespace, out: Console) -> None:
    """Shows what the streams see in a live source until it ends or is stopped."""
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
