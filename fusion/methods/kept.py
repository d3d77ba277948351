"""Saves in a file what an evaluation has learned about fusion, so that other videos can be fused in the same way."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from commands.files import read_file, write_text
from commands.schema import parsed
from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Parameters
from fusion.methods.fixed import sigmoid, softmax
from fusion.methods.sequences import SEQUENCES
from fusion.methods.table import APPLY, LEARNED, METHODS, SAME, check_method, given_rule

# The scores of these methods are probabilities already.
PROBABILITIES = ("average", "average-views", "vote", "weighted", "calibrated")
_FORMAT = 1
# The number of digits saved for a parameter: more than single precision has.
_DIGITS = 9
# Larger arrays are saved as bytes instead of text.
_MOST_AS_TEXT = 50_000


@dataclass(frozen=True)
class Doubt:
    """The threshold below which an answer counts as unsure, and how it was set."""

    below: float  # An answer is unsure if its probability is below this.
    kept: float  # The share of known videos that are at or above the threshold.
    videos: int  # The number of held-out videos that set it.
    temperature: float = 1.0  # Divides the logarithms of the probabilities, which calibrates them.
    others: int = 0  # Clips of other classes that helped to set it.
    alarms: float = 0.0  # The share of these clips that are above the threshold nevertheless.


@dataclass(frozen=True)
class Alone:
    """The threshold above which the first stream answers alone, without the other one, and how it was set."""

    above: float  # The lowest probability of the first stream's top class that is enough.
    share: float  # The share of held-out videos that the first stream answers alone.
    accuracy: float  # On held-out videos, if the first stream answers those alone.
    fused: float  # On held-out videos, if both streams are fused for all.


@dataclass(frozen=True)
class Fusion:
    """A fusion method with everything that it learned."""

    method: str = "average"
    streams: tuple[str, ...] = ()  # In the order of the parameters. Empty if there are none.
    parameters: Parameters = field(default_factory=dict)
    sharpness: float = 1.0  # Factor that turns scores into logits, if they are neither logits nor probabilities.
    doubt: Doubt | None = None
    alone: Alone | None = None
    why: str = ""  # The reason for choosing this method, for messages.
    source: str = ""  # The file that it was read from. It is not written into other files.

    def scores(
        self,
        logits: Mapping[str, np.ndarray],
        features: Mapping[str, np.ndarray] | None = None,
        *,
        multi_label: bool = False,
    ) -> np.ndarray:
        """Returns the score of each class for each video, [V, C], from each stream's logits, [V, views, C].

        Methods that use features also need those of each view, [V, views, D].
        """
        streams = self.streams or tuple(logits)
        first = logits[streams[0]]
        labels = np.zeros((len(first), first.shape[2])) if multi_label else np.zeros(len(first), np.int64)
        views = tuple(np.asarray(logits[name], np.float64) for name in streams)
        kept = tuple(np.asarray(features[name], np.float64) for name in streams) if features else ()
        return APPLY[self.name](Evidence(streams, views, labels, labels, kept), self.parameters)

    def probabilities(
        self,
        logits: Mapping[str, np.ndarray],
        features: Mapping[str, np.ndarray] | None = None,
        *,
        multi_label: bool = False,
    ) -> np.ndarray:
        """Returns the probability of each class for each video, [V, C]."""
        scores = self.sharpness * self.scores(logits, features, multi_label=multi_label)
        return as_probabilities(self.method, scores, multi_label=multi_label)

    @property
    def uses_features(self) -> bool:
        """Tells whether the method reads the features of all views of a video in order, instead of their logits."""
        return self.name in SEQUENCES

    @property
    def name(self) -> str:
        """The name of the method, without its weights."""
        return self.method.partition(":")[0]

    def as_json(self) -> dict[str, object]:
        """Returns the fusion as values that JSON can hold."""
        rounded = {name: _written(value) for name, value in self.parameters.items()}
        described = asdict(replace(self, parameters={}))
        del described["source"]
        return {**described, "parameters": rounded}

    @classmethod
    def of_json(cls, found: "_Described") -> "Fusion":
        """Returns the fusion that such values describe."""
        arrays = {name: _read(value) for name, value in found["parameters"].items()}
        return cls(
            found["method"],
            tuple(found["streams"]),
            arrays,
            found["sharpness"],
            found["doubt"],
            found.get("alone"),
            found["why"],
        )


AVERAGE = Fusion()


class _Large(TypedDict):
    """A large array: its bytes in base64."""

    shape: list[int]
    float32: str


class _Described(TypedDict):
    """A fusion in a file."""

    method: str
    streams: list[str]
    parameters: dict[str, float | list[float] | list[list[float]] | _Large]
    sharpness: float
    doubt: Doubt | None
    alone: NotRequired[Alone | None]  # Earlier versions did not write it.
    why: str


class _File(TypedDict):
    """A file of fusions."""

    format: int
    chosen: str
    classes: list[str]
    models: dict[str, str]
    fusions: dict[str, _Described]


@dataclass(frozen=True)
class KeptFusions:
    """Everything that one evaluation learned: a fusion for each method, and the name of the chosen one."""

    chosen: str
    classes: tuple[str, ...]
    models: Mapping[str, str]  # The hash of each stream's model.
    fusions: Mapping[str, Fusion]

    def write(self, path: Path) -> None:
        """Writes the file, completely or not at all."""
        write_text(path, json.dumps(self.as_json()) + "\n")

    def as_json(self) -> dict[str, object]:
        """Returns all fusions as values that JSON can hold."""
        fusions = {name: fusion.as_json() for name, fusion in self.fusions.items()}
        return {"format": _FORMAT, **asdict(replace(self, fusions={})), "fusions": fusions}

    @classmethod
    def read(cls, path: Path) -> "KeptFusions":
        """Reads a file of fusions."""
        if not path.is_file():
            raise FileNotFoundError(f"There is no fusion file {path}. Type ./run evaluate, which writes fusion.json.")
        return cls.of_text(read_file(path), path)

    @classmethod
    def of_text(cls, text: str | bytes, path: Path) -> "KeptFusions":
        """Returns the fusions in the text of a file. `path` appears only in error messages."""
        try:
            found = parsed(text, _File)
            if found["format"] != _FORMAT:
                raise ValueError("it is of another version")
            fusions = {name: Fusion.of_json(fusion) for name, fusion in found["fusions"].items()}
            kept = cls(found["chosen"], tuple(found["classes"]), found["models"], fusions)
            if kept.chosen not in fusions:
                raise ValueError(f"it holds no {kept.chosen}")
            kept.check()
            return kept
        except ValueError as error:
            raise ValueError(
                f"{path} is not a fusion file, or is damaged ({error}). Delete it and type ./run evaluate again."
            ) from error

    def check(self) -> None:
        """Raises ValueError unless each fusion can fuse scores of these classes."""
        for name, fusion in self.fusions.items():
            if fusion.name not in APPLY or name != fusion.method:
                raise ValueError(f"its {name} describes the unknown fusion {fusion.method!r}")
            streams = fusion.streams or ("spatial", "temporal")
            logits = {stream: np.zeros((1, 1, len(self.classes))) for stream in streams}
            try:
                # The streams' features are concatenated, so any division of the kernel's rows among them will do.
                sizes = (
                    np.array_split(np.zeros(len(fusion.parameters["input"])), len(streams))
                    if fusion.uses_features
                    else ()
                )
                features = {stream: part[None, None] for stream, part in zip(streams, sizes, strict=False)}
                found = fusion.probabilities(logits, features)
            except (IndexError, KeyError, TypeError, ValueError) as error:
                raise ValueError(f"its {name} has missing or superfluous numbers: {error}") from None
            if found.shape != (1, len(self.classes)) or not np.isfinite(found).all():
                raise ValueError(f"its {name} does not give probabilities of {len(self.classes)} classes")

    def named(self, method: str) -> Fusion:
        """Returns the fusion for a method."""
        if method not in self.fusions:
            raise ValueError(
                f"The evaluation did not save a fusion {method!r}, only {', '.join(self.fusions)}. "
                f"Evaluate with --method {method} first."
            )
        return self.fusions[method]


def given(method: str, streams: Sequence[str]) -> Fusion:
    """Returns a fusion that learns nothing, or one with given weights, like `weighted:1,1.5`."""
    check_method(method)
    method = SAME.get(method, method)
    rule = given_rule(method, len(streams))
    return Fusion(method, tuple(streams), rule.parameters or {}, why="as named")


def travels(method: str) -> bool:
    """Tells whether a method can fuse new videos without learning again."""
    return method.partition(":")[0] in APPLY


def learns(method: str) -> bool:
    """Tells whether a method has to learn from videos first."""
    return method in LEARNED


def names() -> str:
    """Returns the names of the methods that can fuse new videos, for messages."""
    return ", ".join(name for name in METHODS if name in APPLY)


def as_probabilities(method: str, scores: np.ndarray, *, multi_label: bool) -> np.ndarray:
    """Returns the scores of a method as probabilities."""
    if method.partition(":")[0] in PROBABILITIES:
        return scores
    return (sigmoid if multi_label else softmax)(scores)


def _written(value: np.ndarray) -> object:
    if value.size <= _MOST_AS_TEXT:
        return _rounded(value.tolist())
    return {"shape": list(value.shape), "float32": base64.b64encode(value.astype("<f4").tobytes()).decode()}


def _read(value: "float | list[float] | list[list[float]] | _Large") -> np.ndarray:
    if not isinstance(value, dict):
        return np.asarray(value, np.float64)
    numbers = np.frombuffer(base64.b64decode(value["float32"], validate=True), "<f4")
    return numbers.reshape(value["shape"]).astype(np.float64)


def _rounded(value: object) -> object:
    return [_rounded(each) for each in value] if isinstance(value, list) else float(f"{value:.{_DIGITS}g}")
