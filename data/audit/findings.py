"""The findings that data/doctor.py reports: each has the problem, the affected videos, and a remedy."""

from dataclasses import dataclass

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Finding:
    """A problem of a data set, certain (error) or likely (warning)."""

    severity: str
    what: str
    remedy: str
    videos: tuple[str, ...] = ()  # All affected videos; the first is shown as an example.
    repairable: bool = False  # Whether preparing these videos again solves it.
