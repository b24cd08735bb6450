"""One connection inside the multiplexer: its state, what it may send, and what it has been promised.

Two accounts, one for each direction, both in bytes::

    sending     credit    what the peer still lets us send
                pending   what we have taken from the application and not sent
    receiving   allowance what the peer may still send
                unread    what it has sent and the application has not passed on
                window    what we are ready to hold: allowance + unread + what is not given back yet

`mux.py` owns these records; nobody else sees them.
"""

from __future__ import annotations

import logging
from collections import deque

from tincan.apps.forward.frames import MAX_CREDIT, MAX_DATA
from tincan.apps.forward.states import TRANSITIONS, State, Step
from tincan.errors import ProtocolError

_log = logging.getLogger(__name__)


class Connection:
    """The books of one connection."""

    __slots__ = (
        "_pieces",
        "allowance",
        "credit",
        "eof_waits",
        "id",
        "ours",
        "pending",
        "queued",
        "released",
        "state",
        "unread",
        "waiting",
        "window",
    )

    def __init__(self, id: int, *, ours: bool) -> None:
        self.id = id
        self.ours = ours
        self.state = State.NEW
        self.credit = 0
        self.pending = 0
        self.allowance = 0
        self.unread = 0
        self.window = 0
        self.eof_waits = False
        """The frame EOF is to be sent once nothing is pending."""
        self.queued = False
        """It stands in the line of those that have something to send."""
        self.waiting = False
        """The application wants to hear when there is room."""
        self.released = False
        """The application has nothing to do with it any more."""
        self._pieces: deque[memoryview] = deque()

    def move(self, step: Step) -> None:
        """Change the state; raise `ProtocolError` for a step that is not in the table."""
        new = TRANSITIONS[self.state].get(step)
        if new is None:
            raise ProtocolError(
                f"The peer's forward broke the rules: '{step.value}', for a connection that is {self.state.value}."
            )
        _log.debug("connection %d: %s -> %s (%s)", self.id, self.state.value, new.value, step.value)
        self.state = new

    # Sending

    @property
    def may_send(self) -> bool:
        """Whether the application may still send on it."""
        return self.state in (State.OPEN, State.PEER_ENDED)

    def add_credit(self, count: int) -> None:
        """The peer can take more."""
        if self.credit + count > MAX_CREDIT:
            raise ProtocolError("The peer's forward gave more credit than a connection can have.")
        self.credit += count

    def push(self, data: bytes) -> None:
        """Take what is to be sent."""
        self._pieces.append(memoryview(data))
        self.pending += len(data)
        self.credit -= len(data)

    def pull(self) -> memoryview:
        """Return the payload of the next frame, at most `MAX_DATA` bytes."""
        piece = self._pieces[0]
        if len(piece) <= MAX_DATA:
            self._pieces.popleft()
        else:
            self._pieces[0], piece = piece[MAX_DATA:], piece[:MAX_DATA]
        self.pending -= len(piece)
        return piece

    def drop_pending(self) -> None:
        """Forget what was to be sent."""
        self._pieces.clear()
        self.pending = 0
        self.eof_waits = False

    # Receiving

    def take(self, count: int) -> None:
        """Account for bytes that have come."""
        if self.state not in (State.OPEN, State.ENDED):
            raise ProtocolError(
                f"The peer's forward broke the rules: data came for a connection that is {self.state.value}."
            )
        if count > self.allowance:
            raise ProtocolError("The peer's forward sent more than it had credit for.")
        self.allowance -= count
        self.unread += count

    def consume(self, count: int) -> int:
        """Account for bytes that were passed on; return how many should be given back by now."""
        if not 0 <= count <= self.unread:
            raise ValueError("more was consumed than had come")
        self.unread -= count
        owed = self.window - self.allowance - self.unread
        return owed if owed * 2 >= self.window else 0
