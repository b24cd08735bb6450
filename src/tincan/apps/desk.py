"""Files within a conversation: offered and answered while people go on talking.

Each transfer is a stream of its own, so several run at once and none of them
holds up the chat. What is offered waits for the user's answer; what was
interrupted is gone on with when the same is sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, Protocol

from tincan.apps.desk_events import DeskEvent, FilesEnded, FilesMoved, FilesOffered
from tincan.apps.files import (
    Decision,
    FileLeftOut,
    FilesEvent,
    Offered,
    Outcome,
    Progress,
    named,
    receive_over,
    send_over,
)
from tincan.errors import TinCanError, UsageError
from tincan.link.interface import ChannelClosed, Stream

logger = logging.getLogger(__name__)

PURPOSE: Final = "files"

MAX_TRANSFERS: Final = 8
"""Transfers at once in each direction; what the peer offers beyond that is declined."""

TOLD_EVERY: Final = 0.5
"""Seconds between two `FilesMoved` of one transfer."""


Tell = Callable[[DeskEvent], None]


class StreamDesk(Protocol):
    """Where streams come from: `tincan.link.streams.Streams`."""

    async def open(self, purpose: str) -> Stream:
        """Open a stream."""

    async def accept(self, purpose: str) -> Stream:
        """Return the next one that the peer opened; raises `ChannelClosed` at the end."""


class FileDesk:
    """Sends what the user names and receives what the user accepts, into ``target``, while `run` runs."""

    def __init__(self, streams: StreamDesk, target: Path, tell: Tell) -> None:
        self._streams = streams
        self._target = target
        self._tell = tell
        self._ids = 0
        self._running = {True: 0, False: 0}
        self._asked: dict[int, asyncio.Future[bool]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Take what the peer offers, until cancelled or the link has ended."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                while True:
                    stream = await self._streams.accept(PURPOSE)
                    if self._running[False] >= MAX_TRANSFERS:
                        await stream.close()
                    else:
                        group.create_task(self._receive(stream))
            except ChannelClosed:
                pass
            finally:
                self._group = None

    def send(self, path: str) -> None:
        """Offer a file or folder; how it goes is told. Raises `UsageError`."""
        source = named(str(Path(path).expanduser()))
        if source.path is None:
            raise UsageError("Standard input is taken by the conversation.")
        if self._group is None:
            raise UsageError("There is no string to send files on.")
        if self._running[True] >= MAX_TRANSFERS:
            raise UsageError("Too many files are on their way; wait for one of them.")

        async def work(number: int) -> Outcome:
            stream = await self._streams.open(PURPOSE)
            try:
                return await send_over(stream, [source], self._progress(number, sending=True))
            finally:
                await stream.close()

        self._group.create_task(self._transfer(work, sending=True))

    def answer(self, number: int | None, accepted: bool) -> None:
        """Answer an offer, the oldest one if no number is given. Raises `UsageError` when there is none."""
        number = next(iter(self._asked), None) if number is None else number
        if number is None or number not in self._asked:
            raise UsageError("Nothing is offered that waits for an answer.")
        asked = self._asked.pop(number)
        if not asked.done():
            asked.set_result(accepted)

    async def _receive(self, stream: Stream) -> None:
        async def work(number: int) -> Outcome:
            async def decide(offer: Offered) -> Decision:
                asked = self._asked[number] = asyncio.get_running_loop().create_future()
                self._tell(FilesOffered(number, offer))
                try:
                    return Decision(await asked)
                finally:
                    self._asked.pop(number, None)

            return await receive_over(stream, self._target, decide, self._progress(number, sending=False))

        try:
            await self._transfer(work, sending=False)
        finally:
            await stream.close()

    async def _transfer(self, work: Callable[[int], Coroutine[Any, Any, Outcome]], *, sending: bool) -> None:
        self._ids += 1
        number = self._ids
        self._running[sending] += 1
        try:
            outcome = await work(number)
            self._tell(FilesEnded(number, sending, outcome, _left_out(outcome)))
        except TinCanError as exc:
            self._tell(FilesEnded(number, sending, None, str(exc)))
        finally:
            self._running[sending] -= 1

    def _progress(self, number: int, *, sending: bool) -> Callable[[FilesEvent], None]:
        next_time = 0.0

        def tell(event: FilesEvent) -> None:
            nonlocal next_time
            now = asyncio.get_running_loop().time()
            if isinstance(event, Progress) and now >= next_time:
                next_time = now + TOLD_EVERY
                self._tell(FilesMoved(number, sending, event))

        return tell


def _left_out(outcome: Outcome) -> str:
    """Return what is missing and why, of the first file at least."""
    reasons = [reason for reason in outcome.reasons if isinstance(reason, FileLeftOut)]
    if outcome.complete or not reasons:
        return ""
    more = f", and {outcome.left_out - 1} more" if outcome.left_out > 1 else ""
    return f"left out: {reasons[0].name}: {reasons[0].reason}{more}"
