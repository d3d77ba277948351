"""Packs the frames and flow of each video into one archive, or unpacks them again.

./run pack ucf101            # 13,320 files instead of five million
./run pack ucf101 --unpack   # loose files again, for other tools

Training and testing read both forms at the same speed. After an interruption, run the same command to continue.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from rich.progress import track

from commands.files import locked, write_json
from commands.options import Parser
from commands.running import run
from data.catalog import HALF_PACKED, OURS, PACKED, DataSet, layout_path
from data.ready import BUILT_IN, KNOWN, home_of, open_dataset
from data.store.index import with_counts
from data.store.whole_folder import check_stored, pack_video, unpack_video


def main(argv: Sequence[str] | None = None) -> None:
    """Packs or unpacks the data set that the command line names."""
    parser = Parser(__doc__)
    parser.add_argument(
        "dataset", nargs="?", default=BUILT_IN, metavar="NAME", help=f"one of {', '.join(sorted(KNOWN))}"
    )
    parser.add_argument("--root", type=Path, metavar="FOLDER", help="its folder (default: datasets/<data set>)")
    parser.add_argument("--unpack", action="store_true", help="turn the archives back into loose files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result to this file")
    options = parser.parse_args(argv)
    root = options.root or home_of(options.dataset)
    with locked(root):
        dataset = with_counts(open_dataset(options.dataset, root))
        count = unpack(dataset) if options.unpack else pack(dataset)
    form = "loose files" if options.unpack else "archives"
    print(f"The {count} videos of {dataset.name} are now {form}, in {root}.")
    if options.json:
        write_json(options.json, {"videos": count, "packed": not options.unpack})


def pack(dataset: DataSet) -> int:
    """Packs every prepared video of a data set; returns how many there are."""
    if dataset.layout.name not in (OURS.name, PACKED, HALF_PACKED):
        raise ValueError(
            f"Only data that ./run prepare made can be packed. {dataset.root} has the layout {dataset.layout.name}."
        )
    videos = [video for video in dataset.videos.values() if video.num_frames or video.num_flows]
    check_stored(dataset, videos)  # Before anything changes: an error here leaves the data set as it was.
    write_json(layout_path(dataset.root), {"name": HALF_PACKED})
    for video in track(videos, "Packing"):
        pack_video(dataset, video)
    write_json(layout_path(dataset.root), {"name": PACKED})
    return len(videos)


def unpack(dataset: DataSet) -> int:
    """Unpacks every archive of a data set into loose files; returns how many videos there are."""
    videos = [video for video in dataset.videos.values() if video.num_frames or video.num_flows]
    if dataset.layout.name in (PACKED, HALF_PACKED):
        check_stored(dataset, videos)
        write_json(layout_path(dataset.root), {"name": HALF_PACKED})
        for video in track(videos, "Unpacking"):
            unpack_video(dataset, video)
        layout_path(dataset.root).unlink()
    return len(videos)


if __name__ == "__main__":
    run(main)
