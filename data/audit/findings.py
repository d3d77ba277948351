"""What the doctor says: a finding has an example and names its remedy."""

from dataclasses import dataclass

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a data set, or looks as if it were."""

    severity: str
    what: str
    remedy: str
    videos: tuple[str, ...] = ()  # All that it is about, the first as an example.
    repairable: bool = False  # Whether preparing these videos again removes it.
