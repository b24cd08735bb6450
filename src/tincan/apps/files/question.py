"""The one question of a transfer: whether the user wants what is offered.

It outlives the stream on which the offer came. When the string breaks it
stands while that is mended, for the same will be offered again; when the
sender is gone for good it is taken back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from tincan.apps.files.events import Decision, Offered
from tincan.errors import PeerRefused
from tincan.link.interface import StreamBroken
from tincan.tasks import settle

Decide = Callable[[Offered], Awaitable[Decision]]
"""Asks the user; cancelled when the answer is of no use any more."""

DECLINED: Final = "Declined; nothing was received."


class Question:
    """Asked once, by the first `answer`; `take_back` at the end in any case."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self._asked: asyncio.Future[Decision] | None = None

    @property
    def open(self) -> bool:
        """Whether the user is being asked."""
        return self._asked is not None and not self._asked.done()

    async def answer(self, offered: Offered, gone: asyncio.Event) -> Decision:
        """Return the user's answer; `StreamBroken` once ``gone`` says that nobody waits for it now."""
        if self._asked is None:
            self._asked = asyncio.ensure_future(self._decide(offered))
        going = asyncio.ensure_future(gone.wait())
        try:
            waiting: list[asyncio.Future[Any]] = [self._asked, going]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await settle(going)
        if not self._asked.done():
            raise StreamBroken("The offer was taken back.")
        return self._asked.result()

    async def unless_declined(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that may take long; `PeerRefused` when the user says no meanwhile."""
        task = asyncio.create_task(work)
        try:
            while not task.done():
                waiting: list[asyncio.Future[Any]] = [task]
                if self._asked is not None and not self._asked.done():
                    waiting.append(self._asked)
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if self._asked is not None and self._asked.done() and not self._asked.result().accepted:
                    raise PeerRefused(DECLINED)
            task.result()
        finally:
            await settle(task)

    async def take_back(self) -> None:
        """Ask no more."""
        if self._asked is not None:
            await settle(self._asked)
