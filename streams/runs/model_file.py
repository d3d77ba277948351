"""Reads and writes the `.keras` file of a stream: a model for plain Keras, with a card that describes it."""

import hashlib
import json
import re
import statistics
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from commands.files import read_member, replacing
from commands.running import first_line
from commands.schema import checked, parsed
from data.catalog import DataSet
from data.ready import flow_description, frame_description, home_of
from data.store.description import Recipe
from data.store.index import Description
from pipelines.inputs import SHOWN, Input
from streams.config import TrainConfig
from streams.weights.names import ORIGINS
from streams.weights.torch_file import ENDINGS, origin_of, read_tensors

if TYPE_CHECKING:
    import keras

# A file in the archive, which Keras ignores.
_CARD = "two_stream.json"
# The most bytes for the description of a network or of its data: a hundred times what a large one needs.
_MOST_CONFIG = 64 * 2**20
_SHARED = re.compile(rb'("shared_object_id": )(\d+)')
_MAKE_AGAIN = "Train or export it again, or name another file."
# The stream of a network that looks at frames and flow at once, with inputs `rgb` and `flow`.
BOTH = "two_stream"
# A data set, the split of the training (zero for all its videos), and how weights were selected.
Lesson: TypeAlias = tuple[str, int, str]


@dataclass(frozen=True)
class ModelCard:
    """The description of a saved model."""

    stream: str  # "spatial", "temporal", "two_stream" for a network of both, or a name of the user's.
    input_kind: str  # One of pipelines.inputs.KINDS; "rgb+flow", for instance, for a network of both.
    length: int  # The number of frames or fields in a clip; of fields, for a network of both.
    classes: tuple[str, ...]
    data_set: str
    split: int
    selection: str  # How the weights were selected: "validation", "paper" or "test-selected".
    flow: Mapping[str, object] = field(default_factory=dict)  # flow.json of the training data. Empty for RGB.
    multi_label: bool = False
    frames: Mapping[str, object] = field(default_factory=dict)  # How the training frames were made, and their size.
    shown: str = "pixels"  # The part of a frame that its clips show: one of pipelines.inputs.SHOWN.
    window: int = 0  # The median number of frames of its training videos, for clips that are spread over a video.
    learnt: tuple[Lesson, ...] = ()  # Other data on which its weights were trained, before this data set or with it.
    stride: int = 1  # A clip takes every `stride`-th frame or field.
    origin: str = ""  # The origin of the PyTorch weights that it started from: one of streams.weights.names.ORIGINS.
    own_validation: int = 0  # The number of validation videos, if the data set's own list names them.
    in_mirror: tuple[int, ...] = ()  # For each class, the class that it becomes in a mirror, if some change.

    @classmethod
    def of_json(cls, text: str | bytes) -> "ModelCard":
        """Returns the card in a file. Raises ValueError for a card that no network can have."""
        return parsed(text, cls).checked()

    def checked(self) -> "ModelCard":
        """Returns the card itself. Raises ValueError for a card that no network can have."""
        if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            raise ValueError(f"its {len(self.classes)} classes are too few, or two of them are the same")
        if not all(1 <= number <= most for number, most in ((self.length, 1000), (self.window + 1, 2**30))):
            raise ValueError(f"its length is {self.length} and its window {self.window}")
        if self.in_mirror and {*zip(range(len(self.classes)), self.in_mirror, strict=False)} != {
            *zip(self.in_mirror, range(len(self.classes)), strict=False)
        }:
            raise ValueError(f"its classes in a mirror are {self.in_mirror}, which are not pairs of its classes")
        if self.shown not in SHOWN:
            raise ValueError(f"its shown is {self.shown!r}, not one of {', '.join(SHOWN)}")
        if self.origin and self.origin not in ORIGINS:
            raise ValueError(f"its origin is {self.origin!r}, not one of {', '.join(ORIGINS)}")
        for part in self.parts.values():
            Input(part.input_kind, part.length)
        for made in (self.flow, self.frames):
            Recipe.of(checked(dict(made), Description)).check()
        return self

    @classmethod
    def joint(cls, spatial: "ModelCard", temporal: "ModelCard") -> "ModelCard":
        """Returns the card of a network of both streams, `two_stream_network` for instance."""
        if spatial.shown != temporal.shown:
            raise ValueError(
                f"The spatial stream shows {spatial.shown} of a frame, the temporal stream {temporal.shown}. One "
                "network of both can't do that. Train both with the same --shown."
            )
        return replace(
            temporal,
            stream=BOTH,
            input_kind=f"{spatial.input_kind}+{temporal.input_kind}",
            frames=spatial.frames or temporal.frames,
        ).having_learnt(spatial.learnt)

    @property
    def chosen(self) -> str:
        """The selection of the weights, in words."""
        named = f" ({self.own_validation} videos that the list names)" if self.own_validation else ""
        return self.selection + named

    @property
    def lessons(self) -> tuple[Lesson, ...]:
        """All data on which the weights were trained."""
        return (self.data_set, self.split, self.selection), *self.learnt

    def having_learnt(self, lessons: Iterable[Lesson]) -> "ModelCard":
        """Returns the card of a model that was also trained on other data."""
        own, *learnt = self.lessons
        return replace(self, learnt=tuple(each for each in dict.fromkeys((*learnt, *lessons)) if each != own))

    @property
    def parts(self) -> dict[str, "ModelCard"]:
        """The cards of the streams in a network: two for a network of both."""
        if self.stream != BOTH:
            return {self.stream: self}
        spatial, _, temporal = self.input_kind.partition("+")
        return {
            "spatial": replace(self, stream="spatial", input_kind=spatial, length=1, flow={}),
            "temporal": replace(self, stream="temporal", input_kind=temporal or "flow"),
        }


def card_of(stream: str, config: TrainConfig, dataset: DataSet, clip: Input) -> ModelCard:
    """Returns the card of a stream's model."""
    card = ModelCard(
        *(stream, clip.kind, clip.length, dataset.classes, dataset.name, config.split, config.protocol),
        flow_description(dataset.root) if clip.is_flow else {},
        dataset.multi_label,
        frame_description(dataset.root),
        config.shown,
        statistics.median_low([video.num_frames for video in dataset.videos.values()]) if clip.is_spread else 0,
        stride=clip.stride,
        origin=origin_of_weights(config.weights) if Path(config.weights).suffix else "",
        own_validation=len(dataset.splits[config.split].validation) if config.protocol == "validation" else 0,
    )
    return card.having_learnt(lessons_in(config.weights)) if Path(config.weights).suffix == ".keras" else card


def save_model(model: "keras.Model", card: ModelCard, path: Path) -> None:
    """Writes a model and its card as one file, completely or not at all."""
    with replacing(path) as temporary:
        save_alike(model, temporary, {_CARD: json.dumps(asdict(card), indent=2)})


def save_alike(model: "keras.Model", path: Path, texts: Mapping[str, str]) -> None:
    """Saves a model and texts as one file. Equal models give equal bytes, whenever and wherever they are saved."""
    saved = path.with_name(f"{path.stem}.saved.keras")
    try:
        model.save(saved)
        with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(path, "w") as written:
            for name in archive.namelist():
                content = archive.read(name)
                written.writestr(zipfile.ZipInfo(name), _alike(content) if ".json" in name else content)
            for name, text in texts.items():
                written.writestr(zipfile.ZipInfo(name), text)
    finally:
        saved.unlink(missing_ok=True)


def _alike(text: bytes) -> bytes:
    """Returns a JSON text of Keras without the time of saving and the addresses of shared objects."""
    numbers: dict[bytes, bytes] = {}
    text = re.sub(rb'("date_saved": )"[^"]*"', rb'\1""', text)
    return _SHARED.sub(lambda found: found[1] + numbers.setdefault(found[2], b"%d" % len(numbers)), text)


def load_model(path: Path) -> tuple["keras.Model", ModelCard]:
    """Opens a model that `save_model` wrote, in Keras' safe mode."""
    card, network = read_card(path), open_network(path)
    outputs = network.outputs[0].shape[-1]
    if outputs != len(card.classes):
        raise ValueError(f"{path} scores {outputs} classes, but its {_CARD} names {len(card.classes)}. {_MAKE_AGAIN}")
    channels = sorted(each.shape[-1] for each in network.inputs)
    wanted = sorted(Input(part.input_kind, part.length).channels for part in card.parts.values())
    if channels != wanted:
        raise ValueError(f"{path} takes {channels} channels, but its {_CARD} says {wanted}. {_MAKE_AGAIN}")
    return network, card


def open_network(path: Path) -> "keras.Model":
    """Opens a network in Keras' safe mode. Every error names the file."""
    import keras  # Imported only here, because a card can be read without TensorFlow.

    try:
        config = read_member(path, "config.json", _MOST_CONFIG)
        if config is None:
            raise ValueError("it has no config.json inside")
        parsed(config, dict[str, object])
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (MemoryError, FileNotFoundError):
        raise
    except Exception as error:  # For a damaged or hostile file, Keras may raise almost any exception.
        raise ValueError(f"{path} can't be opened as a Keras model: {first_line(error)[:300]}. {_MAKE_AGAIN}") from None


def read_card(path: Path) -> ModelCard:
    """Reads the card of a model file without building the network."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no model {path}. Train it first, or name another file.")
    try:
        text = read_member(path, _CARD, _MOST_CONFIG)
        if text is None:
            raise ValueError("there is none")
        return ModelCard.of_json(text)
    except ValueError as error:
        raise ValueError(f"{path} is not a model that this project saved; its {_CARD}: {error}.") from None


def lessons_in(weights: str) -> tuple[Lesson, ...]:
    """Returns the data on which these weights were trained. Only models of ours record it."""
    card = card_of_weights(weights)
    return card.lessons if card else ()


def card_of_weights(weights: str) -> ModelCard | None:
    """Returns the model card of weights, or None if they are not a model of ours."""
    if Path(weights).suffix != ".keras":
        return None
    try:
        return read_card(Path(weights))
    except (ValueError, FileNotFoundError):
        return None


def origin_of_weights(weights: str) -> str:
    """Returns the origin of weights, if they are from PyTorch or a model of ours that started from such weights."""
    if Path(weights).suffix in ENDINGS:
        return origin_of(read_tensors(Path(weights))) if Path(weights).is_file() else ""
    card = card_of_weights(weights)
    return card.origin if card else ""


def check_unseen(found: ModelCard, path: str | Path, *, data_set: str, split: int, selection: str) -> None:
    """Raises ValueError for a model that was trained on the split's test videos, or selected on them."""
    for name, learnt_split, chosen in found.lessons:
        if home_of(name) != home_of(data_set):
            continue
        if learnt_split != split:
            videos = f"split {learnt_split}" if learnt_split else "all videos"
            raise ValueError(
                f"{path} was trained on {videos} of {data_set}, which include test videos of split {split}. Its "
                "results would be too good. Name a model of the same split, or of another data set."
            )
        if chosen == "test-selected" != selection:
            raise ValueError(
                f"{path} was selected on the test list. Pass --protocol test-selected, or name another model."
            )


def file_hash(path: Path) -> str:
    """Returns the SHA-256 of a file. Scores record it as the model that made them."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
