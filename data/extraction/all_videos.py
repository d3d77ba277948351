"""Prepares the frames, flow and index of a data set. Finished videos are kept as they are."""

import dataclasses
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from commands.files import locked, owner, share, sweep
from commands.running import usable_processors
from commands.waiting import Now
from data.catalog import OURS, DataSet, Video, read_layout
from data.extraction.decoder import USUAL, Bounds
from data.extraction.disk_space import Space
from data.extraction.limited import few_videos, too_few
from data.extraction.one_video import Job, broken_row, extract_video, finished_row
from data.extraction.own_process import KilledError, LostError
from data.extraction.video_files import find_sources
from data.extraction.workers import run_jobs
from data.optical_flow.engine import flow_engine
from data.optical_flow.gpu_service import flow_process
from data.store.description import FRAMES, INDEX, Recipe
from data.store.index import MISSING, READY, STOPPED, Row, index_path, is_indexed, read_index, shard_path, write_index
from data.store.mapped_writer import AS_FITS, keep_index
from data.store.whole_folder import begin_indexing, begin_storing, end_storing


@dataclass(frozen=True)
class Work:
    """The options of the work: workers, share of the videos, form of storage. None of them changes pixels or flow."""

    workers: int = usable_processors()
    cluster: str = ""  # The address of a Dask scheduler; empty means workers on this machine.
    tls: Path | None = None  # The folder of the scheduler's certificate and key.
    shard: tuple[int, int] = (1, 1)  # Number of this machine, from 1, and number of machines.
    limit: int = 0  # The number of videos, equally many of each class. 0 means all.
    names: frozenset[str] = frozenset()  # The videos to prepare. If empty, all.
    time_limit: float = 300.0  # A decoder that returns no frame for this many seconds counts as hung.
    check_space: bool = True
    bounds: Bounds = USUAL  # Larger and longer videos count as broken.
    packed: bool = False  # Stores one archive per video instead of loose files.
    index: str = AS_FITS  # One of mapped_writer.FORMS.
    extract: Callable[[Job, Callable[[], None]], Row] = extract_video  # The function that processes one video.


def prepare(dataset: DataSet, workers: int = 2, recipe: Recipe | None = None, work: Work | None = None) -> list[Row]:
    """Extracts all videos that are not finished yet, writes the index, and returns the rows of the videos."""
    work = work or Work(workers)
    recipe = recipe or Recipe(short_side=dataset.short_side)
    dataset.root.mkdir(parents=True, exist_ok=True)
    _begin(dataset, recipe, work.packed)
    if dataset.make_videos:
        Now.doing = f"Drawing the videos of {dataset.name}"
        dataset.make_videos(dataset.root, work.workers)
    Now.doing = f"Looking for the videos of {dataset.name}, and for what is finished"
    sources = find_sources(dataset, dataset.root / "videos")
    recipe.keep(dataset.root)
    if dataset.keep_list:
        dataset.keep_list(dataset)
    jobs = _jobs(dataset, sources, recipe, work)
    _sweep(dataset.root, jobs)
    rows, waiting = _what_is_there(dataset, jobs)
    able = [job for job in waiting if _is_able(job)]
    if rows and able:
        print(f"{len(rows):,} of {len(jobs):,} videos are finished; going on with the others.", flush=True)
    if not sources and not able and len(waiting) == len(jobs):
        raise FileNotFoundError(
            f"None of the {len(jobs):,} videos of {dataset.name} is in {dataset.root / 'videos'}. Put them there, in "
            "class folders or in one folder, or name their folder with --videos."
        )
    absent = (job for job in waiting if not _is_able(job))
    rows += [Row(job.name, job.parent, state=MISSING, reason="There is no file.") for job in absent]
    try:
        rows += _extract_all(able, work, dataset.root)
    finally:
        _sweep(dataset.root, jobs)
    left = [row for row in rows if row.state == STOPPED]
    rows = [row for row in rows if row.state != STOPPED]
    _write(dataset, rows, work)
    if left:
        raise _left_over(left)
    if work.shard == (1, 1):
        end_storing(dataset.root, _folders(dataset))
    return rows


def _begin(dataset: DataSet, recipe: Recipe, packed: bool) -> None:
    """Shares the data set with its readers, and records how its files are stored."""
    share(dataset.root)
    if recipe.only == INDEX:
        begin_indexing(dataset.root)
        return
    if packed and read_layout(dataset.root).name == OURS.name:
        with locked(dataset.root):  # Nobody may be reading loose files that are about to be packed.
            begin_storing(dataset.root, dataset.name, packed=True)
    begin_storing(dataset.root, dataset.name, packed=packed)


def merge_shards(dataset: DataSet, form: str = AS_FITS) -> list[Row]:
    """Merges the indexes of all shards into one; raises ValueError if a video is in none of them or in two."""
    paths = sorted(dataset.root.glob("index.*-of-*.csv"))
    numbers = [re.fullmatch(r"index\.(\d+)-of-(\d+)\.csv", path.name) for path in paths]
    found = [(int(match[1]), int(match[2])) for match in numbers if match]
    counts = {count for _, count in found}
    if len(counts) != 1 or {number for number, _ in found} != set(range(1, 1 + max(counts))):
        names = ", ".join(path.name for path in paths) or "none"
        raise ValueError(
            f"Merging needs the indexes of all shards 1/N to N/N, with one N, in {dataset.root}. Found: {names}. "
            "Run the missing shards with --shard, and delete indexes with another N."
        )
    rows: dict[str, Row] = {}
    for path in paths:
        for row in read_index(path).values():
            if row.video in rows:
                raise ValueError(f"{row.video} is in two shards; the second is {path.name}. Prepare that shard again.")
            rows[row.video] = row
    absent = [name for name in dataset.videos if name not in rows]
    if absent:
        raise ValueError(f"{len(absent):,} videos are in no shard, for example {absent[0]}. Prepare the shards again.")
    keep_index(dataset, rows.values(), form)
    end_storing(dataset.root, _folders(dataset))
    return list(rows.values())


def _is_able(job: Job) -> bool:
    # A finished folder that only has to be packed needs no video file.
    return job.source is not None or (job.packed and job.folder.is_dir())


def _folders(dataset: DataSet) -> Iterator[Path]:
    return (dataset.frame_folder(video) for video in dataset.videos.values())


def _jobs(dataset: DataSet, sources: dict[str, Path], recipe: Recipe, work: Work) -> list[Job]:
    run = f"{owner()}-{uuid.uuid4().hex[:8]}"
    return [
        Job(
            sources.get(video.name),
            dataset.frame_folder(video),
            video.name,
            video.folder,
            recipe,
            bounds=work.bounds,
            packed=work.packed,
            run=run,
        )
        for video in _chosen(dataset, sources, work)
    ]


def _chosen(dataset: DataSet, sources: Mapping[str, Path], work: Work) -> Sequence[Video]:
    """Returns the videos of this shard, or those that are named, or a few of the existing ones, equally by class."""
    if work.names:
        return [video for name, video in dataset.videos.items() if name in work.names]
    if work.limit:
        ready = [row.video for row in _earlier(dataset.root).values() if row.state == READY]
        chosen = few_videos(dataset, {*sources, *ready}, work.limit)
        if warning := too_few(dataset, chosen):
            print(f"Note: {warning}", flush=True)
        return chosen
    number, count = work.shard
    return list(dataset.videos.values())[number - 1 :: count]


def _what_is_there(dataset: DataSet, jobs: Sequence[Job]) -> tuple[list[Row], list[Job]]:
    """Returns the rows of the finished videos and the jobs of all others."""
    # The index is written only after all files are safely on the disk. The files of videos that it does not name are
    # checked, since a power failure may have emptied some.
    vouched = _earlier(dataset.root)
    rows, waiting = [], []
    for job in jobs:
        row = finished_row(job, check_files=job.name not in vouched)
        rows.append(row) if row else waiting.append(job)
    return rows, waiting


def _earlier(root: Path) -> Mapping[str, Row]:
    """Returns the rows of the index that there is."""
    return read_index(index_path(root)) if is_indexed(root) else {}


def _extract_all(jobs: Sequence[Job], work: Work, root: Path) -> Iterator[Row]:
    if not jobs:
        return
    columns = (
        TextColumn("Index" if jobs[0].recipe.only == INDEX else "Frames and flow"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    Now.doing = "Preparing videos: the kernels of optical flow come first, compiled once on this machine"
    space = Space(jobs, root)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(*columns))
        address = stack.enter_context(_flow_service(jobs[0].recipe, work))
        task = progress.add_task("", total=len(jobs), rate="")
        outcomes = run_jobs(
            work.extract,
            [dataclasses.replace(job, flow_service=address) for job in jobs],
            workers=min(work.workers, len(jobs)),
            cluster=work.cluster,
            time_limit=work.time_limit,
            tls=work.tls,
        )
        for job, outcome in stack.enter_context(closing(outcomes)):
            row = _lost_row(job, outcome) if isinstance(outcome, LostError) else outcome
            if row.state == STOPPED and not isinstance(outcome, LostError):
                raise OSError(f"{row.reason}, then run the same command again; finished videos are kept.")
            if work.check_space and space.counts(job, row):
                progress.console.print(space.estimate())
            Now.doing = f"Preparing videos: {1 + int(progress.tasks[task].completed):,} of {len(jobs):,}"
            speed = progress.tasks[task].finished_speed or progress.tasks[task].speed
            progress.update(task, advance=1, rate=f"{speed:.1f} videos/s" if speed else "")
            yield row


def _lost_row(job: Job, error: LostError) -> Row:
    """Returns the row of a video without a result. If its process was killed, the video is left over, not broken."""
    if isinstance(error, KilledError):
        return Row(job.name, job.parent, state=STOPPED, reason=str(error))
    return broken_row(job, str(error))


def _left_over(rows: Sequence[Row]) -> RuntimeError:
    return RuntimeError(
        f"{len(rows)} videos are left over, such as {rows[0].video}: the processes that worked on them were killed, "
        "by the system if memory ran out. All others are finished. Run the same command again to prepare these, "
        "with fewer --workers if memory is short."
    )


def _flow_service(recipe: Recipe, work: Work) -> AbstractContextManager[str]:
    """Starts the process that computes flow on a GPU for all workers; gives its address, or "" if there is no GPU."""
    if (
        recipe.engine != "gpu" or recipe.only in (FRAMES, INDEX) or work.cluster
    ):  # Machines of a cluster use their own GPUs.
        return nullcontext("")
    return flow_process(partial(flow_engine, recipe.engine, recipe.method, recipe.preset, **recipe.parameters))


def _write(dataset: DataSet, rows: Iterable[Row], work: Work) -> None:
    Now.doing = "Writing to the disk"
    # Files that the index names must be on the disk before the index is written.
    os.sync()
    if work.shard != (1, 1):
        write_index(shard_path(dataset.root, *work.shard), rows)
        return
    # Earlier rows of videos that this run left out are kept, as after a run with another --limit.
    known = {row.video: row for row in (*_earlier(dataset.root).values(), *rows)}
    keep_index(dataset, known.values(), work.index)


def _sweep(root: Path, jobs: Sequence[Job]) -> None:
    """Removes unfinished files of this run and of dead runs on this machine, but not of runs that are still going."""
    for folder in {root, root / "annotations", *(job.folder.parent for job in jobs)}:
        sweep(folder)
