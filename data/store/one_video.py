"""How the files of one video lie, loose in a folder or in one archive, and how they get there whole or not at all."""

import json
import os
import shutil
import uuid
import zipfile
from pathlib import Path

from data.store.archive import TABLE, archive_of, pack_folder, write_archive

COUNTS = "video.json"  # Written last: a folder that has it is complete.
Counts = dict[str, int | str]


class LooseFiles:
    """A folder, written under another name until it is complete."""

    def __init__(self, folder: Path, run: str) -> None:
        self.folder = folder
        self._unfinished = _unfinished(folder, run)

    def counts(self) -> Counts | None:
        """Returns what was counted when the video was complete; None where it isn't."""
        try:
            return _parsed((self.folder / COUNTS).read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def size(self) -> int:
        """Returns the bytes of all files but the counts."""
        with os.scandir(self.folder) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.name != COUNTS)

    def begin(self) -> None:
        """Makes a place for what will be written."""
        self._unfinished.mkdir(parents=True)

    def write(self, name: str, data: bytes) -> None:
        """Writes one file where it isn't seen yet."""
        (self._unfinished / name).write_bytes(data)

    def finish(self, counts: Counts, *, keep: bool) -> None:
        """Lets all that was written take its place; `keep` adds it to what lies there complete."""
        if keep:
            for path in sorted(self._unfinished.iterdir()):
                path.replace(self.folder / path.name)
            self.write(COUNTS, json.dumps({**counts, "bytes": self.size()}).encode())
            (self._unfinished / COUNTS).replace(self.folder / COUNTS)
            return
        self.write(COUNTS, json.dumps(counts).encode())
        # What lies at the place is not complete, or it would have been found.
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self._unfinished.rename(self.folder)
        except OSError:
            if self.counts() is None:  # Unless another worker was quicker.
                raise

    def discard(self) -> None:
        """Removes what was not finished."""
        shutil.rmtree(self._unfinished, ignore_errors=True)


class PackedFiles:
    """An archive of data/store/archive.py, in which a folder that lies in its place ends, too.

    Its files wait one after the other in a single file, so that a network disk never sees hundreds: the table, which
    comes first, needs the sizes of all.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.folder, self.path = folder, archive_of(folder)
        self._waiting = _unfinished(folder, run)
        self._archive = self._waiting.with_name(f"{self._waiting.name}.zip")
        self._places: dict[str, tuple[int, int]] = {}

    def counts(self) -> Counts | None:
        """Returns what was counted when the video was complete; None where it isn't, or still lies loose, too."""
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
        """Makes a place for what will be written; a complete folder is packed, any other removed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if LooseFiles(self.folder, "").counts() and not self.path.exists():
            pack_folder(self.folder, self._archive)
            self._archive.replace(self.path)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._waiting.touch()

    def write(self, name: str, data: bytes) -> None:
        """Appends one file to those that wait."""
        with self._waiting.open("ab") as file:
            self._places[name] = file.tell(), len(data)
            file.write(data)

    def finish(self, counts: Counts, *, keep: bool) -> None:
        """Makes an archive of all that was written; `keep` adds what the complete archive holds."""
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
        """Removes what was not finished."""
        for path in (self._waiting, self._archive):
            path.unlink(missing_ok=True)

    def _kept(self) -> dict[str, bytes]:
        with zipfile.ZipFile(self.path) as archive:
            return {name: archive.read(name) for name in archive.namelist() if name not in (COUNTS, TABLE)}


def _unfinished(folder: Path, run: str) -> Path:
    return folder.parent / f".incomplete.{run}.{uuid.uuid4().hex}"


def _parsed(text: bytes) -> Counts:
    counts: Counts = json.loads(text)
    return counts
