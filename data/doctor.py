"""Checks a data set: whether all files exist and can be read, the flow is right, and training and test are separate.

Each finding says how to repair it. The exit code is 1 if any finding is an error.

./run doctor ucf101
./run doctor ucf101 --full --fix
"""

import contextlib
import dataclasses
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from commands.files import write_json
from commands.options import Parser
from commands.running import run
from commands.waiting import Now
from data.audit.copies import audit_copies
from data.audit.files import audit_files
from data.audit.findings import ERROR, Finding
from data.audit.flow import audit_flow, audit_pictures
from data.audit.splits import audit_counts, audit_groups
from data.catalog import HALF_PACKED, PACKED, VIDEOS, DataSet, Video, in_words, read_layout
from data.extraction.all_videos import Work, prepare
from data.ready import BUILT_IN, KNOWN, home_of, open_dataset, ready_dataset
from data.sets.lists import training_lists
from data.store.description import recipe_of
from data.store.index import READY, index_path, read_description, read_index
from data.store.mapped_writer import keep_index
from data.store.whole_folder import archive_path


def main(argv: Sequence[str] | None = None) -> None:
    """Audits the data set that the command line names."""
    parser = Parser(__doc__)
    parser.add_argument(
        "dataset", nargs="?", default=BUILT_IN, metavar="NAME", help=f"{', '.join(KNOWN)}, or a name of your own"
    )
    parser.add_argument("--root", type=Path, metavar="FOLDER", help="its folder (default: datasets/<data set>)")
    parser.add_argument(
        "--full", action="store_true", help="decode every file, not only the first and last of each video"
    )
    parser.add_argument("--fix", action="store_true", help="prepare the broken videos again, and only those")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the findings to this file")
    options = parser.parse_args(argv)
    root = options.root or home_of(options.dataset)
    listed = open_dataset(options.dataset, root)
    ready = ready_dataset(options.dataset, root)
    Now.doing = "Checking the files"
    findings = examine(ready, listed, full=options.full)
    if options.fix and any(finding.repairable for finding in findings):
        _repair(listed, findings)
        ready = ready_dataset(options.dataset, root)
        findings = examine(ready, listed, full=options.full)
    say(findings)
    if options.json:
        found = [dataclasses.asdict(finding) for finding in findings]
        write_json(options.json, {"findings": found, "classes": class_counts(ready)})
    errors = sum(finding.severity == ERROR for finding in findings)
    if errors:
        raise ValueError(f"{errors} of the {len(findings)} findings are errors. Each one above says how to repair it.")


def examine(dataset: DataSet, listed: DataSet, *, full: bool = False) -> list[Finding]:
    """Returns all findings. `listed` has every video of the lists, and `dataset` only those that are prepared."""
    print(table(dataset, listed), flush=True)
    findings = [
        *_half_packed(dataset),
        *audit_counts(dataset, listed),
        *audit_groups(dataset),
        *audit_files(dataset, full=full),
    ]
    findings += [*audit_pictures(dataset), *audit_copies(dataset, sides_of(dataset))]
    if dataset.layout.name != VIDEOS and any(video.num_flows for video in dataset.videos.values()):
        findings += audit_flow(dataset, float(read_description(dataset.root).get("bound", 20.0)))
    remedied = (
        dataclasses.replace(one, remedy=one.remedy.format(name=in_words(dataset.name, dataset.root)))
        for one in findings
    )
    return sorted(remedied, key=lambda finding: finding.severity)


def sides_of(dataset: DataSet) -> dict[str, tuple[Sequence[Video], Sequence[Video]]]:
    """Returns for each test and validation part the training videos and its own; validation is cut as usual."""
    sides: dict[str, tuple[Sequence[Video], Sequence[Video]]] = {}
    for number in dataset.splits:
        sides[f"Test part of split {number}"] = dataset.part(number, "train"), dataset.part(number, "test")
        with contextlib.suppress(ValueError):  # If no validation part can be cut, a training will say so.
            sides[f"Validation part of split {number}"] = training_lists(dataset, number, "validation", 0.1, 0)
    return sides


def _half_packed(dataset: DataSet) -> list[Finding]:
    """Reports a data set whose packing was interrupted: training refuses it until packing is finished or undone."""
    if dataset.layout.name != HALF_PACKED:
        return []
    remedy = "Finish with: ./run pack {name} (or undo it by adding --unpack)."
    return [Finding(ERROR, "Only some videos are packed.", remedy)]


def table(dataset: DataSet, listed: DataSet) -> str:
    """Returns a table of the prepared videos by class, split and part; "3 of 5" means that 2 are missing."""
    ready, wanted = class_counts(dataset), class_counts(listed)
    parts = [(number, part) for number in dataset.splits for part in ("train", "test")]
    rows = [["", *(f"split {number}" if part == "train" else "" for number, part in parts)]]
    rows.append(["", *(part for _, part in parts)])
    for name in dataset.classes:
        rows.append([name, *(_of(ready[number][part][name], wanted[number][part][name]) for number, part in parts)])
    for title, each in (("videos ready", dataset), ("listed", listed)):
        rows.append([title, *(f"{len(getattr(each.splits[number], part)):,}" for number, part in parts)])
    if listed.official:
        counts = [
            listed.official[number][part == "test"] if number in listed.official else "" for number, part in parts
        ]
        rows.append(["published", *(f"{count:,}" if count else "" for count in counts)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (cell.rjust(width + 3) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("".join([row[0].ljust(widths[0]), *cells]).rstrip())
    title = f"{dataset.name}: {len(dataset.videos):,} videos ready, {len(dataset.classes)} classes, {dataset.root}"
    return "\n".join([title, *lines])


def _of(ready: int, listed: int) -> str:
    return f"{ready:,}" if ready == listed else f"{ready:,} of {listed:,}"


def class_counts(dataset: DataSet) -> dict[int, dict[str, dict[str, int]]]:
    """Returns how many videos of each class are ready, by split and part."""
    counts: dict[int, dict[str, dict[str, int]]] = {}
    for number in dataset.splits:
        for part in ("train", "test"):
            labels = Counter(label for video in dataset.part(number, part) for label in video.labels)
            by_class = {name: labels[label] for label, name in enumerate(dataset.classes)}
            counts.setdefault(number, {})[part] = by_class
    return counts


def say(findings: Sequence[Finding]) -> None:
    """Prints each finding with an example and its remedy."""
    if not findings:
        print("No problems found.")
    for finding in findings:
        about = ""
        if finding.videos:
            others = f" and {len(finding.videos) - 1:,} more" if len(finding.videos) > 1 else ""
            about = f" ({finding.videos[0]}{others})"
        print(f"{finding.severity}: {finding.what}{about}\n  → {finding.remedy}")


def _repair(dataset: DataSet, findings: Sequence[Finding]) -> None:
    """Deletes the broken videos that this project prepared, and prepares them again with the same settings."""
    names = frozenset(name for finding in findings if finding.repairable for name in finding.videos)
    print(f"Preparing {len(names):,} videos again.", flush=True)
    for name in names:
        shutil.rmtree(dataset.frame_folder(dataset.videos[name]), ignore_errors=True)
        archive_path(dataset, dataset.videos[name]).unlink(missing_ok=True)
    rows = [row for row in read_index(index_path(dataset.root)).values() if row.video not in names]
    keep_index(dataset, rows)
    layout = read_layout(dataset.root).name
    if layout == HALF_PACKED:  # The others are packed on the way, so that the data set is whole again.
        names |= {row.video for row in rows if row.state == READY}
    work = Work(packed=layout in (PACKED, HALF_PACKED), names=names)
    prepare(dataset, recipe=recipe_of(dataset.root), work=work)


if __name__ == "__main__":
    run(main)
