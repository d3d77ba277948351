"""All limits of the service in one place."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits on what clients may ask for."""

    queue: int = 16  # Videos that are being uploaded, waiting or being analysed.
    megabytes: float = 200.0  # Size of one upload.
    duration: float = 600.0  # Length of a video in seconds.
    megapixels: float = 9.0  # Size of one frame: slightly more than 4K.
    seconds: float = 120.0  # Time for analysing one video.
    upload_seconds: float = 60.0  # Time for uploading one video.
    per_minute: int = 60  # Videos that one client may send per minute, if there is a token.
    results: int = 64  # Finished jobs whose results are kept until the page fetches them.
