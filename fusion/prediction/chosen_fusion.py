"""Finds the fusion of two streams: the one that an evaluation of these models chose, unless the user names another."""

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fusion.methods.kept import AVERAGE, Alone, Fusion, KeptFusions, given, learns, names
from fusion.prediction.exported_texts import FUSION_FILE, kind_of, text_in
from streams.runs.model_file import BOTH, file_hash, read_card


def chosen_fusion(models: Mapping[str, Path], wanted: str = "") -> Fusion:
    """Returns the fusion of these models. `wanted` is a method or a file; if empty, validation's choice is taken."""
    if BOTH in models:
        return _of_one_file(models[BOTH], wanted)
    if len(models) < 2:
        if wanted:
            raise ValueError(f"--fusion {wanted} needs both streams. Name --spatial and --temporal, or leave it out.")
        return AVERAGE
    if wanted.endswith(".json"):
        kept = KeptFusions.read(Path(wanted))
        _check_fits(kept, models, wanted)
        return kept.named(kept.chosen)
    if wanted and not learns(wanted):
        return given(wanted, tuple(models))
    path, kept_here = beside(models)
    if kept_here and path:
        return _named_or_chosen(kept_here, wanted, path)
    if wanted:
        raise ValueError(
            f"The fusion {wanted} has to learn from videos first, and there is no {FUSION_FILE} for these models. Run "
            f"./run evaluate --method {wanted} with them, or name a file with --fusion FILE.json."
        )
    if path:
        return replace(AVERAGE, why=f"{path} is of other models; ./run evaluate chooses a fusion for these")
    return replace(AVERAGE, why="no evaluation of these models has chosen a fusion")


def checked_alone(fusion: Fusion) -> Alone:
    """Returns the threshold above which one stream's answer is enough. Raises ValueError if the fusion has none."""
    if fusion.alone is None:
        raise ValueError(
            "--when-unsure needs both streams, and a threshold that ./run evaluate sets on 20 held-out videos or "
            f"more. The fusion {fusion.method} has no threshold. Evaluate these models first, or leave the option out."
        )
    return fusion.alone


def sentence(fusion: Fusion, beginning: str = "Both streams are fused") -> str:
    """Returns a sentence that says how the streams are fused and why, and another one about the threshold."""
    reasons = [each for each in (fusion.why, fusion.source) if each]
    why = f" ({'; '.join(reasons)})" if reasons else ""
    doubt = f" Answers below {fusion.doubt.below:.1%} are unsure" if fusion.doubt else ""
    if fusion.doubt and fusion.doubt.others:
        doubt += f"; so are {1 - fusion.doubt.alarms:.0%} of {fusion.doubt.others} clips of other classes"
    return f"{beginning} by {fusion.method}{why}.{doubt}" + ("." if doubt else "")


def fusion_in(path: Path) -> KeptFusions | None:
    """Returns the fusion that an exported file carries."""
    text = text_in(path, FUSION_FILE)
    return None if text is None else KeptFusions.of_text(text, path)


def _of_one_file(path: Path, wanted: str) -> Fusion:
    if kind_of(path) == "keras" and (not zipfile.is_zipfile(path) or _is_one_network(path)):
        if wanted:
            raise ValueError(f"{path} is one network and joins the streams by itself. Leave out --fusion {wanted}.")
        return AVERAGE
    kept = fusion_in(path)
    if wanted and not wanted.endswith(".json") and not learns(wanted):
        return given(wanted, kept.fusions[kept.chosen].streams if kept else ("spatial", "temporal"))
    if wanted.endswith(".json"):
        kept = KeptFusions.read(Path(wanted))
        return kept.named(kept.chosen)
    if kept:
        return _named_or_chosen(kept, wanted, path)
    if wanted:
        raise ValueError(f"{path} does not contain the fusion {wanted}. Export it again with --fusion {wanted}.")
    return replace(AVERAGE, why="the exported file names no other")


def _named_or_chosen(kept: KeptFusions, wanted: str, path: Path) -> Fusion:
    return replace(kept.named(wanted or kept.chosen), source=str(path))


def _is_one_network(path: Path) -> bool:
    try:
        return read_card(path).stream == BOTH
    except ValueError:
        return False


def beside(models: Mapping[str, Path]) -> tuple[Path | None, KeptFusions | None]:
    """Returns the fusion file in the folder of runs where the models are, and the fusions for these models in it."""
    found = None
    for path in models.values():
        folders = path.absolute().parents
        if len(folders) < 3:
            continue
        found = folders[2] / "fusion" / folders[0].name / FUSION_FILE
        if found.is_file():
            kept = KeptFusions.read(found)
            hashes = {name: file_hash(model) for name, model in models.items()}
            return found, kept if dict(kept.models) == hashes else None
    return None, None


def _check_fits(kept: KeptFusions, models: Mapping[str, Path], source: str) -> None:
    classes = read_card(next(iter(models.values()))).classes
    if kept.classes != classes or set(kept.models) != set(models):
        raise ValueError(
            f"{source} fuses {', '.join(kept.models)} of {len(kept.classes)} classes, but the models are "
            f"{', '.join(models)} of {len(classes)}. Name the fusion file of an evaluation of these models, or a "
            f"fusion that needs none: {names()}, with weights or without."
        )
