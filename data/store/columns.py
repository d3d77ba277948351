"""Stores tables of up to a hundred million rows: columns as NumPy files, which are mapped into memory, not read.

A table is a folder: `table.json` has the numbers of rows, and each part has a folder with one `.npy` file a column.
NumPy reads them, so the index needs no other package; see docs/training/scale.md. A column with equal values is stored
as one value. A column of zeros or empty texts is left out.
"""

import hashlib
import itertools
import math
import shutil
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypedDict

import numpy as np

from commands.files import owner, write_json
from commands.schema import read_json
from commands.text import is_printable

# The number of rows of a part. Its columns are written, sorted and scanned in memory.
PART_ROWS = 2**20
# Keys are computed for this many bytes of text at once, as each byte takes 32 bytes of memory meanwhile.
_BYTES_HASHED = 2**22
_ENDS = ".ends"
# Of keys: the factor from one byte to the next, and what spreads them evenly (splitmix64).
_FACTOR, _ALL_BITS = 0x9E3779B97F4A7C15, 2**64 - 1
_MIXING, _LAST_SHIFT = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)), 31


class Described(TypedDict):
    """The content of `table.json`."""

    generation: int  # The number of times that the table was written. Each time, its parts get new names.
    rows: list[int]  # Of each part.
    columns: list[list[str]]  # The files of each part, then the files of columns with their own numbers of rows.
    digest: str  # Of all columns.
    about: dict[str, object]  # Further entries, from the code that writes the table.


class Ragged(NamedTuple):
    """Rows of different lengths, one after the other, with the end of each: texts as bytes, or several numbers."""

    values: np.ndarray
    ends: np.ndarray

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> "Ragged":
        """Returns texts as a column."""
        encoded = [text.encode() for text in texts]
        ends = np.fromiter(itertools.accumulate(map(len, encoded)), np.int64, len(encoded))
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends)

    @classmethod
    def of_numbers(cls, rows: Sequence[Sequence[int]]) -> "Ragged":
        """Returns rows of whole numbers as a column."""
        ends = np.fromiter(itertools.accumulate(map(len, rows)), np.int64, len(rows))
        return cls(np.fromiter(itertools.chain.from_iterable(rows), np.int32), ends)

    def row(self, number: int) -> np.ndarray:
        """Returns one row."""
        return self.values[self.ends[number - 1] if number else 0 : self.ends[number]]


Column: TypeAlias = np.ndarray | Ragged


def keys_of(texts: Ragged) -> np.ndarray:
    """Returns a key of each text, uint64. Different texts may have the same key."""
    keys = np.empty(len(texts.ends), np.uint64)
    starts = np.concatenate([[0], texts.ends[:-1]]) if len(keys) else texts.ends
    lengths = texts.ends - starts
    longest = int(lengths.max(initial=0))
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(longest + 1, _FACTOR, np.uint64))
        step = max(1, _BYTES_HASHED // max(1, longest))
        for first in range(0, len(keys), step):
            chunk = slice(first, first + step)
            begin, lens = starts[chunk], lengths[chunk]
            values = texts.values[begin[0] : begin[-1] + lens[-1]].astype(np.uint64) + np.uint64(1)
            places = np.arange(len(values)) - np.repeat(begin - begin[0], lens)
            sums = np.concatenate([[np.uint64(0)], np.cumsum(values * powers[places])])
            found = sums[begin - begin[0] + lens] - sums[begin - begin[0]]
            keys[chunk] = mixed(found + powers[lens])
    return keys


def key_of(text: str) -> int:
    """Returns the key of one text, in a tenth of the time that arrays of a few bytes take."""
    key, power = 0, _FACTOR
    for byte in text.encode():
        key, power = key + (byte + 1) * power & _ALL_BITS, power * _FACTOR & _ALL_BITS
    key = key + power & _ALL_BITS
    for shift, factor in _MIXING:
        key = (key ^ key >> shift) * factor & _ALL_BITS
    return key ^ key >> _LAST_SHIFT


def first_place(keys: np.ndarray, key: int) -> int:
    """Returns the first place of a key among sorted keys, or where it would be.

    Keys are spread evenly: a key is near the place that its share of all numbers gives, and nearer still to one that is
    corrected by the key found there. A search of all keys would map many more pages of a large file.
    """
    count = len(keys)
    if not count:
        return 0
    guess = key * count >> 64
    guess += (key - keys.item(guess)) * count >> 64
    reach = 12 * math.isqrt(math.isqrt(count)) + 1  # Eight standard deviations of what is still unknown, or more.
    low = max(0, guess - reach)
    near = keys[low : max(0, guess + reach)]
    place = int(near.searchsorted(np.uint64(key)))
    # Between two keys of the part that was searched, it is the place among all.
    return low + place if 0 < place < len(near) else int(keys.searchsorted(np.uint64(key)))


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Maps numbers, uint64, to numbers that look random. Different numbers stay different (splitmix64)."""
    with np.errstate(over="ignore"):
        for shift, factor in _MIXING:
            numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
        return numbers ^ (numbers >> np.uint64(_LAST_SHIFT))


def table_path(folder: Path) -> Path:
    """Returns the path of the file that exists if a table is complete."""
    return folder / "table.json"


class TableWriter:
    """Writes a table part by part. It replaces an earlier table only when it is complete."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.rows, self.columns = folder, list[int](), list[list[str]]()
        before = table_path(folder)
        self.generation = read_json(before, Described)["generation"] + 1 if before.is_file() else 1
        self._digest = hashlib.sha256()
        self._unfinished = folder / f".incomplete.{owner()}"
        shutil.rmtree(self._unfinished, ignore_errors=True)

    def add(self, rows: int, columns: Mapping[str, Column]) -> None:
        """Writes the next part."""
        place = self._unfinished / f"{len(self.rows):05d}"
        place.mkdir(parents=True)
        self._write(place, columns)
        self.rows.append(rows)

    def close(self, about: dict[str, object], whole: Mapping[str, Column]) -> None:
        """Writes columns with other numbers of rows, such as lists of row numbers, and puts the table in its place."""
        self._unfinished.mkdir(exist_ok=True)
        self._write(self._unfinished, whole, compact=False)
        self._unfinished.rename(self.folder / f"{self.generation:06d}")
        digest = self._digest.hexdigest()
        write_json(
            table_path(self.folder),
            Described(generation=self.generation, rows=self.rows, columns=self.columns, digest=digest, about=about),
        )
        for earlier in self.folder.glob("[0-9]" * 6):
            if earlier.name != f"{self.generation:06d}":
                shutil.rmtree(earlier, ignore_errors=True)  # Processes that have mapped its files keep them.

    def _write(self, place: Path, columns: Mapping[str, Column], *, compact: bool = True) -> None:
        self.columns.append([])
        for name, column in columns.items():
            if isinstance(column, Ragged):
                arrays = {name: column.values, f"{name}{_ENDS}": column.ends}
            else:
                is_alike = compact and len(column) > 1 and (column == column[0]).all()
                arrays = {name: column[:1] if is_alike else column}
            is_empty = compact and not any(array.any() for array in arrays.values())
            for file, array in arrays.items() if not is_empty else ():
                self.columns[-1].append(file)
                self._digest.update(f"{place.name}/{file}:{array.dtype}{array.shape}".encode())
                self._digest.update(np.ascontiguousarray(array).data)
                np.save(place / f"{file}.npy", array, allow_pickle=False)


class Table:
    """A table whose columns are mapped into memory when they are first used."""

    def __init__(self, folder: Path) -> None:
        described = read_json(table_path(folder), Described, "Run prepare again; prepared videos are kept.")
        self.about, self.digest = described["about"], described["digest"]
        self._place = folder / f"{described['generation']:06d}"
        self._starts, self._columns = [0, *itertools.accumulate(described["rows"])], described["columns"]
        self._mapped: dict[tuple[int, str], np.ndarray] = {}

    def __len__(self) -> int:
        """Returns the number of its rows."""
        return self._starts[-1]

    def number(self, name: str, row: int) -> int:
        """Returns one number of a column."""
        part, place = self._where(row)
        array = self._array(part, name)
        found: int = array.item(place if len(array) > 1 else 0) if len(array) else 0
        return found

    def row_of(self, name: str, row: int) -> np.ndarray:
        """Returns a row of a column of rows with different lengths."""
        part, place = self._where(row)
        ends = self._array(part, f"{name}{_ENDS}")
        return Ragged(self._array(part, name), ends).row(place) if len(ends) else self._array(part, name)

    def text(self, name: str, row: int) -> str:
        """Returns one text of a column; raises ValueError if it has control characters, which terminals act on."""
        found = self.row_of(name, row).tobytes().decode()
        if not found.isprintable() and not is_printable(found, keep="\n"):
            raise ValueError(f"{self._place} holds control characters. Run prepare again; prepared videos are kept.")
        return found

    def numbers(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Returns the numbers of a column in these rows."""
        rows = np.asarray(rows, np.int64)
        parts = np.searchsorted(self._starts, rows, side="right") - 1
        arrays = {part: self._array(part, name) for part in np.unique(parts).tolist()}
        found = np.zeros(len(rows), next((array.dtype for array in arrays.values() if len(array)), np.uint8))
        for part, array in arrays.items():
            if len(array):
                here = parts == part if len(arrays) > 1 else slice(None)
                found[here] = array[rows[here] - self._starts[part]] if len(array) > 1 else array[0]
        return found

    def chunks(self, name: str) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the first row of each part, and the numbers of a column in it. Nothing stays in memory."""
        for part, (start, end) in enumerate(itertools.pairwise(self._starts)):
            array = self._open(part, name)
            yield start, np.broadcast_to(array if len(array) else np.zeros(1, np.uint8), end - start)

    def forget(self) -> None:
        """Unmaps the columns of all parts; they are mapped again when they are looked at."""
        self._mapped = {key: array for key, array in self._mapped.items() if key[0] < 0}

    def whole(self, name: str) -> np.ndarray:
        """Returns a column with its own number of rows."""
        return self._array(None, name)

    def whole_texts(self, name: str) -> list[str]:
        """Returns the texts of a column with its own number of rows."""
        column = Ragged(self.whole(name), self.whole(f"{name}{_ENDS}"))
        return [column.row(row).tobytes().decode() for row in range(len(column.ends))]

    def _where(self, row: int) -> tuple[int, int]:
        part = bisect_right(self._starts, row) - 1
        return part, row - self._starts[part]

    def _array(self, part: int | None, name: str) -> np.ndarray:
        key = -1 if part is None else part, name
        if (found := self._mapped.get(key)) is None:
            found = self._mapped[key] = self._open(part, name)
        return found

    def _open(self, part: int | None, name: str) -> np.ndarray:
        if name not in self._columns[-1 if part is None else part]:
            return np.zeros(0, np.uint8)
        path = (self._place if part is None else self._place / f"{part:05d}") / f"{name}.npy"
        try:
            # This is no np.memmap, as each access to one takes a microsecond longer.
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(f"{path} is damaged ({error}). Run prepare again; prepared videos are kept.") from error
