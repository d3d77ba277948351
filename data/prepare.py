"""Turns the videos of a data set into frames and flow on disk, and an index of them.

Interrupted, the same command goes on where it stopped; run again, it does no work twice.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.progress import track

from commands.running import DATASETS, run, write_json
from data import shapes
from data.catalog import KNOWN, DataSet, Video, open_dataset
from data.extract import Recipe, extract_video, finished_row
from data.flow import METHODS
from data.index import READY, Row, index_path, read_index, with_counts, write_index
from data.layouts import frame_folder


def main(argv: Sequence[str] | None = None) -> None:
    """Prepares the data set that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("dataset", nargs="?", default="shapes", help=f"one of {', '.join(sorted(KNOWN))}")
    parser.add_argument("--root", type=Path, help="its folder; datasets/<data set> unless given")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that work side by side")
    parser.add_argument("--method", choices=METHODS, default=Recipe.method, help="how flow is computed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what became of the videos here too")
    options = parser.parse_args(argv)
    root = options.root or DATASETS / options.dataset
    rows = prepare(open_dataset(options.dataset, root), options.workers, Recipe(method=options.method))
    broken = [row for row in rows if row.state != READY]
    print(f"{len(rows)} videos: {len(rows) - len(broken)} ready, {len(broken)} broken (see {index_path(root)})")
    if options.json:
        write_json(
            options.json, {"ready": len(rows) - len(broken), "broken": {row.video: row.reason for row in broken}}
        )


def prepare(dataset: DataSet, workers: int = 2, recipe: Recipe | None = None) -> list[Row]:
    """Extracts the videos that are not extracted yet, and writes the index."""
    recipe = recipe or Recipe()
    dataset.root.mkdir(parents=True, exist_ok=True)
    _check_description(dataset.root, recipe)
    if dataset.name == "shapes":
        shapes.make_videos(dataset.root, workers=workers)
    rows, missing = [], []
    for video in dataset.videos.values():
        row = finished_row(frame_folder(dataset, video), video.name, video.folder)
        rows.append(row) if row else missing.append(video)
    if missing:
        results = track(_extract_all(dataset, missing, recipe, workers), "Frames and flow", total=len(missing))
        rows.extend(results)
    write_index(dataset.root, rows)
    return rows


def ready_dataset(name: str, root: Path | None) -> DataSet:
    """Returns a prepared data set with its counts; the built-in one is prepared where it is not, and this is said."""
    dataset = open_dataset(name, root or DATASETS / name)
    if name == "shapes":
        print(f"Using the built-in data set shapes in {dataset.root} (--dataset names another).", flush=True)
        if not _is_indexed(dataset):
            prepare(dataset, os.cpu_count() or 1)
    return with_counts(dataset)


def flow_description(root: Path) -> dict[str, Any]:
    """Returns what `flow.json` says of the flow in `root`."""
    path = root / "flow.json"
    if not path.exists():
        raise FileNotFoundError(f"{root} has no flow.json: its flow is not prepared. Run: python data/prepare.py")
    description: dict[str, Any] = json.loads(path.read_text())
    return description


def _is_indexed(dataset: DataSet) -> bool:
    return index_path(dataset.root).exists() and read_index(dataset.root).keys() >= dataset.videos.keys()


def _extract_all(dataset: DataSet, videos: Sequence[Video], recipe: Recipe, workers: int) -> Iterator[Row]:
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = [
            pool.submit(
                extract_video,
                dataset.root / "videos" / video.relative_path,
                frame_folder(dataset, video),
                video.name,
                video.folder,
                recipe,
            )
            for video in videos
        ]
        for future in as_completed(waiting):
            yield future.result()


def _check_description(root: Path, recipe: Recipe) -> None:
    """Refuses to mix flow of different kinds in one folder."""
    path, wanted = root / "flow.json", recipe.description()
    if not path.exists():
        write_json(path, wanted)
        return
    found = json.loads(path.read_text())
    differing = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    if differing:
        key = differing[0]
        raise ValueError(
            f"{root} holds flow made with {key} = {found.get(key)!r}; now it would be {wanted.get(key)!r}, and "
            "different flow never mixes. Delete its rawframes folder and flow.json, or name another --root."
        )


if __name__ == "__main__":
    run(main)
