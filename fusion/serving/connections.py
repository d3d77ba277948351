"""Limits the connections of the service: their number, and how long a client may take to send a request."""

import asyncio
import contextlib
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

try:
    import resource
except ImportError:  # Windows has no such limits.
    resource = None  # type: ignore[assignment]

# Seconds that a client may take to send the headers of a request, and that a connection may stay open between two.
HEADER_SECONDS = 10.0
MOST_CONNECTIONS = 256
# Connections that are accepted at a time, before those too many can be closed again.
BACKLOG = 16
# Open files that the service needs for itself, those at a time among them, and for each video in its queue.
_OWN_FILES, _FILES_OF_A_VIDEO = 28 + 2 * BACKLOG, 3
_FEWEST_CONNECTIONS = 4


class Connection(H11Protocol):
    """A connection that is closed when there are too many, or when its client asks for nothing."""

    most = MOST_CONNECTIONS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuses a connection too many at once, which gives its file descriptor back."""
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
        """Closes the connection when the service ends: an upload is not waited for."""
        if self.conn.their_state is h11.SEND_BODY:
            self.transport.abort()
        else:
            super().shutdown()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._idle_since = self.loop.time()  # What its client asked for is being done, which has its own limits.
        elif self.loop.time() - self._idle_since > HEADER_SECONDS:
            self.transport.abort()
            return
        self._watcher = self.loop.call_later(1.0, self._watch)


def bounded_protocol(queue: int) -> type[Connection]:
    """Returns the protocol with as many connections as this process may have open files, besides those it needs."""
    needed = _OWN_FILES + _FILES_OF_A_VIDEO * queue
    most = min(MOST_CONNECTIONS, _open_files(needed + MOST_CONNECTIONS) - needed)
    if most < _FEWEST_CONNECTIONS:
        raise ValueError(
            f"This process may have {most + needed} files open, and needs {needed + _FEWEST_CONNECTIONS} with --queue "
            f"{queue}. Allow more (ulimit -n), or pass a smaller --queue."
        )
    return type("BoundedConnection", (Connection,), {"most": most})


def _open_files(wanted: int) -> int:
    """Returns how many files this process may open, after asking for as many as are wanted."""
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited: Any = resource.RLIM_INFINITY
    if soft != unlimited and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == unlimited else min(wanted, hard), hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if soft == unlimited else soft
