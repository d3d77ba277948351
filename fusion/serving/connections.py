"""Limits the connections of the service: their number, and the time that a client may take to send a request."""

import asyncio
import contextlib
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

try:
    import resource
except ImportError:  # Windows has no such limits.
    resource = None  # type: ignore[assignment]

# The seconds that a client may take to send the headers of a request, and that a connection may be idle between two.
HEADER_SECONDS = 10.0
MOST_CONNECTIONS = 256
# The number of connections that are accepted at once, before those above the limit can be closed again.
BACKLOG = 16
# The open files that the service needs for itself (including those accepted at once), and for each queued video.
_OWN_FILES, _FILES_OF_A_VIDEO = 28 + 2 * BACKLOG, 3
_FEWEST_CONNECTIONS = 4


class Connection(H11Protocol):
    """A connection that is closed if there are too many, or if its client sends no request in time."""

    most = MOST_CONNECTIONS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Closes the new connection if there are too many, which frees its file descriptor."""
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._watcher = self.loop.call_later(1.0, self._watch)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops watching."""
        super().connection_lost(exc)
        if hasattr(self, "_watcher"):
            self._watcher.cancel()

    def shutdown(self) -> None:
        """Closes the connection when the service ends, without waiting for an upload."""
        if self.conn.their_state is h11.SEND_BODY:
            self.transport.abort()
        else:
            super().shutdown()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._idle_since = self.loop.time()  # A request is being processed, which has its own limits.
        elif self.loop.time() - self._idle_since > HEADER_SECONDS:
            self.transport.abort()
            return
        self._watcher = self.loop.call_later(1.0, self._watch)


def bounded_protocol(queue: int) -> type[Connection]:
    """Returns the protocol with as many connections as this process can have, besides the open files that it needs."""
    needed = _OWN_FILES + _FILES_OF_A_VIDEO * queue
    most = min(MOST_CONNECTIONS, _open_files(needed + MOST_CONNECTIONS) - needed)
    if most < _FEWEST_CONNECTIONS:
        raise ValueError(
            f"This process may open {most + needed} files, but needs {needed + _FEWEST_CONNECTIONS} with --queue "
            f"{queue}. Allow more (ulimit -n), or pass a smaller --queue."
        )
    return type("BoundedConnection", (Connection,), {"most": most})


def _open_files(wanted: int) -> int:
    """Returns how many files this process may open, after asking for the wanted number."""
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited: Any = resource.RLIM_INFINITY
    if soft != unlimited and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == unlimited else min(wanted, hard), hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if soft == unlimited else soft
