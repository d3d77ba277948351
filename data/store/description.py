"""How frames and flow are made of videos: what `flow.json` records, so that different ones never mix in a folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from commands.files import write_json
from data.catalog import in_words
from data.optical_flow.compute import FlowDescription, flow_description
from data.optical_flow.levels import RULES, check_bound
from data.optical_flow.parameters import Values

JPEG_QUALITY = 95
FRAMES, FLOW = "frames", "flow"


class Description(FlowDescription, total=False):
    """What `flow.json` says of all that is stored of a data set; files of earlier versions say less."""

    step: int
    backward: bool
    engine: str
    layout: str  # That of another tool which made the flow.
    short_side: int | None
    size: list[int] | None
    fps: float | None
    every: int
    jpeg_quality: int
    usual_size: list[int]  # Only in the files of models: the width and height of most frames.


@dataclass(frozen=True)
class Recipe:
    """How frames and flow are made."""

    method: str = "tvl1"
    preset: str = "balanced"
    parameters: Values = field(default_factory=dict)  # Of the method, instead of its preset's.
    bound: float = 20.0
    rule: str = "centred"
    short_side: int | None = None  # Without this and `size`, frames keep the size of the video.
    size: tuple[int, int] | None = None  # Width and height.
    usual_size: tuple[int, int] | None = None  # That most frames have where videos keep theirs, if that is known.
    fps: float | None = None  # Frames a second to keep; all without it and `every`.
    every: int = 1  # One in how many frames to keep.
    step: int = 1  # Flow is from each frame to the one so many kept frames later.
    backward: bool = False  # Whether flow back is stored, too.
    engine: str = "cpu"  # Or "gpu", which agrees with it to a hundredth of a pixel, yet not to the bit.
    only: str = ""  # "frames" or "flow"; both without it.

    def __post_init__(self) -> None:
        check_bound(self.bound)

    @classmethod
    def of(cls, description: Mapping[str, object]) -> "Recipe":
        """Returns what a data set or a model's file says; it may say more than is needed, and older files less."""
        known: dict[str, Any] = {each.name: description[each.name] for each in fields(cls) if each.name in description}
        for name in ("size", "usual_size"):
            known[name] = tuple(known[name]) if known.get(name) else None
        # Flow that was stored as floats reaches a network in levels of ours.
        if known.get("rule") not in RULES:
            known.pop("rule", None)
        return cls(**known)

    def description(self) -> Description:
        """Returns what must be the same for all that lies in a data set."""
        frames: Description = {
            "short_side": self.short_side,
            "size": list(self.size) if self.size else None,
            "fps": self.fps,
            "every": self.every,
            "jpeg_quality": JPEG_QUALITY,
        }
        if self.only == FRAMES:
            return frames
        made_by = flow_description(self.method, self.preset, self.bound, self.rule, **self.parameters)
        return {**made_by, "step": self.step, "backward": self.backward, "engine": self.engine, **frames}

    def keep(self, root: Path) -> None:
        """Records in `root`/flow.json how frames and flow are made; refuses where others lie there already."""
        found, wanted = dict(find_description(root)), dict(self.description())
        if "method" in found:
            found.setdefault("engine", "cpu")
        # In this order the method comes before what follows from it.
        differing = [key for key in wanted if key in found and wanted[key] != found[key]]
        if differing:
            key = differing[0]
            raise ValueError(
                f"{root} holds frames or flow made with {key} = {found[key]!r}; now it would be {wanted[key]!r}, and "
                "different ones never mix. Ask for the same again, name another --root, or delete its rawframes "
                "folder and flow.json."
            )
        if wanted.keys() - found.keys():
            write_json(description_path(root), {**wanted, **found})


def description_path(root: Path) -> Path:
    """Returns where it is written how the frames and the flow of a data set were made."""
    return root / "flow.json"


def find_description(root: Path) -> Description:
    """Returns what `flow.json` says of the frames and the flow in `root`, or nothing where there is none."""
    path = description_path(root)
    try:
        description: Description = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}). Delete it and prepare again.") from error
    return description


def read_description(root: Path) -> Description:
    """Returns what `flow.json` says of the frames and the flow in `root`."""
    if not description_path(root).exists():
        raise FileNotFoundError(
            f"{root} has no flow.json: it is not prepared. Run: python data/prepare.py {in_words(root.name, root)}"
        )
    return find_description(root)


def recipe_of(root: Path) -> Recipe:
    """Returns the recipe by which the data set in `root` was prepared."""
    found = read_description(root)
    if found.get("method") == "unknown":
        raise ValueError(f"{root} holds flow of another tool, which alone can make it again.")
    return replace(Recipe.of(found), only="" if "method" in found else FRAMES)
