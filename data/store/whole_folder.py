"""A data set whose videos are archives: the way there and back, one video after the other."""

import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path

from commands.files import write_json
from data.catalog import HALF_PACKED, OURS, PACKED, DataSet, Video, in_words, layout_path, read_layout
from data.store.archive import TABLE, archive_of, member_name, pack_folder


def archive_path(dataset: DataSet, video: Video) -> Path:
    """Returns the archive of a video, which lies where its folder lay."""
    return archive_of(dataset.frame_folder(video))


def check_stored(dataset: DataSet, videos: Iterable[Video]) -> None:
    """Refuses a data set of which a video lies neither in an archive nor in a folder that looks whole."""
    mend = f"Run: python data/doctor.py {in_words(dataset.name, dataset.root)} --fix, then this again."
    for video in videos:
        folder = dataset.frame_folder(video)
        if archive_of(folder).exists():
            continue
        if not folder.is_dir():
            raise ValueError(f"{folder} is missing, and there is no archive of it either. {mend}")
        if not all((folder / name).exists() for name in _last_members(video)):
            raise ValueError(f"{folder} holds less than index.csv counts. {mend}")


def pack_video(dataset: DataSet, video: Video) -> Path:
    """Writes the archive of a video, whole or not at all, and removes its folder once the archive reads well."""
    folder, path = dataset.frame_folder(video), archive_path(dataset, video)
    if not folder.is_dir():
        return path  # Packed before.
    if not path.exists():  # Else removing the folder was interrupted.
        unfinished = path.with_name(f".incomplete.{path.name}")
        pack_folder(folder, unfinished)
        unfinished.replace(path)
    _remove(folder)
    return path


def unpack_video(dataset: DataSet, video: Video) -> Path:
    """Makes the folder of a video from its archive again, whole or not at all, and removes the archive."""
    folder, path = dataset.frame_folder(video), archive_path(dataset, video)
    if not path.exists():
        return folder
    unfinished = folder.with_name(f".incomplete.{folder.name}")
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(unfinished, [name for name in archive.namelist() if name != TABLE])
    except (zipfile.BadZipFile, EOFError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        mend = f"python data/doctor.py {in_words(dataset.name, dataset.root)} --full --fix"
        raise ValueError(f"{path} is damaged ({error}). Run: {mend}, then this again.") from error
    if folder.exists():
        _remove(folder)  # It was being removed when packing it was interrupted.
    unfinished.rename(folder)
    path.unlink()
    return folder


def begin_storing(root: Path, name: str, *, packed: bool) -> None:
    """Refuses to make loose files where archives lie, and notes that a data set is about to be packed."""
    layout = read_layout(root).name
    if packed and layout not in (OURS.name, PACKED, HALF_PACKED):
        raise ValueError(f"Only data prepared by prepare.py can be packed; {root} is {layout}.")
    if packed and layout == OURS.name:
        write_json(layout_path(root), {"name": HALF_PACKED})
    if not packed and layout in (PACKED, HALF_PACKED):
        raise ValueError(
            f"{root} is {layout}, and loose files would be made beside the archives. Add --pack to make archives of "
            f"these videos, too, or have loose files again by: python data/pack.py {in_words(name, root)} --unpack"
        )


def end_storing(root: Path, folders: Iterable[Path]) -> None:
    """Notes that a data set is packed, once these folders of its videos all are."""
    if read_layout(root).name == HALF_PACKED and not any(folder.is_dir() for folder in folders):
        write_json(layout_path(root), {"name": PACKED})


def _last_members(video: Video) -> list[str]:
    frames = [member_name(OURS.frame, video.num_frames - 1)] if video.num_frames else []
    return [*frames, member_name(OURS.flow_x, video.num_flows - 1)] if video.num_flows else frames


def _remove(folder: Path) -> None:
    for entry in folder.iterdir():
        entry.unlink()
    folder.rmdir()
