"""A fusion that travels: what an evaluation learned, kept in a file, so that other videos are fused in the same way."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from commands.files import write_text
from fusion.methods.evidence import Evidence
from fusion.methods.fitted import Parameters
from fusion.methods.fixed import sigmoid, softmax
from fusion.methods.table import APPLY, LEARNED, METHODS, check_method, given_rule

# The scores of these are probabilities as they are.
PROBABILITIES = ("average", "vote", "weighted", "calibrated")
_FORMAT = 1
# Digits of a parameter: more than single precision has.
_DIGITS = 9


@dataclass(frozen=True)
class Doubt:
    """When an answer counts as unsure, and what that rests on."""

    below: float  # The probability of the likeliest class.
    kept: float  # The share of videos of the classes that are still answered.
    videos: int  # By how many videos that was set; none of them was learned from.


@dataclass(frozen=True)
class Fusion:
    """A way to fuse streams, with all that it learned."""

    method: str = "average"
    streams: tuple[str, ...] = ()  # In the order of the parameters; empty if there are none.
    parameters: Parameters = field(default_factory=dict)
    sharpness: float = 1.0  # By what scores are multiplied to become logits, where they are neither.
    doubt: Doubt | None = None
    why: str = ""  # By what it was chosen, in words.

    def scores(self, logits: Mapping[str, np.ndarray], *, multi_label: bool = False) -> np.ndarray:
        """Returns one score for each class of each video, [V, C], from each stream's logits, [V, views, C]."""
        streams = self.streams or tuple(logits)
        first = logits[streams[0]]
        labels = np.zeros((len(first), first.shape[2])) if multi_label else np.zeros(len(first), np.int64)
        views = tuple(np.asarray(logits[name], np.float64) for name in streams)
        return APPLY[self.name](Evidence(streams, views, labels, labels), self.parameters)

    def probabilities(self, logits: Mapping[str, np.ndarray], *, multi_label: bool = False) -> np.ndarray:
        """Returns the probability of each class for each video, [V, C]."""
        return as_probabilities(
            self.method, self.sharpness * self.scores(logits, multi_label=multi_label), multi_label=multi_label
        )

    @property
    def name(self) -> str:
        """The name of the method, without weights that were given."""
        return self.method.partition(":")[0]

    def as_json(self) -> dict[str, object]:
        """Returns what JSON can hold of it."""
        rounded = {name: _rounded(value.tolist()) for name, value in self.parameters.items()}
        return {**asdict(replace(self, parameters={})), "parameters": rounded}

    @classmethod
    def of_json(cls, found: Mapping[str, object]) -> "Fusion":
        """Returns what a file holds."""
        known = dict(found)
        parameters, doubt = known.pop("parameters"), known.pop("doubt")
        arrays = {name: np.asarray(value, np.float64) for name, value in dict(parameters).items()}  # type: ignore[call-overload]
        known["streams"] = tuple(known["streams"])  # type: ignore[arg-type]
        return cls(**known, parameters=arrays, doubt=Doubt(**doubt) if doubt else None)  # type: ignore[arg-type]


AVERAGE = Fusion()


@dataclass(frozen=True)
class KeptFusions:
    """All that one evaluation learned: a fusion for each method, and which of them validation chose."""

    chosen: str
    classes: tuple[str, ...]
    models: Mapping[str, str]  # The hash of each stream's model.
    fusions: Mapping[str, Fusion]

    def write(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        write_text(path, json.dumps(self.as_json()) + "\n")

    def as_json(self) -> dict[str, object]:
        """Returns what JSON can hold of it."""
        fusions = {name: fusion.as_json() for name, fusion in self.fusions.items()}
        return {"format": _FORMAT, **asdict(replace(self, fusions={})), "fusions": fusions}

    @classmethod
    def read(cls, path: Path) -> "KeptFusions":
        """Reads such a file."""
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path} of a fusion. fusion/evaluate.py writes fusion.json.")
        return cls.of_text(path.read_text(encoding="utf-8"), path)

    @classmethod
    def of_text(cls, text: str, path: Path) -> "KeptFusions":
        """Returns what the text of a file says; `path` is named where it says nothing of use."""
        try:
            found = json.loads(text)
            if found.pop("format") != _FORMAT:
                raise ValueError("it is of another version")
            fusions = {name: Fusion.of_json(fusion) for name, fusion in found.pop("fusions").items()}
            kept = cls(**{**found, "classes": tuple(found["classes"]), "fusions": fusions})
            if kept.chosen not in fusions:
                raise ValueError(f"it holds no {kept.chosen}")
            return kept
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} holds no fusion, or a damaged one ({error}). Delete it and run fusion/evaluate.py again."
            ) from error

    def named(self, method: str) -> Fusion:
        """Returns the fusion of a method."""
        if method not in self.fusions:
            raise ValueError(
                f"The evaluation kept no fusion {method!r}, only {', '.join(self.fusions)}. "
                f"Evaluate with --method {method} first."
            )
        return self.fusions[method]


def given(method: str, streams: Sequence[str]) -> Fusion:
    """Returns the fusion of a method that learns nothing, or whose weights are given, as `weighted:1,1.5`."""
    check_method(method)
    rule = given_rule(method, len(streams))
    return Fusion(method, tuple(streams), rule.parameters or {}, why="as named")


def travels(method: str) -> bool:
    """Tells whether a method can fuse other videos without learning again."""
    return method.partition(":")[0] in APPLY


def learns(method: str) -> bool:
    """Tells whether a method has to learn from videos first."""
    return method in LEARNED


def names() -> str:
    """Returns the methods that travel, in words."""
    return ", ".join(name for name in METHODS if name in APPLY)


def as_probabilities(method: str, scores: np.ndarray, *, multi_label: bool) -> np.ndarray:
    """Returns the scores of a method as probabilities."""
    if method.partition(":")[0] in PROBABILITIES:
        return scores
    return (sigmoid if multi_label else softmax)(scores)


def _rounded(value: object) -> object:
    return [_rounded(each) for each in value] if isinstance(value, list) else float(f"{value:.{_DIGITS}g}")
