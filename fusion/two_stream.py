"""Uses both streams as one: from saved models and a video to what happens in it.

>>> from two_stream import TwoStream
>>> TwoStream.load("runs/shapes").predict("clip.mp4").top(3)
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf

from data.extraction.decoder import USUAL, Bounds
from data.optical_flow.compute import UNKNOWN
from fusion.prediction.as_prepared import PreparedVideo, clip_of, making_of
from fusion.prediction.chosen_fusion import chosen_fusion
from fusion.prediction.chosen_models import check_models, trained_models
from fusion.prediction.exported import scorers_in
from fusion.prediction.hub_address import local
from fusion.prediction.prediction import Prediction
from fusion.prediction.scorer import Scorer
from fusion.prediction.view_queue import ViewQueue
from fusion.prediction.views import Spread, Stopwatch, View, Wanted, video_views
from pipelines.inputs import Input
from streams.networks.scoring import ordered_inputs
from streams.runs.model_file import BOTH

# Frames that a spread clip lies over, where a model does not say it.
_USUAL = 50
# Views that are scored at a time: enough for a convolution to use all cores, little enough to hold in large sizes.
BATCH = 5
# A longer video is looked at in equal steps of time instead of in a fixed number of views.
LONGEST_CLIP = 60.0
# Called with the share that is done, and the seconds of each stage so far.
Progress: TypeAlias = Callable[[float, Mapping[str, float]], None]


class TwoStream:
    """One or two saved streams that predict videos together."""

    def __init__(self, models: Mapping[str, Path], fusion: str = "") -> None:
        """Loads the models, by the name of their stream, after their files have been checked against each other.

        `fusion` names a method or a file; unless it does, both streams are fused as their evaluation chose to.
        """
        check_models(models)
        self.fusion = chosen_fusion(models, fusion)
        if BOTH in models:
            self.scorers = scorers_in(models[BOTH])
        else:
            self.scorers = {name: Scorer.load(path) for name, path in models.items()}
        # The cards of the streams that each network looks at: both, or the one that it is named for.
        self._parts = {
            name: scorer.parts if len(scorer.parts) > 1 else {name: scorer.card}
            for name, scorer in self.scorers.items()
        }
        self.cards = {stream: card for parts in self._parts.values() for stream, card in parts.items()}
        self.making = making_of(self.cards.values())
        self.notes: tuple[str, ...] = ()
        if self.making.method == UNKNOWN and self.uses_flow:
            self.notes = (self.use_flow("tvl1"),)  # What most tools compute.
        self._compiled: dict[tuple[str, int], Callable[..., tf.Tensor]] = {}

    @classmethod
    def load(
        cls,
        runs: str | Path | None = None,
        *,
        split: int = 1,
        spatial: str | Path | None = None,
        temporal: str | Path | None = None,
        model: str | Path | None = None,
        fusion: str = "",
    ) -> "TwoStream":
        """Loads the streams trained on one data set, as `runs/ucf101`, or the files of one stream, or of both.

        `model` is what both were exported to, in any format, or `hf://OWNER/NAME`, which may also come first.
        Its `fusion` says how both are fused: as validation chose, unless a method or a file is named.
        """
        if runs is not None and not str(runs).startswith("hf:"):
            return cls(trained_models(Path(runs), split), fusion)
        named = {"spatial": spatial, "temporal": temporal, BOTH: runs or model}
        models = {name: local(path) for name, path in named.items() if path is not None}
        if not models:
            raise ValueError("No model is named. Pass a folder of runs, or spatial=FILE, temporal=FILE or both.")
        return cls(models, fusion)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return next(iter(self.cards.values())).classes

    @property
    def is_multi_label(self) -> bool:
        """Tells whether a video may show several classes."""
        return any(card.multi_label for card in self.cards.values())

    @property
    def uses_flow(self) -> bool:
        """Tells whether any stream looks at flow."""
        return any(self.clip(name).is_flow for name in self.cards)

    @property
    def inputs(self) -> dict[str, keras.KerasTensor]:
        """The input of a network that each stream goes into."""
        return {
            stream: each
            for name, scorer in self.scorers.items()
            for stream, each in zip(self.looks_at(name), ordered_inputs(scorer.network), strict=True)
        }

    def clip(self, stream: str) -> Input:
        """Returns what one clip of a stream is made of."""
        card = self.cards[stream]
        clip = clip_of(card)
        if not clip.is_spread:
            return clip
        # In a long or live video, it is spread over as much as the videos of its training usually had.
        return dataclasses.replace(clip, window=max(1, (card.window or _USUAL) - clip.is_flow))

    def looks_at(self, name: str) -> tuple[str, ...]:
        """Returns the streams whose views one of the networks takes."""
        return tuple(self._parts[name])

    def use_flow(self, method: str) -> str:
        """Chooses another flow method than that of the training; returns a remark about it."""
        trained, self.notes = making_of(self.cards.values()).method, ()
        if method == trained or not self.uses_flow:
            return ""
        self.making = dataclasses.replace(self.making, method=method, preset="balanced", parameters={})
        of = "flow of another tool" if trained == UNKNOWN else trained
        return f"flow by {method}, while the temporal stream was trained on {of}: it may be less sure"

    def predict(
        self,
        video: str | Path,
        *,
        views: int = 25,
        crops: int = 10,
        hop: float | None = None,
        partial: bool = False,
        bounds: Bounds = USUAL,
        progress: Progress | None = None,
    ) -> Prediction:
        """Predicts a video file with every stream.

        Short videos are scored as in evaluation, `views` evenly spaced clips of 1, 5 or 10 `crops`. With `hop`, and
        whenever the video is longer than a minute, there is a view every `hop` seconds instead. `partial` admits
        videos that are cut off; those outside of `bounds` are refused.
        """
        spread, watch = Spread(views, hop), Stopwatch()
        with watch.stage("count"):
            prepared, notes = self.prepare(Path(video), partial, bounds)
        if hop is None and prepared.num_frames / prepared.frame_rate > LONGEST_CLIP:
            spread = Spread(views, hop=1.0)
        wanted = self.wanted(prepared.num_frames, prepared.frame_rate, spread)
        produced = video_views(prepared.frames(), prepared.num_frames, wanted, self.making, watch)
        queues = {name: ViewQueue({part: wanted[part] for part in self.looks_at(name)}) for name in self.scorers}
        logits = self._score_all(_reported(produced, wanted, watch, progress), queues, crops, watch)
        return Prediction(
            video=str(video),
            classes=self.classes,
            view_logits=logits,
            view_seconds={name: queue.middles / prepared.frame_rate for name, queue in queues.items()},
            num_frames=prepared.num_frames,
            frame_rate=prepared.frame_rate,
            multi_label=self.is_multi_label,
            fusion=self.fusion,
            seconds=watch.seconds,
            notes=notes,
        )

    def prepare(
        self, video: Path, partial: bool = False, bounds: Bounds = USUAL
    ) -> tuple[PreparedVideo, tuple[str, ...]]:
        """Returns a video's frames, made like the training data of the models, and remarks about them."""
        prepared = PreparedVideo(video, self.making, bounds)
        least = 1 + self.making.step if self.uses_flow else 1
        if prepared.num_frames < least:
            raise ValueError(
                f"{video}: it has {prepared.num_frames} frame, and flow needs {least}. "
                "Give a longer video, or only --spatial."
            )
        if prepared.shortfall and not partial:
            raise ValueError(f"{video}: it is cut off, {prepared.shortfall}. Pass --partial to go by those.")
        return prepared, tuple(note for note in (*self.notes, prepared.shortfall, prepared.resized) if note)

    def wanted(self, num_frames: int, frame_rate: float, spread: Spread) -> dict[str, Wanted]:
        """Returns the clips that each stream needs of a video with so many frames."""
        requests = {}
        for name in self.cards:
            clip = self.clip(name)
            num_items = num_frames - self.making.step if clip.is_flow else num_frames
            if clip.is_spread and spread.hop is None:
                clip = dataclasses.replace(clip, window=max(1, num_items))
            starts, of_view = np.unique(spread.starts(num_items, clip.span, frame_rate), return_inverse=True)
            requests[name] = Wanted(clip, starts, of_view)
        return requests

    def score(self, name: str, *pixels: np.ndarray, crops: int = 1) -> np.ndarray:
        """Returns a network's logits of views, uint8[views, H, W, channels] of each stream: float32[views, C]."""
        if (name, crops) not in self._compiled:
            self._compiled[name, crops] = self.scorers[name].of_views(crops)
        logits: np.ndarray = self._compiled[name, crops](*pixels).numpy()
        return logits

    def _score_all(
        self, views: Iterable[View], queues: Mapping[str, ViewQueue], crops: int, watch: Stopwatch
    ) -> dict[str, np.ndarray]:
        logits: dict[str, list[np.ndarray]] = {name: [] for name in queues}

        def score(name: str, least: int) -> None:
            while batch := queues[name].batch(least, BATCH):
                with watch.stage(name):
                    logits[name].append(self.score(name, *batch, crops=crops))

        for view in views:
            for name, queue in queues.items():
                queue.add(view)
                score(name, BATCH)
        for name in queues:
            score(name, 1)
        return {name: np.concatenate(parts)[queues[name].of_view] for name, parts in logits.items()}


def _reported(
    views: Iterable[View], wanted: Mapping[str, Wanted], watch: Stopwatch, progress: Progress | None
) -> Iterator[View]:
    total = sum(len(request.starts) for request in wanted.values())
    for done, view in enumerate(views, start=1):
        yield view
        if progress:
            progress(done / total, watch.seconds)
