"""How frames and flow are made of videos, which `flow.json` records, so that different ones never mix in a folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from commands.files import write_json
from data.optical_flow.compute import flow_description
from data.optical_flow.levels import RULES, check_bound
from data.optical_flow.parameters import Values
from data.store.index import Description, description_path, find_description, read_description

JPEG_QUALITY = 95
FRAMES, FLOW = "frames", "flow"


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


def recipe_of(root: Path) -> Recipe:
    """Returns the recipe by which the data set in `root` was prepared."""
    found = read_description(root)
    if found.get("method") == "unknown":
        raise ValueError(f"{root} holds flow of another tool, which alone can make it again.")
    return replace(Recipe.of(found), only="" if "method" in found else FRAMES)
