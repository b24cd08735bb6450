"""Those who listen to a module's events: each has a bounded queue, and who does not keep up is let go.

Packets without a link can be many (somebody scans the network), and one that
is not told does no harm: when much waits already, they are left out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from tincan.errors import TinCanError
from tincan.vpn.module.events import Event, PacketUnrouted
from tincan.vpn.module.interface import TOO_MANY, ModuleError

MAX_WAITING: Final = 1024
"""Events that one listener may leave unread."""


class Listeners:
    """Hands events out."""

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self._limit = limit
        self._queues: set[asyncio.Queue[Event | TinCanError | None]] = set()
        self._ended = False

    def tell(self, event: Event) -> None:
        """Hand an event to everybody; never waits."""
        for queue in tuple(self._queues):
            if isinstance(event, PacketUnrouted) and queue.qsize() >= self._limit // 2:
                continue
            if queue.qsize() < self._limit:
                queue.put_nowait(event)
            else:
                self._queues.discard(queue)
                queue.put_nowait(ModuleError(TOO_MANY, "Events were not read in time, and are told no more."))

    def end(self, why: TinCanError | None = None) -> None:
        """Tell everybody that nothing more will happen, and why if that is known. Idempotent."""
        self._ended = True
        for queue in self._queues:
            queue.put_nowait(why)
        self._queues.clear()

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[Event]]:
        """See `Module.events`."""
        queue: asyncio.Queue[Event | TinCanError | None] = asyncio.Queue()
        if self._ended:
            queue.put_nowait(None)
        else:
            self._queues.add(queue)
        try:
            yield _read(queue)
        finally:
            self._queues.discard(queue)


async def _read(queue: asyncio.Queue[Event | TinCanError | None]) -> AsyncIterator[Event]:
    while (event := await queue.get()) is not None:
        if isinstance(event, TinCanError):
            raise event
        yield event
