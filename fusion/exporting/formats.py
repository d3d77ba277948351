"""Exports models. A file is written only if its format gives the same answers as the Keras model."""

import contextlib
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypedDict

import keras
import numpy as np
import tensorflow as tf

from commands.files import DATASETS, scratch_folder
from commands.waiting import Now
from data.extraction.video_files import is_of_pictures, is_video, walk_files
from fusion.exporting.hub import write_hub
from fusion.exporting.one_model import FORMATS, joined, write
from fusion.prediction.chosen_fusion import sentence
from fusion.prediction.exported import Answer, Arrays, opened
from fusion.prediction.exported_texts import kind_of, labels_in, texts_of
from fusion.prediction.prediction import FUSED
from fusion.prediction.views import Spread, Stopwatch, video_views
from fusion.two_stream import TwoStream
from streams.networks.scoring import centres

TIMED_RUNS, TIMED_SECONDS = 20, 5.0
# Inputs with more channels than this are checked on fewer clips, because each clip takes long.
MANY_CHANNELS = 30


class Found(TypedDict):
    """Size, speed and accuracy of one exported format."""

    format: str
    file: str
    megabytes: float
    milliseconds: float
    difference: float
    agreement: float  # The share of the clips for which the likeliest class is that of the Keras model.
    clips: int


class Asked(NamedTuple):
    """The options of an export: formats, videos to check them on, videos that set the ranges of int8, and a licence."""

    formats: Sequence[str]
    check: Sequence[Path] = ()
    calibrate: Sequence[Path] = ()
    licence: str = ""


class _Check(NamedTuple):
    """Clips, and the answers of the Keras model to which those of other formats are compared."""

    clips: Arrays
    expected: Arrays


def export(models: Mapping[str, Path], asked: Asked, folder: Path, fusion: str = "") -> list[Found]:
    """Writes the models as one file per format, compares the answers on clips of videos, and returns the findings."""
    if foreign := [path for path in models.values() if kind_of(path) in ("onnx", "litert")]:
        raise ValueError(
            f"{foreign[0]} is a model for another runtime and can't be converted again. Name the .keras files "
            "from which it was made."
        )
    Now.doing = "Loading the models"
    keras.utils.set_random_seed(0)  # Dropout, which no export needs, would save a state that is drawn by chance.
    two_stream = TwoStream(models, fusion)
    if len(two_stream.scorers) > 1:
        print(sentence(two_stream.fusion))
    model = joined(two_stream.scorers, two_stream.fusion)
    source, clips = _clips(two_stream, asked.check)
    print(f"Checked on {source}.")
    Now.doing = "Asking the Keras models for the answers"
    answers = {name: np.asarray(value) for name, value in model(clips, training=False).items()}
    check = _Check(clips, {name: value for name, value in answers.items() if name in {*two_stream.scorers, FUSED}})
    calibrated = _joined([squares(two_stream, video) for video in asked.calibrate if "litert-int8" in asked.formats])
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for kind in asked.formats:
        if kind == "hub":
            write_hub(model, two_stream, models, folder / "two_stream_hub", asked.licence)
            print(f"The folder for the hub is {folder / 'two_stream_hub'}. Read its README.md before you publish it.")
        else:
            found.append(_export(model, two_stream, kind, folder / FORMATS[kind].file, check, calibrated))
    return found


def squares(two_stream: TwoStream, video: Path, views: int = 4) -> Arrays:
    """Returns the inputs of the networks by name: centre crops of a few views."""
    prepared, _ = two_stream.prepare(video, partial=True)
    wanted = two_stream.wanted(prepared.num_frames, prepared.frame_rate, Spread(views))
    inputs = two_stream.inputs
    clips: dict[str, list[np.ndarray]] = {name: [] for name in two_stream.cards}
    for view in video_views(prepared.frames(), prepared.num_frames, wanted, two_stream.making, Stopwatch()):
        side, shown = inputs[view.stream].shape[1], two_stream.cards[view.stream].shown
        clips[view.stream].append(centres(tf.constant(view.pixels[None]), side, shown).numpy()[0])
    return {inputs[name].name: np.stack(parts)[wanted[name].of_view] for name, parts in clips.items()}


def _export(
    model: keras.Model, two_stream: TwoStream, kind: str, path: Path, check: _Check, calibrated: Arrays
) -> Found:
    """Writes one format, completely or not at all, once its answers agree with those of the Keras model."""
    Now.doing = f"Writing {kind}, and checking that it gives the same answers"
    with scratch_folder(path.parent) as folder:
        written = folder / path.name
        cards = {name: scorer.card for name, scorer in two_stream.scorers.items()}
        write(model, texts_of(cards, two_stream.fusion), kind, written, calibrated)
        answer = opened(written)
        answers = answer(check.clips)
        difference = max(float(np.abs(answers[name] - check.expected[name]).max()) for name in check.expected)
        if not difference <= FORMATS[kind].tolerance or labels_in(written) != two_stream.classes:
            raise ValueError(
                f"The {kind} model's answers differ by {difference:.2g} from the Keras model's, so it was not written."
            )
        found: Found = {
            "format": kind,
            "file": str(path),
            "megabytes": _size(written) / 1e6,
            "milliseconds": _milliseconds(answer, {name: clip[:1] for name, clip in check.clips.items()}),
            "difference": difference,
            "agreement": _agreement(answers, check.expected),
            "clips": len(next(iter(check.clips.values()))),
        }
        if path.is_dir():
            shutil.rmtree(path)
        written.replace(path)
    return found


def _agreement(answers: Arrays, expected: Arrays) -> float:
    *_, last = expected
    return float(np.mean(answers[last].argmax(axis=1) == expected[last].argmax(axis=1)))


def _clips(two_stream: TwoStream, videos: Sequence[Path]) -> tuple[str, Arrays]:
    """Returns clips on which answers are compared: from the named videos, or else from the data set, or else noise."""
    of_data_set = DATASETS / next(iter(two_stream.cards.values())).data_set / "videos"
    of_videos: dict[Path, Arrays] = {}
    for path in videos or [of_data_set] * of_data_set.is_dir():
        is_folder = path.is_dir() and not is_of_pictures(path)
        of_videos |= _in_folder(two_stream, path) if is_folder else {path: squares(two_stream, path)}
    if of_videos:
        said = f"{len(of_videos)} videos, the first of which is {next(iter(of_videos))}"
        return said, _joined(list(of_videos.values()))
    random = np.random.default_rng(0)
    inputs = (each for scorer in two_stream.scorers.values() for each in scorer.network.inputs)
    shapes = {each.name: each.shape[1:] for each in inputs}
    count = 8 if all(shape[-1] <= MANY_CHANNELS for shape in shapes.values()) else 2
    noise = {name: random.integers(0, 256, (count, *shape), dtype=np.uint8) for name, shape in shapes.items()}
    return "noise, because no video is named (--check VIDEO names some)", noise


def _in_folder(two_stream: TwoStream, folder: Path, count: int = 3) -> dict[Path, Arrays]:
    """Returns clips of the first videos in a folder that can be read, by the paths of these videos."""
    found: dict[Path, Arrays] = {}
    for video in walk_files(folder):
        if is_video(video):
            with contextlib.suppress(OSError, ValueError):  # Preparation has named those that are broken.
                found[video] = squares(two_stream, video)
        if len(found) == count:
            break
    return found


def _joined(clips: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([each[name] for each in clips]) for name in (clips[0] if clips else ())}


def _milliseconds(answer: Answer, clip: Arrays) -> float:
    times: list[float] = []
    while len(times) < TIMED_RUNS and sum(times) < TIMED_SECONDS:
        start = time.perf_counter()
        answer(clip)
        times.append(time.perf_counter() - start)
    return 1000 * median(times)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
