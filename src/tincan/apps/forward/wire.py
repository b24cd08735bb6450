"""The seam between a local socket and the multiplexer: what an end is told, and what it can say.

`End` is what a session calls; `Wire` is what an end calls: one connection of
one session. After `End.lost`, or its own `hang_up`, an end's wire is dead, and
calls do nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tincan.apps.forward.mux import Mux


class End(Protocol):
    """The local end of a forwarded connection. None of these calls waits."""

    def accepted(self, text: str) -> None:
        """The connection is open: data may flow. ``text``: where the peer listens, if that was asked for."""

    def data(self, payload: memoryview) -> None:
        """Bytes of the peer; to be copied or used at once."""

    def writable(self) -> None:
        """`Wire.room` is no longer 0."""

    def ended(self) -> None:
        """The peer sends no more."""

    def lost(self, text: str) -> None:
        """The connection is broken, refused or reset. ``text``: why, for the user; "" for a plain reset."""


class Wire:
    """One connection of one session, for its local end."""

    def __init__(self, mux: Mux, id: int, *, ring: Callable[[], None], left: Callable[[], object]) -> None:
        self._mux = mux
        self._id = id
        self._ring = ring
        self._left = left
        self.sent = 0
        """Bytes sent to the peer."""
        self.received = 0
        """Bytes of the peer that were passed on."""

    def room(self) -> int:
        """Return how many bytes `send` takes now; after a 0, `End.writable` is called."""
        return self._mux.room(self._id)

    def send(self, data: bytes) -> None:
        """Send at most `room` bytes."""
        self._mux.send(self._id, data)
        self.sent += len(data)
        self._ring()

    def send_eof(self) -> None:
        """Say that nothing more comes."""
        self._mux.send_eof(self._id)
        self._ring()

    def consumed(self, count: int) -> None:
        """Bytes from `End.data` have left this process."""
        self._mux.consumed(self._id, count)
        self.received += count
        self._ring()

    def hang_up(self, text: str = "") -> None:
        """The local end is gone; what is not ended in both directions is reset."""
        self._left()
        self._mux.release(self._id, text)
        self._ring()
