"""Predicts videos with both streams together.

>>> from two_stream import TwoStream
>>> TwoStream.load("runs/shapes").predict("clip.mp4").top(3)
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from data.extraction.decoder import USUAL, Bounds
from data.optical_flow.compute import UNKNOWN
from fusion.methods.fixed import softmax
from fusion.prediction.as_prepared import PreparedVideo, clip_of, making_of
from fusion.prediction.chosen_fusion import checked_alone, chosen_fusion
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

# The number of frames over which a spread clip extends, if the model does not say it.
_USUAL = 50
# The number of views in a batch: enough for a convolution to use all cores, and few enough to fit into memory.
BATCH = 5
# In a longer video, views are at equal steps of time instead of being a fixed number.
LONGEST_CLIP = 60.0
# Called with the finished share, and with the seconds of each stage so far.
Progress: TypeAlias = Callable[[float, Mapping[str, float]], None]


class _Request(NamedTuple):
    """The options of one prediction."""

    prepared: PreparedVideo
    spread: Spread
    crops: int
    watch: Stopwatch
    progress: Progress | None


class _Seen(NamedTuple):
    """The answers of the networks for the views of a video, by network."""

    logits: dict[str, np.ndarray]
    features: dict[str, np.ndarray]
    seconds: dict[str, np.ndarray]
    reach: dict[str, float]

    def with_other(self, other: "_Seen") -> "_Seen":
        """Returns these answers and the others together."""
        return _Seen(
            self.logits | other.logits,
            self.features | other.features,
            self.seconds | other.seconds,
            self.reach | other.reach,
        )


class TwoStream:
    """One or two saved streams that predict videos together."""

    def __init__(self, models: Mapping[str, Path], fusion: str = "", *, when_unsure: bool = False) -> None:
        """Loads the models, given by stream, and checks that they fit together.

        `fusion` is a method or a file. By default, both streams are fused as their evaluation chose. With
        `when_unsure`, the other stream is used only if the first is less sure than the evaluation's threshold.
        """
        check_models(models)
        self.models = models
        self.fusion = chosen_fusion(models, fusion)
        self.alone = checked_alone(self.fusion) if when_unsure else None
        if BOTH in models:
            self.scorers = scorers_in(models[BOTH])
        else:
            self.scorers = {name: Scorer.load(path) for name, path in models.items()}
        # The model cards of the streams that each network uses: of both, or of the one with its name.
        self._parts = {
            name: scorer.parts if len(scorer.parts) > 1 else {name: scorer.card}
            for name, scorer in self.scorers.items()
        }
        self.cards = {stream: card for parts in self._parts.values() for stream, card in parts.items()}
        self.making = making_of(self.cards.values())
        self.notes: tuple[str, ...] = ()
        if self.making.method == UNKNOWN and self.uses_flow:
            self.notes = (self.use_flow("tvl1"),)  # Most tools compute TV-L1.
        self._compiled: dict[tuple[str, int, str], Callable[..., tf.Tensor]] = {}

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
        when_unsure: bool = False,
    ) -> "TwoStream":
        """Loads the streams trained on one data set, as in `runs/ucf101`, or model files of one or both streams.

        `model` is an exported model of both, in any format, or `hf://OWNER/NAME`, which may also be the first argument.
        `fusion` is a method or a file; by default, both are fused as validation chose. With `when_unsure`, the temporal
        stream is used only if the spatial one is unsure.
        """
        if runs is not None and not str(runs).startswith("hf:"):
            return cls(trained_models(Path(runs), split), fusion, when_unsure=when_unsure)
        named = {"spatial": spatial, "temporal": temporal, BOTH: runs or model}
        models = {name: local(path) for name, path in named.items() if path is not None}
        if not models:
            raise ValueError("No model is named. Pass a folder of runs, or spatial=FILE, temporal=FILE or both.")
        return cls(models, fusion, when_unsure=when_unsure)

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
        """Tells whether any stream uses flow."""
        return any(self.clip(name).is_flow for name in self.cards)

    @property
    def inputs(self) -> dict[str, keras.KerasTensor]:
        """The network input of each stream."""
        return {
            stream: each
            for name, scorer in self.scorers.items()
            for stream, each in zip(self.looks_at(name), ordered_inputs(scorer.network), strict=True)
        }

    def clip(self, stream: str) -> Input:
        """Returns the description of one clip of a stream."""
        card = self.cards[stream]
        clip = clip_of(card)
        if not clip.is_spread:
            return clip
        # In a long or live video, a spread clip covers as many frames as the training videos usually had.
        return dataclasses.replace(clip, window=max(1, (card.window or _USUAL) - clip.is_flow))

    def looks_at(self, name: str) -> tuple[str, ...]:
        """Returns the streams whose views a network takes."""
        return tuple(self._parts[name])

    def use_flow(self, method: str) -> str:
        """Chooses another flow method than that of the training. Returns a note about it."""
        trained, self.notes = making_of(self.cards.values()).method, ()
        if method == trained or not self.uses_flow:
            return ""
        self.making = dataclasses.replace(self.making, method=method, preset="balanced", parameters={})
        of = "flow of another tool" if trained == UNKNOWN else trained
        return f"flow is computed by {method}, but the temporal stream was trained on {of}, so it may be less sure"

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

        Short videos are scored as in evaluation: `views` evenly spaced clips with 1, 5 or 10 `crops` each. With `hop`,
        or if the video is longer than a minute, there is a view every `hop` seconds instead. `partial` accepts videos
        that are cut off. A video outside `bounds` is refused.
        """
        spread, watch = Spread(views, hop), Stopwatch()
        with watch.stage("count"):
            prepared, notes = self.prepare(Path(video), partial, bounds)
        if hop is None and prepared.num_frames / prepared.frame_rate > LONGEST_CLIP:
            spread = Spread(views, hop=1.0)
        request, first = _Request(prepared, spread, crops, watch, progress), next(iter(self.scorers))
        seen = self._look(request, (first,) if self.alone else tuple(self.scorers))
        if self.alone and self._is_enough(seen.logits[first]):
            notes = (*notes, f"{first} alone is sure enough (above {self.alone.above:.1%}), so no flow was computed")
        elif self.alone:
            seen = seen.with_other(self._look(request, tuple(name for name in self.scorers if name != first)))
        return Prediction(
            video=str(video),
            classes=self.classes,
            view_logits=seen.logits,
            view_seconds=seen.seconds,
            num_frames=prepared.num_frames,
            frame_rate=prepared.frame_rate,
            reach=seen.reach,
            multi_label=self.is_multi_label,
            fusion=self.fusion,
            view_features=seen.features,
            seconds=watch.seconds,
            notes=notes,
        )

    def _is_enough(self, logits: np.ndarray) -> bool:
        sure = float(softmax(logits.mean(axis=0)).max())
        return self.alone is not None and sure >= self.alone.above

    def _look(self, request: "_Request", networks: Sequence[str]) -> "_Seen":
        """Returns the answers of some networks for a video, in one pass over it."""
        prepared, watch, rate = request.prepared, request.watch, request.prepared.frame_rate
        all_wanted = self.wanted(prepared.num_frames, rate, request.spread)
        wanted = {part: all_wanted[part] for name in networks for part in self.looks_at(name)}
        produced = video_views(prepared.frames(), prepared.num_frames, wanted, self.making, watch)
        queues = {name: ViewQueue({part: wanted[part] for part in self.looks_at(name)}) for name in networks}
        reported = _reported(produced, wanted, watch, request.progress)
        logits, features = self._score_all(reported, queues, request.crops, watch)
        return _Seen(
            logits,
            features,
            {name: queue.middles / rate for name, queue in queues.items()},
            {name: (queue.half_span + self._ahead(name)) / rate for name, queue in queues.items()},
        )

    def _ahead(self, name: str) -> int:
        """Returns the number of frames that a network needs after the frame at which its last field starts."""
        return self.making.step if any(self.clip(stream).is_flow for stream in self.looks_at(name)) else 0

    def prepare(
        self, video: Path, partial: bool = False, bounds: Bounds = USUAL
    ) -> tuple[PreparedVideo, tuple[str, ...]]:
        """Returns a video's frames, prepared like the training data of the models, and notes about them."""
        prepared = PreparedVideo(video, self.making, bounds)
        least = 1 + self.making.step if self.uses_flow else 1
        if prepared.num_frames < least:
            raise ValueError(
                f"{video}: flow needs at least {least} frames. Received {prepared.num_frames}. "
                "Name a longer video, or use --spatial alone."
            )
        if prepared.shortfall and not partial:
            raise ValueError(f"{video}: it is cut off ({prepared.shortfall}). Pass --partial to use them.")
        return prepared, tuple(
            note for note in (*self.notes, prepared.shortfall, prepared.resized, prepared.coded_again) if note
        )

    def wanted(self, num_frames: int, frame_rate: float, spread: Spread) -> dict[str, Wanted]:
        """Returns the clips that each stream needs of a video with this number of frames."""
        requests = {}
        for name in self.cards:
            clip = self.clip(name)
            num_items = num_frames - self.making.step if clip.is_flow else num_frames
            if clip.is_spread and spread.hop is None:
                clip = dataclasses.replace(clip, window=max(1, num_items))
            starts, of_view = np.unique(spread.starts(num_items, clip.span, frame_rate), return_inverse=True)
            requests[name] = Wanted(clip, starts, of_view)
        return requests

    def score(self, name: str, *pixels: np.ndarray, crops: int = 1, layer: str = "") -> np.ndarray:
        """Returns a network's logits of views, uint8[views, H, W, channels] of each stream: float32[views, C].

        With the name of a layer, its output takes the place of the logits.
        """
        if (name, crops, layer) not in self._compiled:
            self._compiled[name, crops, layer] = self.scorers[name].of_views(crops, layer=layer)
        logits: np.ndarray = self._compiled[name, crops, layer](*pixels).numpy()
        return logits

    def _score_all(
        self, views: Iterable[View], queues: Mapping[str, ViewQueue], crops: int, watch: Stopwatch
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Returns the logits of each network for its views, and the features that the fusion uses."""
        logits: dict[str, list[np.ndarray]] = {name: [] for name in queues}
        features: dict[str, list[np.ndarray]] = {name: [] for name in queues if self.fusion.uses_features}

        def score(name: str, least: int) -> None:
            while batch := queues[name].batch(least, BATCH):
                with watch.stage(name):
                    logits[name].append(self.score(name, *batch, crops=crops))
                    if name in features:
                        features[name].append(self.score(name, *batch, layer="features"))

        for view in views:
            for name, queue in queues.items():
                queue.add(view)
                score(name, BATCH)
        for name in queues:
            score(name, 1)

        def whole(parts: Mapping[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
            return {name: np.concatenate(each)[queues[name].of_view] for name, each in parts.items()}

        return whole(logits), whole(features)


def _reported(
    views: Iterable[View], wanted: Mapping[str, Wanted], watch: Stopwatch, progress: Progress | None
) -> Iterator[View]:
    total = sum(len(request.starts) for request in wanted.values())
    for done, view in enumerate(views, start=1):
        yield view
        if progress:
            progress(done / total, watch.seconds)
