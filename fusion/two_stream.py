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

from commands.quiet import quiet_tensorflow
from fusion.cards import check_cards, making_of
from fusion.gathering import Gathering
from fusion.making import PreparedVideo
from fusion.models import trained_models
from fusion.prediction import Prediction
from fusion.video_views import Stopwatch, View, Wanted, video_views
from streams.modelfile import BOTH, read_card

# Views that are scored at a time: enough for a convolution to use all cores, little enough to hold in large sizes.
BATCH = 5
# A longer video is looked at in equal steps of time instead of in a fixed number of views.
LONGEST_CLIP = 60.0


@dataclass(frozen=True)
class Spread:
    """Where a video is looked at: evenly spaced views as in evaluation, or a view every so many seconds."""

    views: int = 25
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
        from fusion.scorers import Scorer

        if BOTH in models:
            from fusion.exported import scorers_in

            self.scorers = scorers_in(models[BOTH])
        else:
            check_cards({name: read_card(path) for name, path in models.items()}, models)
            self.scorers = {name: Scorer.load(path) for name, path in models.items()}
        self.descriptions = {name: scorer.card for name, scorer in self.scorers.items()}
        # Of each stream, and of both where one network looks at both.
        self.cards = {
            stream: card
            for name, scorer in self.scorers.items()
            for stream, card in (scorer.parts if len(scorer.parts) > 1 else {name: scorer.card}).items()
        }
        self.making = making_of(self.cards.values())
        self._compiled: dict[tuple[str, int], Callable[..., Any]] = {}

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
        from fusion.scorers import clip_of

        return clip_of(self.cards[stream])

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

        Short videos are scored as in evaluation, `views` evenly spaced clips of 1, 5 or 10 `crops`. With `hop`, and
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
        wanted = self.wanted(prepared.num_frames, prepared.frame_rate, Spread(views, hop))
        produced = video_views(prepared.frames(), prepared.num_frames, wanted, self.making, watch)
        gathered = {name: Gathering([wanted[part] for part in self.looks_at(name)]) for name in self.scorers}
        logits = self._score_all(_reported(produced, wanted, watch, progress), gathered, crops, watch)
        return Prediction(
            video=str(video),
            classes=self.classes,
            view_logits=logits,
            view_seconds={name: of.middles / prepared.frame_rate for name, of in gathered.items()},
            num_frames=prepared.num_frames,
            frame_rate=prepared.frame_rate,
            multi_label=any(card.multi_label for card in self.cards.values()),
            seconds=watch.seconds,
            notes=notes,
        )

    def wanted(self, num_frames: int, frame_rate: float, spread: Spread) -> dict[str, Wanted]:
        """Returns what each stream wants to see of a video of so many frames."""
        requests = {}
        for name in self.cards:
            clip = self.clip(name)
            num_items = num_frames - self.making.step if clip.is_flow else num_frames
            starts, of_view = np.unique(spread.starts(num_items, clip.span, frame_rate), return_inverse=True)
            requests[name] = Wanted(clip, starts, of_view)
        return requests

    def looks_at(self, name: str) -> tuple[str, ...]:
        """Returns the streams whose views one of the networks takes."""
        parts = tuple(self.scorers[name].parts)
        return parts if len(parts) > 1 else (name,)

    def score(self, name: str, *pixels: np.ndarray, crops: int = 1) -> np.ndarray:
        """Returns a network's logits of views, uint8[views, H, W, channels] of each stream: float32[views, C]."""
        if (name, crops) not in self._compiled:
            self._compiled[name, crops] = self.scorers[name].of_views(crops)
        logits: np.ndarray = self._compiled[name, crops](*pixels).numpy()
        return logits

    def squares(self, video: Path, views: int = 4) -> dict[str, np.ndarray]:
        """Returns what the networks themselves are given, by the name of their input: the centres of a few views."""
        prepared = PreparedVideo(Path(video), self.making)
        self._check(prepared, partial=True)
        wanted = self.wanted(prepared.num_frames, prepared.frame_rate, Spread(views))
        clips: dict[str, list[np.ndarray]] = {name: [] for name in self.cards}
        for view in video_views(prepared.frames(), prepared.num_frames, wanted, self.making, Stopwatch()):
            side = self.inputs[view.stream].shape[1]
            top, left = ((length - side) // 2 for length in view.pixels.shape[:2])
            clips[view.stream].append(view.pixels[top : top + side, left : left + side])
        return {self.inputs[name].name: np.stack(parts)[wanted[name].of_view] for name, parts in clips.items()}

    @property
    def inputs(self) -> dict[str, Any]:
        """The input of a network that each stream goes into."""
        from streams.scoring import ordered_inputs

        return {
            stream: each
            for name, scorer in self.scorers.items()
            for stream, each in zip(self.looks_at(name), ordered_inputs(scorer.network), strict=True)
        }

    def _score_all(
        self, views: Iterable[View], gathered: Mapping[str, Gathering], crops: int, watch: Stopwatch
    ) -> dict[str, np.ndarray]:
        logits: dict[str, list[np.ndarray]] = {name: [] for name in self.scorers}

        def score(name: str, least: int) -> None:
            while batch := gathered[name].batch(least, BATCH):
                with watch.stage(name):
                    logits[name].append(self.score(name, *batch, crops=crops))

        for view in views:
            for name in self.scorers:
                if view.stream in self.looks_at(name):
                    gathered[name].add(self.looks_at(name).index(view.stream), view)
                    score(name, BATCH)
        for name in self.scorers:
            score(name, 1)
        return {name: np.concatenate(parts)[gathered[name].of_view] for name, parts in logits.items()}

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
