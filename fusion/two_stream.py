"""Both streams as one thing to use: from saved models and a video to what happens in it.

>>> from fusion import TwoStream
>>> TwoStream.load("runs/shapes").predict("clip.mp4").top(3)
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from commands.running import quiet_tensorflow
from fusion.making import Making, PreparedVideo
from fusion.models import BOTH, SLOTS, trained_models
from fusion.prediction import Prediction
from fusion.video_views import Stopwatch, View, Wanted, video_views

# Views that are scored at a time: enough for a convolution to use all cores, little enough to hold in large sizes.
BATCH = 5
# A longer video is looked at in equal steps of time instead of in a fixed number of views.
LONGEST_CLIP = 60.0


@dataclass(frozen=True)
class Protocol:
    """How a video is looked at: evenly spaced views as in evaluation, or a view every so many seconds."""

    views: int = 25
    crops: int = 10
    hop: float | None = None  # Seconds from view to view; None for `views` views however long the video.

    def starts(self, num_items: int, span: int, frame_rate: float) -> np.ndarray:
        """Returns the items that views start with."""
        from pipelines.sampling import view_starts

        if self.hop is None:
            return view_starts(num_items, span, self.views)
        latest = max(num_items - span, 0)
        return np.round(np.arange(0, latest + 1, max(self.hop * frame_rate, 1))).astype(np.int64)


class TwoStream:
    """One or two saved streams that look at videos together."""

    def __init__(self, models: Mapping[str, Path]) -> None:
        """Loads the models, by the name of their stream, after their files have been checked against each other."""
        quiet_tensorflow()
        if BOTH in models:
            from fusion.exported import streams_in

            self.streams = streams_in(models[BOTH])
        else:
            from streams.modelfile import load_model, read_card

            check_cards({name: read_card(path) for name, path in models.items()}, models)
            self.streams = {name: load_model(path) for name, path in models.items()}
        self.cards = {name: card for name, (_, card) in self.streams.items()}
        self.making = making_of([{**card.frames, **card.flow} for card in self.cards.values()])
        self._scorers: dict[tuple[str, int], Callable[[np.ndarray], Any]] = {}

    @classmethod
    def load(
        cls,
        runs: str | Path | None = None,
        *,
        split: int = 1,
        spatial: str | Path | None = None,
        temporal: str | Path | None = None,
        model: str | Path | None = None,
    ) -> "TwoStream":
        """Loads the streams trained on one data set, as `runs/ucf101`, or the files of one stream, or of both."""
        if runs is not None:
            models = trained_models(Path(runs), split)
        else:
            named = {"spatial": spatial, "temporal": temporal, BOTH: model}
            models = {name: Path(path) for name, path in named.items() if path is not None}
            if not models:
                raise ValueError("No model is named. Pass a folder of runs, or spatial=FILE, temporal=FILE or both.")
        return cls(models)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        classes: tuple[str, ...] = next(iter(self.cards.values())).classes
        return classes

    def use_flow(self, method: str) -> str:
        """Computes flow by another method than the models were trained on; returns what is to be said of that."""
        trained = self.making.method
        if method == trained or not self.uses_flow:
            return ""
        self.making = dataclasses.replace(self.making, method=method, preset="balanced", parameters={})
        return f"flow by {method}, while the temporal stream was trained on {trained}: it may be less sure"

    @property
    def uses_flow(self) -> bool:
        """Tells whether any stream looks at flow."""
        return any(self.clip(name).is_flow for name in self.cards)

    def clip(self, stream: str) -> Any:
        """Returns what one clip of a stream is made of."""
        from pipelines.inputs import Input

        return Input(self.cards[stream].input_kind, self.cards[stream].length)

    def predict(
        self,
        video: str | Path,
        *,
        views: int = 25,
        crops: int = 10,
        hop: float | None = None,
        partial: bool = False,
        longest: float | None = None,
        most_pixels: int | None = None,
        progress: Callable[[float, Mapping[str, float]], None] | None = None,
    ) -> Prediction:
        """Looks at a video file with every stream.

        Short videos are scored as in evaluation, `views` evenly spaced clips of `crops` crops each. With `hop`, and
        whenever the video is longer than a minute, there is a view every `hop` seconds instead. `partial` admits
        videos that are cut off; those that play more than `longest` seconds or have more than `most_pixels` are
        refused. `progress` is told the share that is done and how long each stage took so far.
        """
        watch, path = Stopwatch(), Path(video)
        with watch.stage("count"):
            prepared = PreparedVideo(path, self.making, longest, most_pixels)
        notes = self._check(prepared, partial)
        if hop is None and prepared.num_frames / prepared.frame_rate > LONGEST_CLIP:
            hop = 1.0
        protocol = Protocol(views, crops, hop)
        wanted = self.wanted(prepared.num_frames, prepared.frame_rate, protocol)
        produced = video_views(prepared.frames(), prepared.num_frames, wanted, self.making, watch)
        logits = self._score_all(_reported(produced, wanted, watch, progress), crops, watch)
        return Prediction(
            video=str(video),
            classes=self.classes,
            view_logits={name: logits[name][request.of_view] for name, request in wanted.items()},
            view_seconds={name: _middles(request, prepared.frame_rate) for name, request in wanted.items()},
            num_frames=prepared.num_frames,
            frame_rate=prepared.frame_rate,
            multi_label=any(card.multi_label for card in self.cards.values()),
            seconds=watch.seconds,
            notes=notes,
        )

    def wanted(self, num_frames: int, frame_rate: float, protocol: Protocol) -> dict[str, Wanted]:
        """Returns what each stream wants to see of a video of so many frames."""
        requests = {}
        for name in self.cards:
            clip = self.clip(name)
            num_items = num_frames - self.making.step if clip.is_flow else num_frames
            starts, of_view = np.unique(protocol.starts(num_items, clip.span, frame_rate), return_inverse=True)
            requests[name] = Wanted(clip, starts, of_view)
        return requests

    def score(self, stream: str, pixels: np.ndarray, crops: int = 1) -> np.ndarray:
        """Returns the logits of views, uint8[views, H, W, channels]: float32[views, C]."""
        from streams.scoring import view_scorer

        if (stream, crops) not in self._scorers:
            self._scorers[stream, crops] = view_scorer(self.streams[stream][0], num_crops=crops)
        logits: np.ndarray = self._scorers[stream, crops](pixels).numpy()
        return logits

    def squares(self, video: Path, views: int = 4) -> dict[str, np.ndarray]:
        """Returns what the networks themselves are given, by the name of their input: the centres of a few views."""
        prepared = PreparedVideo(Path(video), self.making)
        self._check(prepared, partial=True)
        wanted = self.wanted(prepared.num_frames, prepared.frame_rate, Protocol(views))
        clips: dict[str, list[np.ndarray]] = {name: [] for name in self.cards}
        for view in video_views(prepared.frames(), prepared.num_frames, wanted, self.making, Stopwatch()):
            side = self.streams[view.stream][0].input_shape[1]
            top, left = ((length - side) // 2 for length in view.pixels.shape[:2])
            clips[view.stream].append(view.pixels[top : top + side, left : left + side])
        return {
            self.streams[name][0].inputs[0].name: np.stack(parts)[wanted[name].of_view] for name, parts in clips.items()
        }

    def _score_all(self, views: Iterable[View], crops: int, watch: Stopwatch) -> dict[str, np.ndarray]:
        logits: dict[str, list[np.ndarray]] = {name: [] for name in self.cards}
        waiting: dict[str, list[np.ndarray]] = {name: [] for name in self.cards}

        def score(stream: str) -> None:
            if waiting[stream]:
                with watch.stage(stream):
                    logits[stream].append(self.score(stream, np.stack(waiting[stream]), crops))
                waiting[stream].clear()

        for view in views:
            waiting[view.stream].append(view.pixels)
            if len(waiting[view.stream]) == BATCH:
                score(view.stream)
        for name in self.cards:
            score(name)
        return {name: np.concatenate(parts) for name, parts in logits.items()}

    def _check(self, prepared: PreparedVideo, partial: bool) -> tuple[str, ...]:
        least = 1 + self.making.step if self.uses_flow else 1
        if prepared.num_frames < least:
            raise ValueError(
                f"{prepared.path}: it has {prepared.num_frames} frame, and flow needs {least}. "
                "Give a longer video, or only --spatial."
            )
        if prepared.shortfall and not partial:
            raise ValueError(f"{prepared.path}: it is cut off, {prepared.shortfall}. Pass --partial to go by those.")
        return tuple(note for note in (prepared.shortfall, prepared.resized) if note)


def check_cards(cards: Mapping[str, Any], models: Mapping[str, Path]) -> None:
    """Refuses models that lie in each other's place or that don't know the same classes."""
    for slot, card in cards.items():
        if slot in SLOTS and card.stream in SLOTS and card.stream != slot:
            raise ValueError(
                f"{models[slot]} is a {card.stream} model (input {card.input_kind}), but was given as --{slot}. "
                f"Pass it as --{card.stream}."
            )
    (first, ours), *others = cards.items()
    for name, card in others:
        if card.classes != ours.classes:
            raise ValueError(
                f"The streams must know the same classes in the same order. {models[first]} has {len(ours.classes)}, "
                f"{models[name]} has {len(card.classes)}; the first difference is "
                f"{_first_difference(ours.classes, card.classes)}. Name two models that were trained on one data set."
            )


def making_of(descriptions: Iterable[Mapping[str, Any]]) -> Making:
    """Returns how frames and flow are to be made for all of these models at once."""
    described = [description for description in descriptions if description]
    makings = [Making.of(description) for description in described]
    for other in makings[1:]:
        for name in ("short_side", "size", "fps", "every"):
            if getattr(other, name) != getattr(makings[0], name):
                raise ValueError(
                    f"The streams were trained on frames made differently: {name} is {getattr(makings[0], name)} for "
                    f"one and {getattr(other, name)} for the other. Name two models of one prepared data set."
                )
    # Flow is described by those that were trained on it.
    with_flow = (making for making, said in zip(makings, described, strict=True) if "method" in said)
    return next(with_flow, makings[0] if makings else Making())


def _first_difference(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str:
    for place, pair in enumerate(zip(ours, theirs, strict=False)):
        if pair[0] != pair[1]:
            return f"class {place}, {pair[0]} against {pair[1]}"
    return f"class {min(len(ours), len(theirs))}, which only one of them has"


def _middles(wanted: Wanted, frame_rate: float) -> np.ndarray:
    middles: np.ndarray = (wanted.starts[wanted.of_view] + wanted.clip.span / 2) / frame_rate
    return middles


def _reported(
    views: Iterable[View],
    wanted: Mapping[str, Wanted],
    watch: Stopwatch,
    progress: Callable[[float, Mapping[str, float]], None] | None,
) -> Iterator[View]:
    total = sum(len(request.starts) for request in wanted.values())
    for done, view in enumerate(views, start=1):
        yield view
        if progress:
            progress(done / total, watch.seconds)
