"""Segments of videos as a table (video, class, start, end), found by the streams or labelled by people."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from commands.files import write_json, write_text
from commands.text import as_cell, printable
from data.sets.segments import Segment
from fusion.prediction.over_time.timeline import UNSURE, Stretch

COLUMNS = ("video", "start", "end", "class", "confidence")
EXTENSIONS = (".csv", ".json")


def segment_of(video: Path, stretch: Stretch) -> Segment:
    """Returns a stretch of a video's timeline as a segment."""
    return Segment(printable(video.name), stretch.start, stretch.end, stretch.label, stretch.confidence)


def is_decided(segment: Segment) -> bool:
    """Tells whether a segment names a class."""
    return segment.label != UNSURE


def write_segments(path: Path, segments: Sequence[Segment]) -> None:
    """Writes segments as CSV or JSON, depending on the file's extension."""
    rows = [
        {
            "video": segment.video,
            "start": round(segment.start, 3),
            "end": round(segment.end, 3),
            "class": segment.label,
            "confidence": round(segment.confidence, 6),
        }
        for segment in segments
    ]
    if path.suffix.lower() == ".json":
        write_json(path, rows)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([as_cell(value) if isinstance(value, str) else value for value in row.values()] for row in rows)
    write_text(path, text.getvalue())
