"""Several party lines as one: what is said goes over all, what is heard is heard once."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import hashlib
from collections.abc import Sequence
from typing import Final

from tincan.vpn.party.line import Inbox, LineClosed, PartyLine

REMEMBERED: Final = 4096
"""Messages that are known again when another line brings them too."""


class AllLines:
    """A `PartyLine` made of others. `run` reads them, in a task of its caller."""

    def __init__(self, lines: Sequence[PartyLine]) -> None:
        self._lines = tuple(lines)
        self._inbox = Inbox()
        self._heard: collections.OrderedDict[bytes, None] = collections.OrderedDict()

    async def join(self, topic: str) -> None:
        """See `PartyLine.join`."""
        for line in self._lines:
            await line.join(topic)

    async def leave(self, topic: str) -> None:
        """See `PartyLine.leave`."""
        for line in self._lines:
            await line.leave(topic)

    async def send(self, topic: str, message: bytes) -> None:
        """See `PartyLine.send`."""
        for line in self._lines:
            await line.send(topic, message)

    async def receive(self) -> tuple[str, bytes]:
        """See `PartyLine.receive`."""
        return await self._inbox.get()

    async def close(self) -> None:
        """See `PartyLine.close`."""
        self._inbox.close()
        for line in self._lines:
            await line.close()

    async def run(self) -> None:
        """Read all lines until they are closed."""
        async with asyncio.TaskGroup() as group:
            for line in self._lines:
                group.create_task(self._read(line), name="party line")

    async def _read(self, line: PartyLine) -> None:
        with contextlib.suppress(LineClosed):
            while True:
                topic, message = await line.receive()
                known = hashlib.blake2b(topic.encode() + message, digest_size=16).digest()
                if known not in self._heard:
                    self._heard[known] = None
                    if len(self._heard) > REMEMBERED:
                        self._heard.popitem(last=False)
                    self._inbox.put(topic, message)
