"""Records in `flow.json` how frames and flow were made, so that different ones are never mixed in one folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from commands.files import write_json
from data.catalog import VIDEOS, read_layout
from data.optical_flow.compute import UNKNOWN, flow_description
from data.optical_flow.levels import check_bound
from data.optical_flow.parameters import Values
from data.store.index import Description, description_path, find_description, read_description

# At 95, JPEG adds 0.002 px to the error of flow, a tenth of what its 256 levels add, and halves the size of PNG.
JPEG_QUALITY = 95
FRAMES, FLOW, INDEX = "frames", "flow", "index"
_MOST_SIDE = 16_384  # The most pixels of a frame's side.


@dataclass(frozen=True)
class Recipe:
    """The settings that determine how frames and flow are made from a video."""

    method: str = "tvl1"
    preset: str = "balanced"
    parameters: Values = field(default_factory=dict)  # These replace the preset's values.
    bound: float = 20.0
    rule: str = "centred"
    short_side: int | None = None  # If this and `size` are None, frames keep the size of the video.
    enlarge: bool = True  # Whether videos with a smaller short side are enlarged to it.
    size: tuple[int, int] | None = None  # Width and height.
    usual_size: tuple[int, int] | None = None  # The commonest frame size, if videos keep their size and it is known.
    fps: float | None = None  # Frames to keep per second; None keeps all that `every` keeps.
    every: int = 1  # Keeps one frame in `every`.
    step: int = 1  # Flow leads from each kept frame to the one `step` kept frames later.
    backward: bool = False  # Whether backward flow is stored too.
    engine: str = "cpu"  # Or "gpu", whose flow is the same to a hundredth of a pixel, but not bit for bit.
    jpeg_quality: int | None = JPEG_QUALITY  # None: frames and flow don't go through JPEG, so they lose nothing.
    only: str = ""  # "frames" or "flow" makes only these, "index" makes neither; empty means both.

    def __post_init__(self) -> None:
        check_bound(self.bound)

    @classmethod
    def of(cls, description: Mapping[str, object]) -> "Recipe":
        """Returns the recipe in a description. Unknown entries are ignored, and missing ones get their defaults."""
        known: dict[str, Any] = {each.name: description[each.name] for each in fields(cls) if each.name in description}
        for name in ("size", "usual_size"):
            known[name] = tuple(known[name]) if known.get(name) else None
        return cls(**known)

    def check(self) -> None:
        """Raises ValueError for impossible settings."""
        sizes = (self.short_side, *(self.size or ()), *(self.usual_size or ()))
        if any(side is not None and not 1 <= side <= _MOST_SIDE for side in sizes):
            raise ValueError(f"its frames have sides of {sizes}; expected 1 to {_MOST_SIDE} pixels")
        if self.jpeg_quality not in (None, JPEG_QUALITY):
            raise ValueError(f"its frames are JPEGs of quality {self.jpeg_quality}; expected {JPEG_QUALITY} or none")
        if any(len(size) != 2 for size in (self.size, self.usual_size) if size is not None):
            raise ValueError("the size of its frames is not two numbers")
        if self.every < 1 or not 1 <= self.step <= _MOST_SIDE or not (self.fps is None or 0 < self.fps < 10_000):
            raise ValueError(f"it takes {self.fps} frames a second, one in {self.every}, with a step of {self.step}")
        if self.method != "unknown":
            flow_description(self.method, self.preset, self.bound, self.rule, **self.parameters)

    def description(self) -> Description:
        """Returns the settings that all videos of a data set must share."""
        frames: Description = {
            "short_side": self.short_side,
            "enlarge": self.enlarge,
            "size": list(self.size) if self.size else None,
            "fps": self.fps,
            "every": self.every,
            "jpeg_quality": self.jpeg_quality,
        }
        if self.only == FRAMES:
            return frames
        made_by = flow_description(self.method, self.preset, self.bound, self.rule, **self.parameters)
        return {**made_by, "step": self.step, "backward": self.backward, "engine": self.engine, **frames}

    def keep(self, root: Path) -> None:
        """Writes the settings to `root`/flow.json; raises ValueError if the folder holds data made with others."""
        found, wanted = dict(find_description(root)), dict(self.description())
        if "short_side" in found:
            found.setdefault("enlarge", True)  # Older versions did.
        if "method" in found:
            found.setdefault("engine", "cpu")
        # The order of `wanted` puts the method first, so the error names the cause rather than a consequence.
        differing = [key for key in wanted if key in found and wanted[key] != found[key]]
        if differing:
            key = differing[0]
            raise ValueError(
                f"{root} holds frames or flow made with {key} = {found[key]!r}, and this command asks for "
                f"{wanted[key]!r}. They must not mix. Ask for the same as before, name another --root, or delete "
                "rawframes and flow.json there."
            )
        if wanted.keys() - found.keys():
            write_json(description_path(root), {**wanted, **found})


def recipe_of(root: Path) -> Recipe:
    """Returns the recipe that the data set in `root` was prepared with."""
    found = read_description(root)
    if found.get("method") == UNKNOWN:
        raise ValueError(f"{root} holds flow that another tool made; only that tool can make it again.")
    only = INDEX if read_layout(root).name == VIDEOS else "" if "method" in found else FRAMES
    return replace(Recipe.of(found), only=only)
