"""Turns the videos of a data set into frames and flow on disk, and an index of them.

Interrupted, the same command goes on where it stopped; run again, it does no work twice.
"""

import argparse
import contextlib
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.files import write_json, write_text
from commands.options import positive
from commands.running import run, usable_processors
from data.catalog import DataSet
from data.download import download
from data.flow import ENGINES, METHODS, flow_engine
from data.flow_parameters import bound_in_pixels, named_value
from data.foreign import AUTO, LAYOUTS, recognise, use_in_place
from data.index import BROKEN, MISSING, READY, Row, index_path
from data.known_sets import BUILT_IN, KNOWN, home_of, is_own, open_dataset
from data.mmaction_lists import write_lists
from data.preparation import Work, merge_shards, prepare
from data.ready import flow_description, ready_dataset
from data.recipe import FLOW, FRAMES, Recipe

__all__ = ["flow_description", "main", "prepare", "ready_dataset"]


def main(argv: Sequence[str] | None = None) -> None:
    """Prepares the data set that the command line names."""
    parser = _parser()
    options = parser.parse_args(argv)
    root: Path = options.root or home_of(options.dataset)
    _link(root / "videos", options.videos)
    _link(root / "annotations", options.annotations)
    if options.download:
        _download(options.dataset, root)
    if options.frames:
        _link_own(options.dataset, root, options.frames)
    dataset = open_dataset(options.dataset, root)
    if options.frames:
        extraction = recognise(options.frames, options.layout)
        print(f"Using the frames in {options.frames} where they lie, in the layout {extraction.layout.name}.")
        rows = use_in_place(dataset, extraction)
    elif options.merge:
        rows = merge_shards(dataset)
    else:
        rows = prepare(dataset, recipe=_recipe(options, dataset, parser), work=_work(options, parser))
    _say(dataset, rows, options)
    if options.write_lists:
        for path in write_lists(ready_dataset(options.dataset, root)):
            print(f"Wrote {path}")


def _download(name: str, root: Path) -> None:
    archives = KNOWN[name].archives if name in KNOWN else ()
    if not archives:
        published = ", ".join(name for name, known in KNOWN.items() if known.archives)
        raise ValueError(
            f"There is no archive of {name} to download; there is of {published}. "
            f"Put its lists into {root / 'annotations'} and its videos into {root / 'videos'}."
        )
    download(archives, root)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add(
        "dataset", nargs="?", default=BUILT_IN, help=f"{', '.join(KNOWN)}, or a name of your own (default: %(default)s)"
    )
    add("--root", type=Path, help="its folder (default: datasets/<data set>)")
    add("--videos", type=Path, metavar="FOLDER", help="where the videos are (default: <root>/videos)")
    add("--annotations", type=Path, metavar="FOLDER", help="where the lists are (default: <root>/annotations)")
    add("--download", action="store_true", help="fetch what is missing from where its authors publish it")
    add("--frames", type=Path, metavar="FOLDER", help="frames and flow that another tool extracted, used in place")
    add("--layout", choices=(AUTO, *LAYOUTS), default=AUTO, help="of --frames (default: auto, by their names)")
    add("--write-lists", action="store_true", help="write the lists that mmaction2 reads, too")
    made = parser.add_argument_group("what is made")
    made.add_argument("--only", choices=(FRAMES, FLOW), default="", help="one of the two (default: both)")
    made.add_argument("--method", choices=METHODS, default=Recipe.method, help="of flow (default: %(default)s)")
    made.add_argument("--preset", default=Recipe.preset, help="of the method (default: %(default)s)")
    made.add_argument(
        "--set",
        action="append",
        type=named_value,
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of it; again for more",
    )
    made.add_argument(
        "--bound", type=bound_in_pixels, default=Recipe.bound, help="pixels of flow kept (default: %(default)s)"
    )
    made.add_argument("--step", type=positive, default=1, help="flow to the frame so many later (default: 1)")
    made.add_argument("--backward", action="store_true", help="store flow back to the frame before, too")
    sizes = made.add_mutually_exclusive_group()
    sizes.add_argument("--short-side", type=_not_negative, metavar="N", help="of frames; 0 keeps it (default: 256)")
    sizes.add_argument("--size", type=_size, metavar="WxH", help="of frames, whatever the shape of the video")
    some = made.add_mutually_exclusive_group()
    some.add_argument("--fps", type=_rate, help="frames a second to keep (default: all)")
    some.add_argument("--every", type=positive, default=1, metavar="N", help="keep one frame in N (default: 1)")
    made.add_argument("--limit", type=positive, default=0, metavar="N", help="prepare N videos, spread over the lists")
    done = parser.add_argument_group("how the work is done")
    done.add_argument("--workers", type=positive, default=usable_processors(), help="processes (default: %(default)s)")
    done.add_argument("--engine", choices=ENGINES, default="auto", help="of tvl1 flow (default: a GPU if there is one)")
    done.add_argument("--cluster", default="", metavar="ADDRESS", help="of a Dask scheduler, as tcp://host:8786")
    done.add_argument("--shard", type=_shard, default=(1, 1), metavar="I/N", help="part I of N, for machines apart")
    done.add_argument("--pack", action="store_true", help="store one archive a video instead of loose files")
    done.add_argument("--merge", action="store_true", help="make one index of those of all shards")
    done.add_argument(
        "--time-limit",
        type=float,
        default=Work.time_limit,
        help="seconds a decoder may take for a frame (default: 300)",
    )
    done.add_argument("--no-space-check", action="store_true", help="go on though the disk seems too small")
    add("--strict", action="store_true", help="fail when any video is broken, missing or short")
    add("--json", type=Path, metavar="FILE", help="write what became of the videos here too")
    return parser


def _recipe(options: argparse.Namespace, dataset: DataSet, parser: argparse.ArgumentParser) -> Recipe:
    if options.backward and options.only == FRAMES:
        parser.error("--backward is about flow, and --only frames makes none.")
    short_side = dataset.short_side if options.short_side is None else options.short_side or None
    return Recipe(
        method=options.method,
        preset=options.preset,
        parameters=dict(options.set),
        bound=options.bound,
        short_side=None if options.size else short_side,
        size=options.size,
        fps=options.fps,
        every=options.every,
        step=options.step,
        backward=options.backward,
        # Only tvl1 is looked up, since finding a GPU takes importing TensorFlow.
        engine="cpu" if options.engine == "cpu" else _found_engine(options),
        only=options.only,
    )


def _found_engine(options: argparse.Namespace) -> str:
    return flow_engine(options.engine, options.method, options.preset, **dict(options.set)).name


def _work(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Work:
    if options.pack and options.write_lists:
        parser.error("--write-lists is for tools that read loose files; leave out --pack.")
    if options.limit and options.shard != (1, 1):
        parser.error("--limit and --shard exclude each other: a limited shard can't be merged.")
    return Work(
        workers=options.workers,
        cluster=options.cluster,
        shard=options.shard,
        limit=options.limit,
        time_limit=options.time_limit,
        check_space=not options.no_space_check,
        packed=options.pack,
    )


def _say(dataset: DataSet, rows: Sequence[Row], options: argparse.Namespace) -> None:
    """Sums up, leaves the lists that help further, and fails where that was asked for or nothing is ready."""
    states = Counter(row.state for row in rows)
    remarks = [row for row in rows if row.state == READY and row.reason]
    parts = [f"{states[state]:,} {state}" for state in (READY, BROKEN, MISSING) if states[state] or state == READY]
    parts += [f"{len(remarks):,} of them cut short"] if remarks else []
    summary = f"{len(rows):,} videos: {', '.join(parts)} (see {index_path(dataset.root)})"
    print(summary)
    missing = sorted(row.video for row in rows if row.state == MISSING)
    if missing and dataset.address:
        path = dataset.root / "missing.txt"
        write_text(path, "".join(f"{dataset.address}{name}\n" for name in missing))
        print(
            f"The addresses of those missing are in {path}, for: yt-dlp -a {shlex.quote(str(path))} -o '%(id)s.%(ext)s'"
        )
    if dataset.left_out:
        path = dataset.root / "left_out.txt"
        write_text(path, "".join(f"{name}\t{reason}\n" for name, reason in sorted(dataset.left_out.items())))
        print(f"{len(dataset.left_out):,} rows of the lists are not used; {path} says why.")
    if options.json:
        reasons = {row.video: row.reason for row in rows if row.reason}
        write_json(options.json, {**{state: states[state] for state in (READY, BROKEN, MISSING)}, "reasons": reasons})
    if not states[READY]:
        raise ValueError(f"No video is ready. The first reason: {rows[0].reason}" if rows else "There are no videos.")
    if options.strict and (len(rows) > states[READY] or remarks):
        raise ValueError(f"--strict: {summary}")


def _link_own(name: str, root: Path, frames: Path) -> None:
    """Lets the classes and splits of own frames be found: in their metadata, or as folders of classes."""
    if not is_own(name) or (root / "annotations").exists():
        return
    if (frames / "metadata").is_dir():
        _link(root / "annotations", frames / "metadata")
    elif not (root / "rawframes").exists():
        _link(root / "rawframes", frames / "rawframes" if (frames / "rawframes").is_dir() else frames)


def _link(place: Path, target: Path | None) -> None:
    """Lets `place` lead to the folder that the user named, so that later commands need not be told."""
    if target is None or (place.exists() and place.resolve() == target.resolve()):
        return
    if not target.is_dir():
        raise FileNotFoundError(f"{target} is not a folder.")
    if place.is_symlink():
        place.unlink()
    elif place.exists():
        raise ValueError(f"{place} exists already. Move it away to use {target}, or leave the option out to use it.")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target.resolve(), target_is_directory=True)


def _not_negative(word: str) -> int:
    return 0 if word == "0" else positive(word)


def _rate(word: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (rate := float(word)) < 10_000:
            return rate
    raise argparse.ArgumentTypeError(f"{word} is not a number of frames a second")


def _size(word: str) -> tuple[int, int]:
    return _two(word, "x", "a size is written as WIDTHxHEIGHT, like 340x256")


def _shard(word: str) -> tuple[int, int]:
    number, count = _two(word, "/", "a part is written as I/N, like 1/4 for the first of four")
    if number > count:
        raise argparse.ArgumentTypeError(f"{word}: the parts of {count} are 1 to {count}")
    return number, count


def _two(word: str, between: str, form: str) -> tuple[int, int]:
    """Returns two numbers with a mark between them."""
    first, _, second = word.partition(between)
    try:
        return positive(first), positive(second)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{form}; received {word}") from error


if __name__ == "__main__":
    run(main)
