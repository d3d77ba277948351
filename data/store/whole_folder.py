"""Packs the videos of a data set into archives and unpacks them, one after the other."""

import shutil
import zipfile
from collections.abc import Collection, Iterable
from pathlib import Path

from commands.files import owner, sweep, write_json
from data.catalog import HALF_PACKED, OURS, PACKED, VIDEOS, DataSet, Video, in_words, layout_path, read_layout
from data.store.archive import TABLE, archive_of, member_name, pack_folder
from data.store.index import find_description


def archive_path(dataset: DataSet, video: Video) -> Path:
    """Returns the path of a video's archive, which is beside where its folder was."""
    return archive_of(dataset.frame_folder(video))


def check_stored(dataset: DataSet, videos: Collection[Video]) -> None:
    """Raises ValueError if a video has neither an archive nor a folder that looks complete; sweeps first."""
    for above in {dataset.frame_folder(video).parent for video in videos}:
        sweep(above)
    mend = f"Run: ./run doctor {in_words(dataset.name, dataset.root)} --fix, then this command again."
    for video in videos:
        folder = dataset.frame_folder(video)
        if archive_of(folder).exists():
            continue
        if not folder.is_dir():
            raise ValueError(f"{folder} is missing, and there is no archive of it. {mend}")
        if not all((folder / name).exists() for name in _last_members(video)):
            raise ValueError(f"{folder} holds fewer files than index.csv counts. {mend}")


def pack_video(dataset: DataSet, video: Video) -> Path:
    """Writes the archive of a video, completely or not at all, and removes its folder once the archive is checked."""
    folder, path = dataset.frame_folder(video), archive_path(dataset, video)
    if not folder.is_dir():
        return path  # Packed before.
    if not path.exists():  # If it exists, an earlier run was interrupted while it removed the folder.
        unfinished = path.with_name(f".incomplete.{owner()}-{path.name}")
        pack_folder(folder, unfinished)
        unfinished.replace(path)
    _remove(folder)
    return path


def unpack_video(dataset: DataSet, video: Video) -> Path:
    """Unpacks the archive of a video into its folder, completely or not at all, and removes the archive."""
    folder, path = dataset.frame_folder(video), archive_path(dataset, video)
    if not path.exists():
        return folder
    unfinished = folder.with_name(f".incomplete.{owner()}-{folder.name}")
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(unfinished, [name for name in archive.namelist() if name != TABLE])
    except (zipfile.BadZipFile, EOFError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        mend = f"./run doctor {in_words(dataset.name, dataset.root)} --full --fix"
        raise ValueError(f"{path} is damaged ({error}). Run: {mend}, then this command again.") from error
    if folder.exists():
        _remove(folder)  # Packing was interrupted while it removed this folder.
    unfinished.rename(folder)
    path.unlink()
    return folder


def begin_storing(root: Path, name: str, *, packed: bool) -> None:
    """Records that a data set is about to be packed; raises ValueError for loose files beside archives."""
    layout = read_layout(root).name
    if layout == VIDEOS:
        raise ValueError(
            f"{root} holds an index of its videos, and no frames or flow. Name another --root for these, or delete "
            "rawframes, layout.json, index.csv and flow.json there."
        )
    if packed and layout not in (OURS.name, PACKED, HALF_PACKED):
        raise ValueError(f"Only data that ./run prepare made can be packed. {root} has the layout {layout}.")
    if packed and layout == OURS.name:
        write_json(layout_path(root), {"name": HALF_PACKED})
    if not packed and layout in (PACKED, HALF_PACKED):
        raise ValueError(
            f"{root} is {layout}, and this command would add loose files beside its archives. Add --pack to pack these "
            f"videos too, or unpack the others with: ./run pack {in_words(name, root)} --unpack"
        )


def begin_indexing(root: Path) -> None:
    """Records that only an index of the videos is stored; raises ValueError if the folder holds frames or flow."""
    layout = read_layout(root).name
    if layout == OURS.name and not find_description(root):
        write_json(layout_path(root), {"name": VIDEOS})
    elif layout != VIDEOS:
        raise ValueError(f"{root} holds frames or flow already, and needs no index of its videos. Name another --root.")


def end_storing(root: Path, folders: Iterable[Path]) -> None:
    """Records that a data set is packed, if none of these video folders is left."""
    if read_layout(root).name == HALF_PACKED and not any(folder.is_dir() for folder in folders):
        write_json(layout_path(root), {"name": PACKED})


def _last_members(video: Video) -> list[str]:
    frames = [member_name(OURS.frame, video.num_frames - 1)] if video.num_frames else []
    return [*frames, member_name(OURS.flow_x, video.num_flows - 1)] if video.num_flows else frames


def _remove(folder: Path) -> None:
    for entry in folder.iterdir():
        entry.unlink()
    folder.rmdir()
