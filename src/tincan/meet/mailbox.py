"""The mailbox: the two-party message box that every place offers.

Whatever the place (switchboard, LAN, a test), the handshake sees a `Mailbox`:
messages of bytes, in order, to one other can, carried by somebody who is not
trusted. `MemoryMailbox.pair` is the place for tests.
"""

from __future__ import annotations

import asyncio
import enum
from typing import Protocol

from tincan.errors import WorldError

MAX_MESSAGE = 32 * 1024
"""Bytes in one mailbox message. An offer with 30 candidates takes about 3 KiB."""


class Side(enum.Enum):
    """Which end of the string a can is."""

    ATTACH = "attach"
    TAP = "tap"

    @property
    def other(self) -> Side:
        """The side of the peer."""
        return Side.TAP if self is Side.ATTACH else Side.ATTACH


class MailboxReset(WorldError):
    """The mailbox began anew: the peer was replaced, or the place lost its memory.

    Nothing sent before is valid any more. The mailbox can still be used.
    """


class MailboxClosed(WorldError):
    """The other side gave up, or the mailbox was closed."""


class Mailbox(Protocol):
    """One side of a two-party message box.

    Contract: messages arrive complete and in order, each at most once, or not
    at all. They are at most `MAX_MESSAGE` bytes. Whoever carries them may
    read, change, drop or invent them: the handshake guards against that.
    """

    async def send(self, message: bytes) -> None:
        """Leave a message for the other side. Returns before it is read."""

    async def receive(self) -> bytes:
        """Return the other side's next message.

        Raises `MailboxReset` when the mailbox began anew and `MailboxClosed`
        when the other side gave up.
        """

    async def close(self, *, done: bool) -> None:
        """Leave. ``done``: this side has what it needs; else it gives up. Idempotent."""


class MemoryMailbox:
    """A mailbox within one process: `pair` makes both sides."""

    def __init__(self, inbox: asyncio.Queue[bytes | None], outbox: asyncio.Queue[bytes | None]) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._closed = False

    @classmethod
    def pair(cls) -> tuple[MemoryMailbox, MemoryMailbox]:
        """Return two connected mailboxes, each holding at most 64 unread messages."""
        a: asyncio.Queue[bytes | None] = asyncio.Queue(64)
        b: asyncio.Queue[bytes | None] = asyncio.Queue(64)
        return cls(a, b), cls(b, a)

    async def send(self, message: bytes) -> None:
        """See `Mailbox.send`."""
        if len(message) > MAX_MESSAGE:
            raise ValueError("message too long for a mailbox")
        await self._outbox.put(message)

    async def receive(self) -> bytes:
        """See `Mailbox.receive`."""
        message = await self._inbox.get()
        if message is None:
            raise MailboxClosed("The other side gave up.")
        return message

    async def close(self, *, done: bool) -> None:
        """See `Mailbox.close`."""
        if not self._closed:
            self._closed = True
            if not done:
                await self._outbox.put(None)
