"""What the user is told of connections: each with a number that stays its own when the string is tied again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tincan.apps.forward.addresses import Address
from tincan.apps.forward.events import ConnectionClosed, ConnectionOpened, ForwardEvent, NotForwarded
from tincan.apps.forward.wire import Wire

Tell = Callable[[ForwardEvent], None]


class Counted(Protocol):
    """An end that knows its wire, and so what went over it."""

    @property
    def wire(self) -> Wire | None:
        """The connection that it belongs to."""


class Ledger:
    """Counts connections from their opening to their end."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self._last = 0
        self._numbers: dict[int, int] = {}  # by identity: the end is alive until it is gone

    def opened(self, end: Counted, target: Address) -> None:
        """Data may flow from now on."""
        self._last += 1
        self._numbers[id(end)] = self._last
        self.tell(ConnectionOpened(self._last, str(target)))

    def gone(self, end: Counted, target: Address, reason: str) -> None:
        """It is over; or it never began, for a reason."""
        number = self._numbers.pop(id(end), None)
        if number is None:
            if reason:
                self.tell(NotForwarded(str(target), reason))
        elif end.wire is not None:
            self.tell(ConnectionClosed(number, end.wire.sent, end.wire.received))
