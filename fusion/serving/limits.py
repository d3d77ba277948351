"""How much the service takes on: one place for every bound."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on what a client may ask for."""

    queue: int = 16  # Videos that are uploaded, waiting or looked at, together.
    megabytes: float = 200.0  # Of one upload.
    duration: float = 600.0  # Seconds that a video may play.
    megapixels: float = 9.0  # Of one frame: 4K and a little more.
    seconds: float = 120.0  # For looking at one video.
    upload_seconds: float = 60.0  # For sending it.
    results: int = 64  # Finished jobs whose results are kept for their page to fetch.
