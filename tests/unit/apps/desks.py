"""Two desks for files, on one link within this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tincan.apps.desk import PURPOSE, FileDesk
from tincan.apps.desk_events import DeskEvent, FilesEnded, FilesOffered
from tincan.link.memory import MemoryLink
from tincan.link.streams import Streams
from tincan.meet.mailbox import Side
from tincan.tasks import settle

T = TypeVar("T", bound=DeskEvent)

PATIENCE = 120.0
"""Seconds after which a test gives up; only a hang takes as long."""


@dataclass
class Clerk:
    """Somebody at a desk, who takes the news when asked to."""

    desk: FileDesk
    streams: Streams
    link: MemoryLink
    folder: Path
    running: asyncio.Task[None]
    seen: list[DeskEvent] = field(default_factory=list)

    async def sees(self, kind: type[T], suits: Callable[[T], bool] = lambda event: True) -> T:
        """Take the news up to the next event of a kind."""
        async with asyncio.timeout(PATIENCE):
            while True:
                event = await self.desk.next_event()
                self.seen.append(event)
                if isinstance(event, kind) and suits(event):
                    return event

    async def accepts(self) -> FilesEnded:
        """Say yes to the next offer and wait for its end."""
        offered = await self.sees(FilesOffered)
        self.desk.answer(offered.id, True)
        return await self.sees(FilesEnded, lambda event: event.id == offered.id)


@contextlib.asynccontextmanager
async def two_desks(root: Path) -> AsyncIterator[tuple[Clerk, Clerk]]:
    """Ada and Bob, each with a folder of their own."""
    links = MemoryLink.pair()
    async with contextlib.AsyncExitStack() as stack:
        clerks = []
        for link, side, name in zip(links, Side, ("ada", "bob"), strict=True):
            folder = root / name
            folder.mkdir()
            streams = await stack.enter_async_context(Streams(link, side, frozenset([PURPOSE]), None))
            desk = FileDesk(streams, folder)
            running = asyncio.create_task(desk.run())
            stack.push_async_callback(settle, running)
            clerks.append(Clerk(desk, streams, link, folder, running))
        await asyncio.sleep(0)  # both are at work
        yield clerks[0], clerks[1]
