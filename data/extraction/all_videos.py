"""From the videos of a data set to frames, flow and an index: what is missing is made, what is there stays."""

import dataclasses
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from commands.files import is_abandoned, owner
from commands.running import usable_processors
from data.catalog import DataSet, Video
from data.extraction.disk_space import Space
from data.extraction.one_video import Job, broken_row, extract_video, finished_row
from data.extraction.own_process import LostError
from data.extraction.video_files import find_sources
from data.extraction.workers import run_jobs
from data.optical_flow.engine import flow_engine
from data.optical_flow.gpu_service import flow_process
from data.store.description import FRAMES, Recipe
from data.store.index import MISSING, STOPPED, Row, index_path, read_index, shard_path, write_index
from data.store.whole_folder import begin_storing, end_storing


@dataclass(frozen=True)
class Work:
    """How much of a data set is prepared, by whom, and how its files are kept; it does not change what is in them."""

    workers: int = usable_processors()
    cluster: str = ""  # The address of a Dask scheduler; workers of this machine without it.
    shard: tuple[int, int] = (1, 1)  # This machine's number, from 1, of how many.
    limit: int = 0  # How many videos, spread evenly over the lists; 0 means all.
    time_limit: float = 300.0  # Seconds without a new frame after which a decoder is taken for hung.
    check_space: bool = True
    packed: bool = False  # Stores one archive a video instead of loose files.


def prepare(dataset: DataSet, workers: int = 2, recipe: Recipe | None = None, work: Work | None = None) -> list[Row]:
    """Extracts the videos that are not extracted yet, writes the index and returns its rows for these videos."""
    work = work or Work(workers)
    recipe = recipe or Recipe(short_side=dataset.short_side)
    dataset.root.mkdir(parents=True, exist_ok=True)
    begin_storing(dataset.root, dataset.name, packed=work.packed)
    if dataset.make_videos:
        dataset.make_videos(dataset.root, work.workers)
    sources = find_sources(dataset, dataset.root / "videos")
    recipe.keep(dataset.root)
    if dataset.keep_list:
        dataset.keep_list(dataset)
    jobs = _jobs(dataset, sources, recipe, work)
    _sweep(dataset.root, jobs)
    rows, waiting = _what_is_there(dataset, jobs)
    able = [job for job in waiting if _is_able(job)]
    if not sources and not able and len(waiting) == len(jobs):
        raise FileNotFoundError(
            f"None of the {len(jobs):,} videos of {dataset.name} is in {dataset.root / 'videos'}. Put them there in "
            "class folders or flat, or name their folder with --videos."
        )
    absent = (job for job in waiting if not _is_able(job))
    rows += [Row(job.name, job.parent, state=MISSING, reason="There is no file.") for job in absent]
    try:
        rows += _extract_all(able, work, dataset.root)
    finally:
        _sweep(dataset.root, jobs)
    _write(dataset, rows, work)
    if work.shard == (1, 1):
        end_storing(dataset.root, _folders(dataset))
    return rows


def merge_shards(dataset: DataSet) -> list[Row]:
    """Makes one index of those of all shards, and refuses when a video is in none of them or in two."""
    paths = sorted(dataset.root.glob("index.*-of-*.csv"))
    numbers = [re.fullmatch(r"index\.(\d+)-of-(\d+)\.csv", path.name) for path in paths]
    found = [(int(match[1]), int(match[2])) for match in numbers if match]
    counts = {count for _, count in found}
    if len(counts) != 1 or {number for number, _ in found} != set(range(1, 1 + max(counts))):
        names = ", ".join(path.name for path in paths) or "none"
        raise ValueError(
            f"{dataset.root} must hold the indexes of all shards of one division to merge them. Found: {names}. "
            "Run those that are missing with --shard, and delete those of another division."
        )
    rows: dict[str, Row] = {}
    for path in paths:
        for row in read_index(path).values():
            if row.video in rows:
                raise ValueError(
                    f"{row.video} is in two shards, {path.name} being the second. Prepare that shard again."
                )
            rows[row.video] = row
    absent = [name for name in dataset.videos if name not in rows]
    if absent:
        raise ValueError(f"{len(absent):,} videos are in no shard, {absent[0]} among them. Prepare the shards again.")
    write_index(index_path(dataset.root), rows.values())
    end_storing(dataset.root, _folders(dataset))
    return list(rows.values())


def _is_able(job: Job) -> bool:
    # A folder that only has to be packed needs no video.
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
            work.packed,
            run=run,
        )
        for video in _chosen(list(dataset.videos.values()), work)
    ]


def _chosen(videos: Sequence[Video], work: Work) -> Sequence[Video]:
    """Returns the videos of this shard, or some spread evenly over the lists, so that all classes have their share."""
    number, count = work.shard
    mine = videos[number - 1 :: count]
    if not work.limit or work.limit >= len(mine):
        return mine
    return [mine[place * len(mine) // work.limit] for place in range(work.limit)]


def _what_is_there(dataset: DataSet, jobs: Sequence[Job]) -> tuple[list[Row], list[Job]]:
    """Returns the rows of what is finished and the jobs of what is not."""
    # The index is written after all files have reached the disk; a folder that it does not name may have lost some.
    path = index_path(dataset.root)
    vouched = read_index(path) if path.exists() else {}
    rows, waiting = [], []
    for job in jobs:
        row = finished_row(job, check_files=job.name not in vouched)
        rows.append(row) if row else waiting.append(job)
    return rows, waiting


def _extract_all(jobs: Sequence[Job], work: Work, root: Path) -> Iterator[Row]:
    if not jobs:
        return
    columns = (
        TextColumn("Frames and flow"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    space = Space(jobs, root)
    with Progress(*columns) as progress, _flow_service(jobs[0].recipe, work) as address:
        task = progress.add_task("", total=len(jobs), rate="")
        for job, outcome in run_jobs(
            extract_video,
            [dataclasses.replace(job, flow_service=address) for job in jobs],
            workers=min(work.workers, len(jobs)),
            cluster=work.cluster,
            time_limit=work.time_limit,
        ):
            row = broken_row(job, str(outcome)) if isinstance(outcome, LostError) else outcome
            if row.state == STOPPED:
                raise OSError(f"{row.reason}, then run the same command again: what is finished stays.")
            if work.check_space and space.counts(job, row):
                progress.console.print(space.estimate())
            speed = progress.tasks[task].finished_speed or progress.tasks[task].speed
            progress.update(task, advance=1, rate=f"{speed:.1f} videos/s" if speed else "")
            yield row


def _flow_service(recipe: Recipe, work: Work) -> AbstractContextManager[str]:
    """Starts the process that computes flow for all workers, where an accelerator does that; its address, or none."""
    if recipe.engine != "gpu" or recipe.only == FRAMES or work.cluster:  # Machines of a cluster have their own.
        return nullcontext("")
    return flow_process(partial(flow_engine, recipe.engine, recipe.method, recipe.preset, **recipe.parameters))


def _write(dataset: DataSet, rows: Iterable[Row], work: Work) -> None:
    # Whatever the index vouches for must have left the machine's memory before.
    os.sync()
    if work.shard != (1, 1):
        write_index(shard_path(dataset.root, *work.shard), rows)
        return
    path = index_path(dataset.root)
    earlier = read_index(path) if path.exists() else {}
    # Rows of videos that were not asked for stay: of a --limit, or of another reading of the same files.
    write_index(path, {**earlier, **{row.video: row for row in rows}}.values())


def _sweep(root: Path, jobs: Sequence[Job]) -> None:
    """Removes what this run and dead runs of this machine left unfinished; others may still be at work."""
    for folder in {root, root / "annotations", *(job.folder.parent for job in jobs)}:
        for path in folder.glob(".incomplete.*") if folder.is_dir() else ():
            if is_abandoned(path):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
