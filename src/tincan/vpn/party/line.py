"""The party line: messages among many, carried by somebody who is not trusted.

A mailbox is for two and ends when both are done; a party line is for all who
know a topic, for as long as they like. Whoever carries it (a switchboard, the
LAN, a test) may read, drop, invent, repeat and reorder: `tincan.vpn.party.seal`
guards against that. `MemoryRoom` is the place for tests.
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import Final, Protocol

from tincan.errors import WorldError

MAX_MESSAGE: Final = 16 * 1024
"""Bytes in one message. An offer with 30 candidates takes about 3 KiB sealed."""

MAX_TOPICS: Final = 64
"""Topics that one line may be on at a time."""

UNREAD: Final = 256
"""Messages kept for a reader that is slow; what comes on top is lost, as it may be anyway."""

_TOPIC = re.compile(r"[0-9a-f]{32}")


class LineClosed(WorldError):
    """The line was closed on this side."""


class PartyLine(Protocol):
    """Messages to everybody on a topic.

    Contract: a topic is 32 lower-case hex digits. A message, at most
    `MAX_MESSAGE` bytes, reaches each of the others on its topic at most once,
    or not at all, in any order, and never its sender. Nothing is stored for
    whoever is not there. Troubles of the place mend by themselves: `send`
    never raises for them, and drops what cannot be sent.
    """

    async def join(self, topic: str) -> None:
        """Hear a topic from now on. Idempotent."""

    async def leave(self, topic: str) -> None:
        """Hear it no more. Idempotent."""

    async def send(self, topic: str, message: bytes) -> None:
        """Send to everybody else on the topic. One need not be on it. Raises `LineClosed`."""

    async def receive(self) -> tuple[str, bytes]:
        """Return the next message and its topic. Raises `LineClosed`."""

    async def close(self) -> None:
        """Leave the line. Idempotent."""


def check_topic(topic: str) -> str:
    """Return the topic; `ValueError` when it has not the form of one."""
    if _TOPIC.fullmatch(topic) is None:
        raise ValueError("a topic is 32 lower-case hex digits")
    return topic


def check_message(message: bytes) -> bytes:
    """Return the message; `ValueError` when it is too long."""
    if len(message) > MAX_MESSAGE:
        raise ValueError("message too long for a party line")
    return message


class Inbox:
    """What a line has received and nobody has read yet: bounded, and closed once."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue(UNREAD + 1)
        self.closed = False

    def put(self, topic: str, message: bytes) -> None:
        """Keep a message for `get`, or lose it when too many wait."""
        if not self.closed and self._queue.qsize() < UNREAD:
            self._queue.put_nowait((topic, message))

    async def get(self) -> tuple[str, bytes]:
        """See `PartyLine.receive`."""
        item = None if self.closed else await self._queue.get()
        if item is None:
            raise LineClosed("The party line was closed.")
        return item

    def close(self) -> None:
        """End it: whoever reads gets `LineClosed`."""
        if not self.closed:
            self.closed = True
            self._queue.put_nowait(None)


class MemoryRoom:
    """A place for party lines within one process, with seeded loss, repetition and delay."""

    def __init__(
        self,
        chance: random.Random | None = None,
        *,
        loss: float = 0.0,
        repeats: float = 0.0,
        delay: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.chance = chance or random.Random(1)  # noqa: S311 - seeded on purpose
        self.loss = loss
        self.repeats = repeats
        self.delay = delay
        self.passed: list[tuple[str, bytes]] = []
        """Everything that was sent, lost or not: what the place has seen."""
        self._lines: list[MemoryLine] = []

    def line(self) -> MemoryLine:
        """Return a new line to this place."""
        line = MemoryLine(self)
        self._lines.append(line)
        return line

    def carry(self, sender: MemoryLine | None, topic: str, message: bytes) -> None:
        """Give a message to everybody else on its topic."""
        self.passed.append((topic, message))
        for line in self._lines:
            if line is not sender and topic in line.topics:
                for _ in range(1 + (self.chance.random() < self.repeats)):
                    if self.chance.random() >= self.loss:
                        wait = self.chance.uniform(*self.delay)
                        asyncio.get_running_loop().call_later(wait, line.inbox.put, topic, message)


class MemoryLine:
    """A `PartyLine` of a `MemoryRoom`."""

    def __init__(self, room: MemoryRoom) -> None:
        self._room = room
        self.topics: set[str] = set()
        self.inbox = Inbox()

    async def join(self, topic: str) -> None:
        """See `PartyLine.join`."""
        self.topics.add(check_topic(topic))

    async def leave(self, topic: str) -> None:
        """See `PartyLine.leave`."""
        self.topics.discard(topic)

    async def send(self, topic: str, message: bytes) -> None:
        """See `PartyLine.send`."""
        if self.inbox.closed:
            raise LineClosed("The party line was closed.")
        self._room.carry(self, check_topic(topic), check_message(message))

    async def receive(self) -> tuple[str, bytes]:
        """See `PartyLine.receive`."""
        return await self.inbox.get()

    async def close(self) -> None:
        """See `PartyLine.close`."""
        self.topics.clear()
        self.inbox.close()
