"""Where the mailboxes of a switchboard are kept: the `Store` seam and the one in memory.

A record is what must be known of a mailbox. It is changed only by
`tincan.switchboard.mailboxes`, which puts it back after every change, so a
store may keep a copy somewhere else.
"""

from __future__ import annotations

import collections
import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from tincan.meet.mailbox import Side


class LineState(enum.Enum):
    """What is known of the can on one side of a mailbox."""

    EMPTY = "empty"  # nobody has taken this side
    CONNECTED = "connected"  # a can holds it and is connected
    AWAY = "away"  # its can lost the connection and may come back
    DONE = "done"  # its can has what it needs and left


@dataclass(slots=True)
class Line:
    """One side of a mailbox: who holds it, and the messages it left for the other side."""

    state: LineState = LineState.EMPTY
    token: str = ""
    connection: int | None = None
    """The shell's number of the connection; only while CONNECTED."""
    messages: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class MailboxRecord:
    """One mailbox."""

    code: str
    name: str
    """Random name of this incarnation; a new one after a reset."""
    expires: float
    address: str
    """The `address_key` that made it, for the limits."""
    nameplate: int | None
    lines: dict[Side, Line] = field(default_factory=lambda: {side: Line() for side in Side})

    @property
    def size(self) -> int:
        """Bytes of all messages in it."""
        return sum(len(message) for line in self.lines.values() for message in line.messages)


class Store(Protocol):
    """Mailboxes by string code.

    Contract: iteration gives the mailboxes in the order in which they were
    first put, which is the order of their expiry.
    """

    def get(self, code: str) -> MailboxRecord | None:
        """Return the mailbox of ``code``, if there is one."""

    def put(self, record: MailboxRecord) -> None:
        """Keep ``record`` under its code, instead of what was there."""

    def delete(self, code: str) -> None:
        """Forget the mailbox of ``code``, which exists."""

    def __iter__(self) -> Iterator[MailboxRecord]:
        """Walk all mailboxes, oldest first."""

    def __len__(self) -> int:
        """Return the number of mailboxes."""


class MemoryStore:
    """A store that forgets when the process ends, which is what a switchboard should do."""

    def __init__(self) -> None:
        # Not a dict: to find its first item, that one walks over all that was deleted before it.
        self._records: collections.OrderedDict[str, MailboxRecord] = collections.OrderedDict()

    def get(self, code: str) -> MailboxRecord | None:
        """See `Store.get`."""
        return self._records.get(code)

    def put(self, record: MailboxRecord) -> None:
        """See `Store.put`. A key that is put again keeps its place."""
        self._records[record.code] = record

    def delete(self, code: str) -> None:
        """See `Store.delete`."""
        del self._records[code]

    def __iter__(self) -> Iterator[MailboxRecord]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)
