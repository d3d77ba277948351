"""Turns the videos of a data set into frames and flow on disk, with an index.

After an interruption, run the same command to continue; finished videos are not prepared again.

./run prepare ucf101 --download
./run prepare my_clips --videos FOLDER
./run prepare ucf101 --pack --workers 16
"""

import argparse
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from commands.files import write_json, write_text
from commands.running import run
from data.catalog import DataSet, in_words
from data.extraction.all_videos import Work, merge_shards, prepare
from data.extraction.decoder import Bounds
from data.extraction.download import download
from data.extraction.older_layout import write_older_layout
from data.extraction.other_tools import Extraction, extracted_in, recognise, use_in_place
from data.optical_flow.engine import flow_engine
from data.prepare_options import preparing_parser
from data.ready import KNOWN, home_of, is_own, open_dataset, ready_dataset
from data.sets.cutting import LIST, cut_clips, rate_of, videos_below
from data.sets.folders import check_kept
from data.sets.mmaction_lists import write_lists
from data.sets.segments import read_segments
from data.store.description import FRAMES, INDEX, JPEG_QUALITY, Recipe
from data.store.index import BROKEN, MISSING, READY, Row, find_description, index_file


def main(argv: Sequence[str] | None = None) -> None:
    """Prepares the data set that the command line names."""
    parser = preparing_parser(__doc__ or "")
    options = parser.parse_args(argv)
    root: Path = options.root or home_of(options.dataset)
    if not options.frames:
        _check_videos(options.dataset, root, options.videos)
    if options.segments:
        _cut(options, root, parser)
    else:
        _link(root / "videos", options.videos)
    _link(root / "annotations", options.annotations)
    if options.download:
        _download(options.dataset, root)
    extraction = recognise(options.frames, options.layout) if options.frames else None
    if extraction:
        _link_own(options.dataset, root, extraction)
    dataset = open_dataset(options.dataset, root)
    if extraction:
        extraction = extraction.by_rule(options.rule)
        print(f"Using the frames in {options.frames} where they lie, in the layout {extraction.layout.name}.")
        rows = use_in_place(dataset, extraction)
    elif options.merge:
        rows = merge_shards(dataset, options.index)
    else:
        rows = prepare(dataset, recipe=_recipe(options, dataset, parser), work=_work(options, parser))
    _say(dataset, rows, options)
    if options.write_lists:
        for path in write_lists(ready_dataset(options.dataset, root)):
            print(f"Wrote {path}")
    if options.older_layout:
        print(write_older_layout(ready_dataset(options.dataset, root), options.older_layout))


def _cut(options: argparse.Namespace, root: Path, parser: argparse.ArgumentParser) -> None:
    """Makes the videos of the data set out of longer ones, whose segments are labelled."""
    if not options.videos:
        parser.error("--segments cuts the videos that --videos names.")
    if not is_own(options.dataset):
        parser.error(f"--segments makes a data set of your own: give it another name than {options.dataset}.")
    videos = videos_below(options.videos)
    segments = read_segments(options.segments, videos, rate_of)
    if (root / "videos").is_symlink() or ((root / "videos").exists() and not (root / "videos" / LIST).is_file()):
        raise ValueError(f"{root / 'videos'} exists already, and holds no cut clips. Pass another NAME or --root.")
    counts = cut_clips(videos, segments, root / "videos", with_nothing=options.with_nothing)
    print(f"Cut {counts.total():,} clips: {', '.join(f'{count:,} {label}' for label, count in counts.most_common())}.")
    check_kept(root)


def _download(name: str, root: Path) -> None:
    archives, how_to_get = (KNOWN[name].archives, KNOWN[name].how_to_get) if name in KNOWN else ((), "")
    if how_to_get:
        raise ValueError(f"There is no archive of {name} to download. {how_to_get.format(root=root)}")
    if not archives:
        published = ", ".join(name for name, known in KNOWN.items() if known.archives)
        raise ValueError(
            f"There is no archive of {name} to download; there is of {published}. "
            f"Put its lists into {root / 'annotations'} and its videos into {root / 'videos'}."
        )
    download(archives, root)


def _recipe(options: argparse.Namespace, dataset: DataSet, parser: argparse.ArgumentParser) -> Recipe:
    if options.backward and options.only == FRAMES:
        parser.error("--backward is about flow, and --only frames makes none.")
    if options.as_stored and options.only != INDEX:
        parser.error("--as-stored only goes with --only index: otherwise frames and flow are stored anyway.")
    if options.only == INDEX and options.method == "motion-vectors" and not dict(options.set).get("recode"):
        parser.error("Motion vectors need whole videos decoded: leave out --only index, or --set recode=True.")
    short_side, enlarge = _short_side(options, dataset)
    return Recipe(
        method=options.method,
        preset=options.preset,
        parameters=dict(options.set),
        bound=options.bound,
        short_side=None if options.size else short_side,
        enlarge=enlarge,
        size=options.size,
        fps=options.fps,
        every=options.every,
        step=options.step,
        backward=options.backward,
        # Only for tvl1, since looking for a GPU has to import TensorFlow.
        engine="cpu" if options.engine == "cpu" else _found_engine(options),
        jpeg_quality=None if options.only == INDEX and not options.as_stored else JPEG_QUALITY,
        only=options.only,
    )


def _short_side(options: argparse.Namespace, dataset: DataSet) -> tuple[int | None, bool]:
    """Returns the short side of frames, and whether smaller videos are enlarged to it: own ones only if asked for."""
    if options.short_side is not None or options.size or not is_own(dataset.name):
        return (dataset.short_side if options.short_side is None else options.short_side or None), True
    before = find_description(dataset.root)
    if "short_side" in before:  # An interrupted preparation continues with the same size.
        return before["short_side"], before.get("enlarge", True)
    print(
        f"Frames with a short side above {dataset.short_side} pixels are made smaller; others keep their size "
        "(--short-side N gives all videos the same)."
    )
    return dataset.short_side, False


def _found_engine(options: argparse.Namespace) -> str:
    return flow_engine(options.engine, options.method, options.preset, **dict(options.set)).name


def _work(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Work:
    if options.pack and (options.write_lists or options.older_layout):
        parser.error("--write-lists and --older-layout are for tools that read loose files; leave out --pack.")
    if options.pack and options.only == INDEX:
        parser.error("--only index stores no frames or flow that could be packed. Leave out --pack.")
    if options.only == INDEX and (options.write_lists or options.older_layout):
        parser.error("--write-lists and --older-layout are for tools that read stored files. Leave out --only index.")
    if options.limit and options.shard != (1, 1):
        parser.error("--limit and --shard exclude each other: a limited shard can't be merged.")
    return Work(
        workers=options.workers,
        cluster=options.cluster,
        tls=options.tls,
        shard=options.shard,
        limit=options.limit,
        time_limit=options.time_limit,
        check_space=not options.no_space_check,
        packed=options.pack,
        index=options.index,
        bounds=Bounds(None, round(options.most_megapixels * 1e6), options.most_frames),
    )


def _say(dataset: DataSet, rows: Sequence[Row], options: argparse.Namespace) -> None:
    """Sums up, leaves the lists that help further, and fails where that was asked for or nothing is ready."""
    states = Counter(row.state for row in rows)
    remarks = [row for row in rows if row.state == READY and row.reason]
    parts = [f"{states[state]:,} {state}" for state in (READY, BROKEN, MISSING) if states[state] or state == READY]
    parts += [f"{len(remarks):,} of them cut short"] if remarks else []
    summary = f"{len(rows):,} videos: {', '.join(parts)} (see {index_file(dataset.root)})"
    print(summary)
    missing = sorted(row.video for row in rows if row.state == MISSING)
    if missing and dataset.address:
        path = dataset.root / "missing.txt"
        write_text(path, "".join(f"{dataset.address}{name}\n" for name in missing))
        print(f"The addresses of those missing are in {path}, for: yt-dlp -a {quote(path)} -o '%(id)s.%(ext)s'")
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


def _link_own(name: str, root: Path, extraction: Extraction) -> None:
    """Links the metadata or class folders of extracted frames, so that their classes and splits are found."""
    if not is_own(name) or (root / "annotations").exists():
        return
    if (extraction.folder / "metadata" / "train.csv").is_file():
        _link(root / "annotations", extraction.folder / "metadata")
    elif not any(extraction.top.glob("*/*/")):
        raise ValueError(
            f"The videos in {extraction.folder} are not in folders by class, so their classes are unknown. Name the "
            f"data set that they are of, or list them in {root / 'annotations' / 'videos.csv'} (video,label,group,"
            f"split) and run: ./run prepare {in_words(name, root)} --frames {quote(extraction.folder)}"
        )
    elif not (root / "rawframes").exists():
        _link(root / "rawframes", extraction.top)


def _check_videos(name: str, root: Path, videos: Path | None) -> None:
    """Refuses a folder of frames and flow of another tool in the place of videos."""
    if videos is None and (find_description(root) or (root / "videos").exists()):
        return
    extraction = extracted_in(videos or root)
    if extraction:
        raise ValueError(
            f"{extraction.folder} holds frames and flow that another tool extracted (layout {extraction.layout.name}), "
            f"and no videos. Run: ./run prepare {in_words(name, root)} --frames {quote(extraction.folder)}"
        )


def quote(path: Path) -> str:
    """Returns a path as it is typed on a command line."""
    return shlex.quote(str(path))


def _link(place: Path, target: Path | None) -> None:
    """Makes `place` a link to the folder that the user named, so that later commands find it."""
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


if __name__ == "__main__":
    run(main)
