"""Writes both streams as a folder for the Hugging Face hub, with a model card."""

import json
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from commands.files import read_file, scratch_folder, write_text
from commands.schema import parsed
from fusion.exporting.one_model import write
from fusion.prediction.chosen_fusion import beside
from fusion.prediction.exported_texts import texts_of
from fusion.report.markup import templates_in
from streams.runs.model_file import ModelCard, save_model

if TYPE_CHECKING:
    from fusion.two_stream import TwoStream

_HERE = Path(__file__).parent
# Characters in the name of a class or a video that Markdown would interpret.
_ACTING = re.compile(r"([\\`*_\[\]<>#|~$])")


def write_hub(
    model: keras.Model, two_stream: "TwoStream", models: Mapping[str, Path], path: Path, licence: str
) -> None:
    """Writes the folder, completely or not at all.

    The model at its top is unpacked, so that Keras opens it by `hf://`. Each stream has a file of its own beside it.
    """
    cards = {name: scorer.card for name, scorer in two_stream.scorers.items()}
    texts = texts_of(cards, two_stream.fusion)
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(path.parent) as scratch:
        folder = scratch / path.name
        folder.mkdir()
        write(model, {}, "keras", scratch / "both.keras", {})
        with zipfile.ZipFile(scratch / "both.keras") as archive:
            archive.extractall(folder)
        for name, scorer in two_stream.scorers.items():
            save_model(scorer.network, scorer.card, folder / f"{name}.keras")
        for name, text in texts.items():
            write_text(folder / name, text)
        write_text(folder / "README.md", model_card(two_stream, cards, _report(models), licence))
        if path.is_dir():
            shutil.rmtree(path)
        folder.replace(path)


def model_card(
    two_stream: "TwoStream", cards: Mapping[str, ModelCard], report: Mapping[str, object] | None, licence: str
) -> str:
    """Returns the text of the model card: training data of the streams, their evaluation, and how to use them."""
    first = next(iter(cards.values()))
    return (
        templates_in(_HERE, finalize=_escaped)
        .get_template("card.md")
        .render(
            data_set=first.data_set,
            split=first.split,
            classes=two_stream.classes,
            streams=two_stream.cards,
            making=two_stream.making if two_stream.uses_flow else None,
            fusion=two_stream.fusion if len(two_stream.scorers) > 1 else None,
            judged=_judged(report, [*two_stream.scorers], two_stream.fusion.method) if report else None,
            licence=licence or "unknown",
            sizes={name: scorer.network.count_params() for name, scorer in two_stream.scorers.items()},
        )
    )


def _report(models: Mapping[str, Path]) -> dict[str, object] | None:
    """Returns the results of the evaluation of exactly these models, if there are some beside them."""
    path, kept = beside(models)
    report = path.with_name("report.json") if path and kept else None
    return parsed(read_file(report), dict[str, object]) if report and report.is_file() else None


def _judged(report: Mapping[str, object], streams: list[str], method: str) -> dict[str, object]:
    """Returns the rows of the table: accuracy and its interval, for each stream and for their fusion."""
    numbers = json.loads(json.dumps(report))
    several = "mean_average_precision" in numbers
    measure, interval = ("mean_average_precision", "precision_interval") if several else ("video_accuracy", "interval")
    rows = [
        (f"fused by {name}" if name == method else name, numbers[measure][name], *numbers[interval][name])
        for name in (*streams, method)
        if name in numbers[measure] and name in numbers[interval]
    ]
    wanted = ("num_videos", "num_groups", "baselines", "evaluated")
    return {"rows": rows, "measure": measure.replace("_", " "), **{name: numbers.get(name) for name in wanted}}


def _escaped(value: object) -> str:
    """Returns a value as text that Markdown shows unchanged."""
    return _ACTING.sub(r"\\\1", " ".join(str(value).split())) if isinstance(value, str) else str(value)
