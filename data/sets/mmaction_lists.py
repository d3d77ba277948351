"""Writes lists of rawframes for mmaction2; each line has a folder, its number of files, and the labels."""

from pathlib import Path

from commands.files import write_text
from data.catalog import DataSet

# The names that mmaction2 uses for the parts.
PARTS = {"train": "train", "test": "val"}


def write_lists(dataset: DataSet) -> list[Path]:
    """Writes a list for each split, part and kind of file, and returns their paths.

    Flow has lists of its own because N frames have only N-1 flow fields.
    """
    written = []
    for number in dataset.splits:
        for part, called in PARTS.items():
            for kind in ("rawframes", "flow"):
                lines = []
                for video in dataset.part(number, part):
                    count = video.num_frames if kind == "rawframes" else video.num_flows
                    folder = "/".join(filter(None, (video.folder, video.stored or video.name)))
                    if count:
                        lines.append(" ".join([folder, str(count), *map(str, video.labels)]))
                path = dataset.root / "mmaction2" / f"{dataset.name}_{called}_split_{number}_{kind}.txt"
                write_text(path, "".join(f"{line}\n" for line in lines))
                written.append(path)
    return written
