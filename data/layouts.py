"""Where frames and flow lie: ours, which is also that of the field's other tools."""

from dataclasses import dataclass
from pathlib import Path

from data.catalog import DataSet, Video


@dataclass(frozen=True)
class Layout:
    """How the files of a video are named, counted from `first`; `{number}` is padded to `digits`."""

    name: str
    frame: str = "rawframes/{folder}/{video}/img_{number}.jpg"
    flow_x: str = "rawframes/{folder}/{video}/flow_x_{number}.jpg"
    flow_y: str = "rawframes/{folder}/{video}/flow_y_{number}.jpg"
    digits: int = 5
    first: int = 1

    def frame_path(self, root: Path, video: Video, index: int) -> Path:
        """Returns where frame `index`, counted from 0, lies."""
        return self._path(self.frame, root, video, index)

    def flow_paths(self, root: Path, video: Video, index: int) -> tuple[Path, Path]:
        """Returns where the x and y parts of the flow from frame `index` to the next one lie."""
        return self._path(self.flow_x, root, video, index), self._path(self.flow_y, root, video, index)

    def prefix(self, pattern: str, root: Path, video: Video) -> str:
        """Returns a pattern's path up to the number, which is all that a pipeline stores of a video."""
        below = pattern.split("{number}")[0].format(folder=video.folder, video=video.name)
        return f"{root}/{below}".replace("//", "/")

    def _path(self, pattern: str, root: Path, video: Video, index: int) -> Path:
        number = f"{self.first + index:0{self.digits}d}"
        return root / pattern.format(folder=video.folder or ".", video=video.name, number=number)


OURS = Layout("rawframes")


def frame_folder(dataset: DataSet, video: Video) -> Path:
    """Returns the folder that holds the frames and the flow of a video in our layout."""
    return dataset.root / "rawframes" / video.relative_folder
