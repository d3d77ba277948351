"""Predicts videos for fusion/predict.py: prints what happens in each, and writes the results."""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from commands.running import first_line, message_of
from commands.text import printable
from commands.waiting import Now
from data.extraction.decoder import Bounds
from data.sets.cutting import rate_of
from data.sets.segments import Segment, read_segments
from fusion.live.showing import watch_live
from fusion.prediction.as_prepared import PreparedVideo
from fusion.prediction.chosen_fusion import sentence
from fusion.prediction.over_time import judged
from fusion.prediction.over_time.annotate import write_annotated
from fusion.prediction.over_time.picture import frames_that_fit, write_picture
from fusion.prediction.over_time.segments import segment_of, write_segments
from fusion.prediction.over_time.timeline import as_text, timeline
from fusion.prediction.prediction import Prediction
from fusion.prediction.shared_out import Look, predictions
from fusion.prediction.tables import STANDARD_OUTPUT, Failure, as_line, as_table, places_of
from fusion.two_stream import TwoStream

__all__ = ["load_streams", "predict_all", "watch_live"]  # All that needs TensorFlow, behind one late import.


def load_streams(
    models: Mapping[str, Path],
    method: str | None,
    say: Callable[[str], None],
    fusion: str = "",
    *,
    when_unsure: bool = False,
) -> TwoStream:
    """Loads the models. Prints how they are fused, and a note if flow is not computed as it was for their training."""
    Now.doing = "Loading the models"
    two_stream = TwoStream(models, fusion, when_unsure=when_unsure)
    if len(two_stream.scorers) > 1:
        say(sentence(two_stream.fusion))
    if alone := two_stream.alone:
        say(
            f"Flow is computed only for videos of which the spatial stream is less than {alone.above:.1%} sure. Of the "
            f"held-out videos, {1 - alone.share:.0%} needed flow. The accuracy on them all was {alone.accuracy:.1%}; "
            f"with flow for every video it was {alone.fused:.1%}."
        )
    if method and (note := two_stream.use_flow(method)):
        say(f"Note: {note}.")
    return two_stream


def predict_all(
    two_stream: TwoStream, videos: Sequence[Path], options: argparse.Namespace, out: Console
) -> Iterator[Prediction | Failure]:
    """Prints and writes the result of each video, then yields it: a prediction, or a failure with its reason."""
    bounds = Bounds(None, round(options.most_megapixels * 1e6), options.most_frames)
    looks = predictions(two_stream, videos, Look.of(options, bounds), options)
    followed = track(looks, "Predicting", total=len(videos), console=out) if len(videos) > 1 else looks
    show = _Shown(two_stream, videos, options, out, bounds)
    for video, look in followed:
        try:
            prediction = look()
            out.print(as_table(prediction, options.top) if len(videos) == 1 else as_line(prediction))
            show.over_time(prediction)
        except Exception as error:  # A failure of one video must not stop the others.
            yield {"video": printable(video), "error": printable(_reason(video, error))}
            continue
        yield prediction
    show.segments()


def _reason(video: Path, error: Exception) -> str:
    if isinstance(error, ValueError | OSError):
        return message_of(error)
    return f"{video}: {type(error).__name__}: {first_line(error)}"


class _Shown:
    """Prints and draws timelines and writes annotated videos, if requested."""

    def __init__(
        self,
        two_stream: TwoStream,
        videos: Sequence[Path],
        options: argparse.Namespace,
        out: Console,
        bounds: Bounds,
    ) -> None:
        self._two_stream, self._options, self._out, self._bounds = two_stream, options, out, bounds
        pictures = options.timeline if options.timeline != STANDARD_OUTPUT else None
        self._pictures = places_of(pictures, videos, ".png") if pictures else {}
        self._films = places_of(options.save, videos, ".webm") if options.save else {}
        self._videos, self._segments = videos, list[Segment]()

    def over_time(self, prediction: Prediction) -> None:
        """Prints the timeline of one prediction, draws it, and writes the annotated video."""
        video, options = Path(prediction.video), self._options
        line = timeline(prediction, options.window, _seconds(options.delay))
        if options.timeline:
            self._out.print(as_text(line.stretches()))
        self._segments += [segment_of(video, stretch) for stretch in line.stretches()]
        if path := self._pictures.get(video):
            prepared = self._prepared(video)
            frames = list(prepared.spread(frames_that_fit(*prepared.frame_size)))
            write_picture(path, line, frames, printable(video.name))
            self._out.print(f"The timeline is in {printable(path)}", soft_wrap=True)
        if path := self._films.get(video):
            with_flow = self._two_stream.uses_flow
            write_annotated(path, prediction, self._prepared(video), line, with_flow=with_flow)
            self._out.print(f"The annotated video is in {printable(path)}", soft_wrap=True)

    def segments(self) -> None:
        """Writes the segments of all videos, and evaluates them if a file of labelled segments is named."""
        if path := self._options.segments:
            write_segments(path, self._segments)
            self._out.print(f"{len(self._segments)} segments are in {printable(path)}", soft_wrap=True)
        if truth := self._options.truth:
            labelled = read_segments(truth, {video.name: video for video in self._videos}, rate_of)
            self._out.print(judged.as_text(judged.judged(self._segments, labelled)))

    def _prepared(self, video: Path) -> PreparedVideo:
        return PreparedVideo(video, self._two_stream.making, self._bounds)


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
