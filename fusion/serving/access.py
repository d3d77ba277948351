"""Controls access to the service: checks a token in constant time, and limits the requests of each client."""

import hashlib
import hmac
import ipaddress
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from commands.files import read_text

# Shorter tokens could be guessed.
SHORTEST = 16
# The wrong tokens that a client may send per minute, and the number of clients that are remembered.
MOST_WRONG, MOST_CLIENTS = 10, 4096
MINUTE = 60.0
# Paths that need no token: the page itself, which asks for the token, and the health check.
OPEN = ("/", "/page.css", "/page.js", "/health")


def read_token(path: Path) -> str:
    """Returns the token that a file holds in its only line."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no token file {path}. Make one: openssl rand -hex 32 > {path}")
    token = read_text(path).strip()
    if len(token) < SHORTEST or not token.isascii() or any(letter.isspace() for letter in token):
        raise ValueError(
            f"{path} must hold one line of at least {SHORTEST} letters and digits, without spaces. Make one: openssl "
            f"rand -hex 32 > {path}"
        )
    return token


def is_this_machine(host: str) -> bool:
    """Tells whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass
class Access:
    """Decides on requests. Without a token, everybody on this machine may send as many as they like."""

    token: str = ""
    per_minute: int = 60  # The number of videos that one client may send.
    _wrong: "Counts" = field(default_factory=lambda: Counts())
    _sent: "Counts" = field(default_factory=lambda: Counts())

    def refusal(self, client: str, method: str, path: str, authorization: str) -> tuple[int, str]:
        """Returns the status and the message of a refusal, or status 0 if the request may go on."""
        if not self.token or path in OPEN:
            return 0, ""
        if self._wrong.of(client) >= MOST_WRONG:
            return 429, "Too many wrong tokens came from this address. Try again in a minute."
        if not self._is_token(authorization):
            self._wrong.add(client)
            return 401, "Send the token of this service: Authorization: Bearer TOKEN"
        if method == "POST":
            if self._sent.of(client) >= self.per_minute:
                return 429, f"One client may send {self.per_minute} videos per minute. Try again in a minute."
            self._sent.add(client)
        return 0, ""

    def _is_token(self, authorization: str) -> bool:
        kind, _, given = authorization.partition(" ")
        # Digests have the same length, so the time of the comparison reveals nothing, not even the token's length.
        ours, theirs = (hashlib.sha256(each.encode()).digest() for each in (self.token, given.strip()))
        return hmac.compare_digest(ours, theirs) and kind.lower() == "bearer"


class Counts:
    """Counts events of each client in the last minute. Only the most recent clients are remembered."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, list[float]] = OrderedDict()

    def of(self, client: str) -> int:
        """Returns the number of a client's events in the last minute."""
        since = time.monotonic() - MINUTE
        return sum(moment > since for moment in self._times.get(client, ()))

    def add(self, client: str) -> None:
        """Counts one more event."""
        since = time.monotonic() - MINUTE
        recent = [moment for moment in self._times.pop(client, []) if moment > since]
        self._times[client] = [*recent, time.monotonic()]
        if len(self._times) > MOST_CLIENTS:
            self._times.popitem(last=False)
