"""Where the files of a video lie: our layout, and those that other tools wrote, as patterns."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# How the pixels of a flow file become displacements: the rules of data/optical_flow/levels.py, and files of floats.
FLOATS = "floats"


class Filed(Protocol):
    """What a layout needs to know of a video; `Video` of data/catalog.py knows it."""

    @property
    def name(self) -> str:
        """Names the folder of its files,"""

    @property
    def stored(self) -> str:
        """unless another tool spelt that differently;"""

    @property
    def folder(self) -> str:
        """and the folder above it, empty for none."""


@dataclass(frozen=True)
class Layout:
    """Patterns below the root of a data set; files are numbered from `first`.

    A pattern knows `{folder}`, `{video}`, `{number}`, and `{next}`, the number after it. Everything up to the number is
    the `prefix` of a video. Frames are padded to `digits`, flow to `flow_digits`; 0 or 1 means no padding.
    """

    name: str
    frame: str = "rawframes/{folder}/{video}/img_{number}.jpg"
    flow_x: str = "rawframes/{folder}/{video}/flow_x_{number}.jpg"
    flow_y: str = "rawframes/{folder}/{video}/flow_y_{number}.jpg"
    # Backward flow, only where `prepare.py --backward` made it: from the frame after `{number}` back to `{number}`.
    back_x: str = "rawframes/{folder}/{video}/back_x_{number}.jpg"
    back_y: str = "rawframes/{folder}/{video}/back_y_{number}.jpg"
    digits: int = 5
    flow_digits: int = 5
    first: int = 1
    rule: str = "centred"  # "centred", "classic" or "floats"; see data/optical_flow/levels.py.

    @property
    def is_float(self) -> bool:
        """Tells whether flow lies in `.npy` files of `float[H, W, 2]` pixels, x and y together."""
        return self.rule == FLOATS

    def frame_path(self, root: Path, video: Filed, index: int) -> Path:
        """Returns where frame `index`, counted from 0, lies."""
        return self._path(self.frame, self.digits, root, video, index)

    def flow_paths(self, root: Path, video: Filed, index: int) -> tuple[Path, Path]:
        """Returns where the x and y parts of the flow from frame `index` to the next one lie."""
        x, y = (self._path(pattern, self.flow_digits, root, video, index) for pattern in (self.flow_x, self.flow_y))
        return x, y

    def prefix(self, pattern: str, root: Path, video: Filed) -> str:
        """Returns a pattern's path up to the number, which is all that a pipeline stores of a video."""
        below = pattern.split("{number}")[0].format(folder=video.folder or ".", video=video.stored or video.name)
        # A pattern may be absolute: frames that another tool extracted stay where they are. The name's stump after the
        # last slash may be empty, which joining paths would drop.
        folder, stump = below.rsplit("/", 1)
        return f"{root / folder}/{stump}"

    def with_patterns(self, changed: Callable[[str], str]) -> Layout:
        """Returns the layout with its patterns of frames and of forward flow changed."""
        frame, x, y = map(changed, (self.frame, self.flow_x, self.flow_y))
        return dataclasses.replace(self, frame=frame, flow_x=x, flow_y=y)

    def _path(self, pattern: str, digits: int, root: Path, video: Filed, index: int) -> Path:
        number, following = (f"{self.first + index + after:0{max(digits, 1)}d}" for after in (0, 1))
        return root / pattern.format(
            folder=video.folder or ".", video=video.stored or video.name, number=number, next=following
        )


OURS = Layout("rawframes")


def layout_path(root: Path) -> Path:
    """Returns where a data set says that its frames lie in another layout than ours."""
    return root / "layout.json"


def read_layout(root: Path) -> Layout:
    """Returns the layout of the data set in `root`: ours unless its `layout.json` says otherwise."""
    path = layout_path(root)
    if not path.exists():
        return OURS
    try:
        return Layout(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        fields = ", ".join(field.name for field in dataclasses.fields(Layout))
        raise ValueError(f"{path} can't be read as a layout ({error}). It is JSON with the fields {fields}.") from error
