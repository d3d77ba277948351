"""Writes the files of one video, loose in a folder or in one archive, completely or not at all."""

import json
import os
import shutil
import uuid
import zipfile
from pathlib import Path

from commands.schema import parsed
from data.store.archive import TABLE, archive_of, pack_folder, write_archive

COUNTS = "video.json"  # Written last, so a folder that has it is complete.
Counts = dict[str, int | str]


class LooseFiles:
    """A folder of loose files, written under another name until it is complete."""

    def __init__(self, folder: Path, run: str) -> None:
        self.folder = folder
        self._unfinished = _unfinished(folder, run)

    def counts(self) -> Counts | None:
        """Returns the counts of a complete video, else None."""
        try:
            return _parsed((self.folder / COUNTS).read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def size(self) -> int:
        """Returns the bytes of all files but the counts."""
        with os.scandir(self.folder) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.name != COUNTS)

    def begin(self) -> None:
        """Makes the folder that will be written to."""
        self._unfinished.mkdir(parents=True)

    def write(self, name: str, data: bytes) -> None:
        """Writes one file into the unfinished folder."""
        (self._unfinished / name).write_bytes(data)

    def finish(self, counts: Counts, *, keep: bool) -> None:
        """Moves the written files into place; `keep` adds them to the complete folder instead of replacing it."""
        if keep:
            for path in sorted(self._unfinished.iterdir()):
                path.replace(self.folder / path.name)
            self.write(COUNTS, json.dumps({**counts, "bytes": self.size()}).encode())
            (self._unfinished / COUNTS).replace(self.folder / COUNTS)
            return
        self.write(COUNTS, json.dumps(counts).encode())
        # A folder that is here now is incomplete: a complete one would have been found before.
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self._unfinished.rename(self.folder)
        except OSError:
            if self.counts() is None:  # Otherwise another worker has finished the same video first.
                raise

    def discard(self) -> None:
        """Removes unfinished files."""
        shutil.rmtree(self._unfinished, ignore_errors=True)


class PackedFiles:
    """An archive, see data/store/archive.py; a finished folder of loose files is packed into it.

    The table at its start needs the sizes of all files. Until these are known, the files are appended to one temporary
    file, so that a network disk never has to create hundreds.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.folder, self.path = folder, archive_of(folder)
        self._waiting = _unfinished(folder, run)
        self._archive = self._waiting.with_name(f"{self._waiting.name}.zip")
        self._places: dict[str, tuple[int, int]] = {}

    def counts(self) -> Counts | None:
        """Returns the counts of a complete video; None if it isn't complete or its folder still exists too."""
        if self.folder.is_dir():
            return None
        try:
            with zipfile.ZipFile(self.path) as archive:
                return _parsed(archive.read(COUNTS))
        except (FileNotFoundError, KeyError, ValueError, zipfile.BadZipFile):
            return None

    def size(self) -> int:
        """Returns the bytes of all files but the counts."""
        with zipfile.ZipFile(self.path) as archive:
            return sum(info.file_size for info in archive.infolist() if info.filename not in (COUNTS, TABLE))

    def begin(self) -> None:
        """Prepares for writing; a complete folder of loose files is packed, an incomplete one removed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if LooseFiles(self.folder, "").counts() and not self.path.exists():
            pack_folder(self.folder, self._archive)
            self._archive.replace(self.path)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._waiting.touch()

    def write(self, name: str, data: bytes) -> None:
        """Appends one file to the temporary file."""
        with self._waiting.open("ab") as file:
            self._places[name] = file.tell(), len(data)
            file.write(data)

    def finish(self, counts: Counts, *, keep: bool) -> None:
        """Writes the archive; `keep` adds the files that the earlier archive holds."""
        kept = self._kept() if keep else {}
        sizes = {name: size for name, (_, size) in self._places.items()}
        sizes = {**{name: len(data) for name, data in kept.items()}, **sizes}
        described = json.dumps({**counts, "bytes": sum(sizes.values())}).encode()
        with self._waiting.open("rb") as file:

            def read(name: str) -> bytes:
                if name == COUNTS:
                    return described
                if name not in self._places:
                    return kept[name]
                begin, size = self._places[name]
                file.seek(begin)
                return file.read(size)

            write_archive(self._archive, {**sizes, COUNTS: len(described)}, read)
        self._archive.replace(self.path)

    def discard(self) -> None:
        """Removes unfinished files."""
        for path in (self._waiting, self._archive):
            path.unlink(missing_ok=True)

    def _kept(self) -> dict[str, bytes]:
        with zipfile.ZipFile(self.path) as archive:
            return {name: archive.read(name) for name in archive.namelist() if name not in (COUNTS, TABLE)}


def _unfinished(folder: Path, run: str) -> Path:
    return folder.parent / f".incomplete.{run}.{uuid.uuid4().hex}"


def _parsed(text: bytes) -> Counts:
    counts = parsed(text, Counts)
    if any(not isinstance(counts.get(name), int) for name in ("frames", "flows", "width", "height", "bytes")):
        raise ValueError("it lacks a count")
    return {"remark": "", **counts}
