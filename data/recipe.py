"""How frames and flow are made of videos: what `flow.json` records, so that different ones never mix in a folder."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands.files import write_json
from data import flow
from data.catalog import in_words
from data.flow_levels import check_bound

JPEG_QUALITY = 95
FRAMES, FLOW = "frames", "flow"


@dataclass(frozen=True)
class Recipe:
    """How frames and flow are made."""

    method: str = "tvl1"
    preset: str = "balanced"
    parameters: Mapping[str, Any] = field(default_factory=dict)  # Of the method, instead of its preset's.
    bound: float = 20.0
    short_side: int | None = None  # Without this and `size`, frames keep the size of the video.
    size: tuple[int, int] | None = None  # Width and height.
    fps: float | None = None  # Frames a second to keep; all without it and `every`.
    every: int = 1  # One in how many frames to keep.
    step: int = 1  # Flow is from each frame to the one so many kept frames later.
    backward: bool = False  # Whether flow back is stored, too.
    engine: str = "cpu"  # Or "gpu", which agrees with it to a hundredth of a pixel, yet not to the bit.
    only: str = ""  # "frames" or "flow"; both without it.

    def __post_init__(self) -> None:
        check_bound(self.bound)

    def description(self) -> dict[str, Any]:
        """Returns what must be the same for all that lies in a data set."""
        frames = {
            "short_side": self.short_side,
            "size": list(self.size) if self.size else None,
            "fps": self.fps,
            "every": self.every,
            "jpeg_quality": JPEG_QUALITY,
        }
        if self.only == FRAMES:
            return frames
        made_by = flow.flow_description(bound=self.bound, **self.choice)
        return {**made_by, "step": self.step, "backward": self.backward, "engine": self.engine, **frames}

    @property
    def choice(self) -> dict[str, Any]:
        """Returns how flow is computed, as the functions of data/flow.py take it."""
        return {"method": self.method, "preset": self.preset, **self.parameters}

    @property
    def flows_a_frame(self) -> int:
        """How many flow files there are for one field: x and y, forward and perhaps backward."""
        return 4 if self.backward else 2

    def keep(self, root: Path) -> None:
        """Records in `root`/flow.json how frames and flow are made; refuses where others lie there already."""
        path, wanted = description_path(root), self.description()
        found = read_description(root) if path.exists() else {}
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
            write_json(path, {**wanted, **found})


def description_path(root: Path) -> Path:
    """Returns where it is written how the frames and the flow of a data set were made."""
    return root / "flow.json"


def read_description(root: Path) -> dict[str, Any]:
    """Returns what `flow.json` says of the frames and the flow in `root`."""
    path = description_path(root)
    if not path.exists():
        raise FileNotFoundError(
            f"{root} has no flow.json: it is not prepared. Run: python data/prepare.py {in_words(root.name, root)}"
        )
    try:
        description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}). Delete it and prepare again.") from error
    return description


def recipe_of(root: Path) -> Recipe:
    """Returns the recipe by which the data set in `root` was prepared."""
    found = read_description(root)
    if found.get("method") == "unknown":
        raise ValueError(f"{root} holds flow of another tool, which alone can make it again.")
    known = {field.name: found[field.name] for field in dataclasses.fields(Recipe) if field.name in found}
    size = known.get("size")
    return Recipe(**{**known, "size": tuple(size) if size else None, "only": "" if "method" in found else FRAMES})
