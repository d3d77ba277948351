"""Recognises frames and flow that other tools extracted, by their file names, and uses them where they are."""

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from commands.files import write_json
from data.catalog import FLOATS, OURS, DataSet, Layout, Video, layout_path
from data.store.flow_files import read_flow
from data.store.index import BROKEN, MISSING, Row, description_path, read_description
from data.store.mapped_writer import keep_index
from data.store.pictures import decode_picture

AUTO = "auto"
# Layouts of other tools by their --layout names. The number of digits and the first number are read from the files.
LAYOUTS = {
    # mmaction2, denseflow and TSN use the same layout as this project; only the level of zero flow differs.
    "mmaction": dataclasses.replace(OURS, name="mmaction", rule="classic"),
    "mmaction-short": Layout(
        "mmaction-short",
        flow_x="rawframes/{folder}/{video}/x_{number}.jpg",
        flow_y="rawframes/{folder}/{video}/y_{number}.jpg",
        rule="classic",
    ),
    "graz": Layout(
        "graz",
        frame="jpegs_256/{video}/frame{number}.jpg",
        flow_x="tvl1_flow/u/{video}/frame{number}.jpg",
        flow_y="tvl1_flow/v/{video}/frame{number}.jpg",
        rule="classic",
    ),
    "floats": Layout(
        "floats",
        frame="rgb/{folder}/{video}/frame{number}.jpg",
        flow_x="flows/{folder}/{video}/flow_{number}_{next}.npy",
        flow_y="flows/{folder}/{video}/flow_{number}_{next}.npy",
        rule=FLOATS,
    ),
}
# Other names of the frames beside flow in floats.
FRAMES_BESIDE_FLOATS = tuple(
    f"{above}/{{folder}}/{{video}}/{name}{{number}}.jpg"
    for above in ("rgb", "frames")
    for name in ("frame", "frame_", "img_")
)
BOUND = 20.0
FOLDERS_TO_LOOK_INTO = 300


@dataclass(frozen=True)
class Extraction:
    """A folder of frames and flow from another tool, and its layout."""

    folder: Path
    layout: Layout

    @property
    def top(self) -> Path:
        """The folder above those of the videos: of their frames, or of their flow if there are no frames."""
        pattern = self.layout.frame if _sample_numbers(self.folder, self.layout.frame) else self.layout.flow_x
        return self.folder / pattern.split("{")[0]

    def placed(self, root: Path) -> Layout:
        """Returns the layout as seen from `root`: with absolute paths if the files are elsewhere."""
        if self.folder.resolve() == root.resolve():
            return self.layout
        # Braces in the folder's own name must not be filled in.
        above = str(self.folder.resolve()).replace("{", "{{").replace("}", "}}")
        return self.layout.with_patterns(lambda pattern: f"{above}/{pattern}")

    def by_rule(self, rule: str | None) -> "Extraction":
        """Returns the extraction with its levels of flow read by another rule than its layout's."""
        if rule and self.layout.is_float:
            raise ValueError(
                f"The flow in {self.folder} is stored as floats, which no rule of levels reads: drop --rule."
            )
        return dataclasses.replace(self, layout=dataclasses.replace(self.layout, rule=rule)) if rule else self


def recognise(folder: Path, name: str = AUTO) -> Extraction:
    """Returns the extraction in a folder; `name` is the layout it must have, or `auto`."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder. Expected one with frames that another tool extracted.")
    if name != AUTO and name not in LAYOUTS:
        raise ValueError(f"The layout must be auto or one of {', '.join(LAYOUTS)}. Received {name!r}.")
    wanted = LAYOUTS.values() if name == AUTO else [LAYOUTS[name]]
    found: dict[int, Layout] = {}
    for layout in (variant for each in wanted for variant in _variants(each)):
        # Two layouts differ only in the names of their flow, so flow counts for more.
        fits = 2 * bool(_sample_numbers(folder, layout.flow_x)) + bool(_sample_numbers(folder, layout.frame))
        found.setdefault(fits, layout)
    if max(found):
        return Extraction(folder, _numbered(folder, found[max(found)]))
    looked_for = "; ".join(f"{layout.name}: {layout.frame}" for layout in wanted)
    raise ValueError(f"{folder} holds no frames in a known layout. Looked for {looked_for}.")


def extracted_in(folder: Path) -> Extraction | None:
    """Returns the extraction in a folder with flow of another tool, or None if there is none."""
    try:
        found = recognise(folder)
    except (OSError, ValueError):
        return None
    return found if _sample_numbers(folder, found.layout.flow_x) else None


def _variants(layout: Layout) -> Iterator[Layout]:
    """Yields the spellings of a layout."""
    yield layout
    if layout.is_float:
        yield from (dataclasses.replace(layout, frame=frame) for frame in FRAMES_BESIDE_FLOATS)
    else:  # The user may name the folder rawframes itself.
        yield layout.with_patterns(lambda pattern: pattern.removeprefix("rawframes/"))


def use_in_place(dataset: DataSet, extraction: Extraction) -> list[Row]:
    """Counts the files of every video; writes the index, the layout and flow.json into the data set's root."""
    layout, root = extraction.placed(dataset.root), dataset.root
    folders = _video_folders(extraction)
    rows = [_row(video, _places(video, folders), extraction) for video in dataset.videos.values()]
    if all(row.state == MISSING for row in rows):
        example = layout.frame_path(root, next(iter(dataset.videos.values())), 0)
        raise ValueError(
            f"{extraction.folder} has the layout {layout.name} but holds none of the videos of {dataset.name}. "
            f"Expected, for example, {example}."
        )
    # The files don't say how the flow was made. Bound and rule are the usual ones of these tools.
    description = {"method": "unknown", "layout": layout.name, "bound": BOUND, "rule": layout.rule}
    if description_path(root).exists() and read_description(root).get("rule") != layout.rule:
        raise ValueError(f"{description_path(root)} describes different flow. Delete it, or name another --root.")
    if not description_path(root).exists():
        write_json(description_path(root), description)
    write_json(layout_path(root), dataclasses.asdict(layout))
    keep_index(dataset, rows)
    return rows


def _numbered(folder: Path, layout: Layout) -> Layout:
    """Returns the layout with the digits and the first number that the files in the folder have."""
    frame, flow = (_sample_numbers(folder, pattern) for pattern in (layout.frame, layout.flow_x))
    starts = sorted({min(map(int, numbers)) for numbers in (frame, flow) if numbers})
    if len(starts) > 1:
        raise ValueError(
            f"Frames and flow in {folder} start at different numbers ({starts}), so it is unknown which belong "
            "together. Extract one of them again."
        )
    return dataclasses.replace(layout, digits=_digits(frame), flow_digits=_digits(flow), first=starts[0])


def _sample_numbers(folder: Path, pattern: str) -> list[str]:
    """Returns the numbers in the file names, as written, of the first video folder that fits the pattern."""
    above, file = pattern.rsplit("/", 1)
    for path in islice(_below(folder / above.split("{")[0], depth=3), FOLDERS_TO_LOOK_INTO):
        numbers = _numbers(path, file)
        if numbers:
            return numbers
    return []


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """Yields all folders down to a depth, sorted by name."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    for name in names:
        yield folder / name
        if depth > 1:
            yield from _below(folder / name, depth - 1)


def _numbers(folder: Path, file: str) -> list[str]:
    """Returns the numbers, as written, in the names of the files that fit the pattern."""
    before, after = file.split("{number}")
    pattern = re.compile(re.escape(before) + r"(\d+)" + re.escape(after).replace(re.escape("{next}"), r"\d+"))
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [match[1] for entry in entries if (match := pattern.fullmatch(entry.name))]


def _digits(numbers: Sequence[str]) -> int:
    """Returns the number of digits to which numbers are padded, or 0 if they are not padded."""
    return max((len(number) for number in numbers if number.startswith("0")), default=0)


def _video_folders(extraction: Extraction) -> dict[str, list[Path]]:
    """Returns the folders of frames and flow by lower-case name, relative to where their pattern begins."""
    found: dict[str, list[Path]] = {}
    for pattern in (extraction.layout.frame, extraction.layout.flow_x):
        start = extraction.folder / pattern.split("{")[0]
        for path in _below(start, depth=3):
            places = found.setdefault(path.name.casefold(), [])
            if path.relative_to(start) not in places:
                places.append(path.relative_to(start))
    return found


def _places(video: Video, folders: Mapping[str, Sequence[Path]]) -> list[Path]:
    """Returns the folders that may be a video's: that of its file if there is one, or all that have its name."""
    listed = video.relative_path
    named = [place for name in {video.name, listed.stem, listed.name} for place in folders.get(name.casefold(), ())]
    paths = {path.as_posix().casefold() for path in (listed, listed.with_suffix(""))}
    return [place for place in named if place.as_posix().casefold() in paths] or named


def _row(video: Video, places: Sequence[Path], extraction: Extraction) -> Row:
    """Counts the files of one video; its folder may differ in case, or be inside or outside a class folder."""
    fitting = [path for path in places if path.parent.as_posix().casefold() == (video.folder or ".").casefold()]
    place = next(iter(fitting or places), None)
    if place is None or (not fitting and len(places) > 1):
        reason = "Its folder does not exist." if not places else "Several folders have its name."
        return Row(video.name, video.folder, state=MISSING, reason=reason)
    folder = "" if place.parent == Path() else place.parent.as_posix()
    stored = place.name if place.name != video.name else ""
    found = dataclasses.replace(video, folder=folder, stored=stored)
    layout, counts = extraction.layout, {}
    for name in ("frame", "flow_x", "flow_y"):
        path = Path(layout.prefix(getattr(layout, name), extraction.folder, found)).parent
        numbers = sorted(map(int, _numbers(path, getattr(layout, name).rsplit("/", 1)[1])))
        counts[name] = len(numbers)
        if numbers and numbers != list(range(layout.first, layout.first + len(numbers))):
            missing = next(n for n in range(layout.first, numbers[-1]) if n not in set(numbers))
            return Row(video.name, folder, state=BROKEN, reason=f"Number {missing} of its {name} files is missing.")
    if counts["flow_x"] != counts["flow_y"]:
        reason = f"It has {counts['flow_x']} files of flow in x and {counts['flow_y']} in y."
        return Row(video.name, folder, state=BROKEN, reason=reason)
    if layout.is_float and counts["flow_x"]:
        wrong = _wrong_field(layout.flow_paths(extraction.folder, found, 0)[0])
        if wrong:
            return Row(video.name, folder, state=BROKEN, reason=wrong)
    size = _frame_size(layout.frame_path(extraction.folder, found, 0)) if counts["frame"] else (0, 0)
    return Row(video.name, folder, counts["frame"], counts["flow_x"], *size, stored=stored)


def _wrong_field(path: Path) -> str:
    """Returns why a field of floats can't be used; all fields of a video are taken to be like its first."""
    try:
        return "" if np.isfinite(read_flow(path)).all() else f"{path} holds numbers that are not finite."
    except (OSError, ValueError) as error:
        return str(error)


def _frame_size(path: Path) -> tuple[int, int]:
    """Returns the width and height of a frame; all frames of a video are taken to have the same."""
    image = decode_picture(path.read_bytes(), cv2.IMREAD_COLOR)
    return (0, 0) if image is None else (image.shape[1], image.shape[0])
