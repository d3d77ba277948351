"""Shows the decisions on a live source as they come, and writes the requested files, for fusion/predict.py."""

import argparse
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from commands.files import replacing, write_text
from commands.running import swallowed_stderr
from commands.text import as_cell, printable
from commands.waiting import Now
from data.extraction.video_files import WRITABLE_CODECS
from fusion.live.decisions import Glance, Pace, compile_networks, watch
from fusion.live.source import LiveSource
from fusion.prediction.over_time.annotate import ROWS, draw
from fusion.prediction.over_time.picture import frames_that_fit, write_picture
from fusion.prediction.over_time.segments import segment_of, write_segments
from fusion.prediction.over_time.timeline import Timeline, as_text, clock, timeline
from fusion.prediction.prediction import Prediction
from fusion.prediction.tables import STANDARD_OUTPUT, write_to
from fusion.two_stream import TwoStream

BAR = 20
# The most frames that are kept for the picture of the timeline, however long the source lasts.
_KEPT = 64
CSV_COLUMNS = ("seconds", "rank", "class", "probability", "unsure", "delay_ms", "dropped")


def watch_live(two_stream: TwoStream, options: argparse.Namespace, out: Console) -> None:
    """Shows what the streams see in a live source until it ends or is stopped, then writes the requested files."""
    pace = Pace(options.hop or Pace.every, options.window, (options.delay or 0) / 1000, options.crops)
    glances: list[Glance] = []
    Now.doing = ""  # A live source may show no change for as long as it likes: nothing here is stuck.
    if options.delay:
        out.print(f"Decisions come {options.delay:g} ms late, plus the time of their computation.")
    compile_networks(two_stream, pace.crops)
    source = LiveSource(options.camera, two_stream.making)
    with _film(options.save, source, two_stream.classes) as film:
        try:
            with Live(console=out, refresh_per_second=8) as display:
                for glance in watch(two_stream, source, pace, top=options.top, see=film.add):
                    film.glance = glance
                    if glance.note:
                        out.print(f"Note: {glance.note}.")
                    display.update(_shown(glance))
                    glances.append(glance)
        except KeyboardInterrupt:
            out.print("Stopped.")
        finally:
            source.close()
    if not glances:
        raise ValueError(f"The source {options.camera} ended before it gave enough frames for one clip.")
    write_to(options.json, [glance.as_dictionary() for glance in glances])
    _write_csv(options.csv, glances)
    _write_timeline(two_stream, glances, film.kept, options, out)


class Film:
    """The annotated video of a live source: each frame with the newest decision. Dropped frames repeat another one."""

    def __init__(self, path: Path | None, classes: Sequence[str]) -> None:
        self.glance: Glance | None = None
        self.kept: list[np.ndarray] = []
        self._path, self._classes = path, classes
        self._writer: cv2.VideoWriter | None = None
        self._seen = self._every = 1
        self._dropped = 0

    def add(self, frame: np.ndarray, field: np.ndarray | None, source: LiveSource) -> None:
        """Adds a frame."""
        self._seen += 1
        if self._seen % self._every == 0:
            self.kept.append(frame)
            if len(self.kept) >= _KEPT:  # Every second one is removed, so that the rest stay spread over all of it.
                self.kept, self._every = self.kept[::2], 2 * self._every
        if self._path is None:
            return
        picture = cv2.cvtColor(self._drawn(frame, field, source), cv2.COLOR_RGB2BGR)
        if self._writer is None:
            codec = cv2.VideoWriter.fourcc(*WRITABLE_CODECS[self._path.suffix.lower()])
            size = picture.shape[1], picture.shape[0]
            self._writer = cv2.VideoWriter(str(self._path), codec, source.kept_rate, size)
            if not self._writer.isOpened():
                raise OSError(f"OpenCV can't write {self._path}.")
        dropped = source.dropped  # The thread of the source may raise it meanwhile.
        for _ in range(1 + dropped - self._dropped):
            self._writer.write(picture)
        self._dropped = dropped

    def finish(self) -> bool:
        """Ends the file. Tells whether there is one."""
        if self._writer is not None:
            self._writer.release()
        return self._writer is not None

    def _drawn(self, frame: np.ndarray, field: np.ndarray | None, source: LiveSource) -> np.ndarray:
        glance, state = self.glance, f"{source.dropped} of {source.frames} frames dropped"
        seconds = source.frames / source.kept_rate
        if glance is None:
            nothing = Timeline(tuple(self._classes), seconds, np.zeros(1), {"fused": np.zeros((1, len(self._classes)))})
            return draw(frame, field, nothing, list(self._classes[:ROWS]), seconds, f"no decision yet   {state}")
        labels = [label for label, _ in glance.top[:ROWS]]
        said = f"about {clock(glance.seconds)}, delay {1000 * glance.delay:.0f} ms   {state}"
        return draw(frame, field, glance.line, labels, seconds, said)


@contextmanager
def _film(place: str | None, source: LiveSource, classes: Sequence[str]) -> Iterator[Film]:
    """Yields the film, and moves it to its place once the source has ended or was stopped."""
    if not place:
        yield Film(None, classes)
        return
    path = _file(place, ".webm")
    path.parent.mkdir(parents=True, exist_ok=True)
    with swallowed_stderr(), replacing(path) as temporary:
        film = Film(temporary, classes)
        try:
            yield film
        finally:
            is_there = film.finish()
        if not is_there:
            raise ValueError("The source gave no frames.")


def _file(place: str, extension: str) -> Path:
    """Returns a path itself, or if it is a folder a file in it."""
    path = Path(place)
    return path if path.suffix and not path.is_dir() else path / f"camera{extension}"


def _write_csv(place: str | None, glances: Sequence[Glance]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for glance in glances:
        for rank, (label, share) in enumerate(glance.top, start=1):
            delay = round(1000 * glance.delay)
            row = (f"{glance.seconds:.3f}", rank, as_cell(label), f"{share:.6f}", glance.unsure, delay, glance.dropped)
            writer.writerow(row)
    if place == STANDARD_OUTPUT:
        sys.stdout.write(text.getvalue())
    elif place:
        write_text(Path(place), text.getvalue())


def _write_timeline(
    two_stream: TwoStream,
    glances: Sequence[Glance],
    frames: Sequence[np.ndarray],
    options: argparse.Namespace,
    out: Console,
) -> None:
    """Writes the timeline, as it was decided at the time."""
    if not (options.timeline or options.segments):
        return
    arrived = np.array([glance.arrived for glance in glances])
    seen = Prediction(
        video=options.camera,
        classes=two_stream.classes,
        view_logits={name: np.stack([glance.logits[name] for glance in glances]) for name in glances[0].logits},
        view_seconds=dict.fromkeys(glances[0].logits, arrived),  # The clips end at these moments.
        num_frames=glances[-1].frames,
        frame_rate=glances[-1].frames / max(float(arrived[-1]), 1e-3),
        multi_label=two_stream.is_multi_label,
        fusion=two_stream.fusion,
    )
    line = timeline(seen, options.window, (options.delay or 0) / 1000)
    if options.timeline:
        out.print(as_text(line.stretches()))
    if options.timeline and options.timeline != STANDARD_OUTPUT:
        path = _file(options.timeline, ".png")
        fitting = frames_that_fit(*frames[0].shape[:2]) if frames else 0
        places = np.unique(np.linspace(0, len(frames) - 1, fitting).round().astype(int)) if fitting else ()
        write_picture(path, line, [frames[place] for place in places], printable(options.camera))
        out.print(f"The timeline is in {printable(path)}", soft_wrap=True)
    if options.segments:
        write_segments(options.segments, [segment_of(Path(options.camera), each) for each in line.stretches()])


def _shown(glance: Glance) -> Text:
    lines = [
        Text.assemble(("━" * round(share * BAR)).ljust(BAR), f" {share:6.1%} {label}\n", style="" if place else "bold")
        for place, (label, share) in enumerate(glance.top)
    ]
    state = (
        f"{clock(glance.seconds)}  {'unsure  ' if glance.unsure else ''}delay {1000 * glance.delay:.0f} ms  "
        f"flow {glance.method}  {glance.dropped} of {glance.frames} frames dropped"
    )
    return Text.assemble(*lines, (state, "bright_black"))
