"""What one side of the multiplexer has to send: small frames first, then data, one frame a connection in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tincan.apps.forward.connection import Connection
from tincan.apps.forward.frames import PREFACE, Kind, header


class Outgoing:
    """The queue of small frames, and the line of connections that have data."""

    def __init__(self) -> None:
        self._small: list[bytes] = [PREFACE]
        self._line: deque[Connection] = deque()
        self.size = 0
        """Bytes of small frames that wait."""

    def __bool__(self) -> bool:
        return bool(self._small or self._line)

    def say(self, frame: bytes) -> None:
        """Send a small frame, before all data that waits."""
        self._small.append(frame)
        self.size += len(frame)

    def queue(self, connection: Connection) -> None:
        """Let a connection stand in line, which has data or its end to send."""
        if not connection.queued:
            connection.queued = True
            self._line.append(connection)

    def drop(self, connection: Connection) -> None:
        """Send nothing more of a connection."""
        connection.drop_pending()
        if connection.queued:
            connection.queued = False
            self._line.remove(connection)

    def take(self, limit: int, done: Callable[[Connection], None]) -> bytes:
        """Return what to send now; ``done`` is called for each connection that leaves the line."""
        parts: list[bytes | memoryview] = list(self._small)
        self._small.clear()
        self.size = size = 0
        while self._line and size < limit:
            connection = self._line.popleft()
            if connection.pending:
                payload = connection.pull()
                parts += (header(Kind.DATA, connection.id, len(payload)), payload)
                size += len(payload)
            if connection.pending:
                self._line.append(connection)
                continue
            connection.queued = False
            if connection.eof_waits:
                connection.eof_waits = False
                parts.append(header(Kind.EOF, connection.id))
            done(connection)
        return b"".join(parts)
