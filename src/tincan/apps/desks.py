"""The desks of a conversation: its files and its calls, from the peer's hello to the end of the string.

The chat is always there; a desk is when both ends have it. What moves files is
loaded and told to the string when the peer has said that it takes any; calls
are heard of from the start, and can be made once the peer has said hello.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from tincan.apps.call.events import CAPABILITY as CALLS
from tincan.apps.call.events import CallEvent, SoundTrouble
from tincan.apps.chat import PeerHello
from tincan.apps.desk_events import CAPABILITY as FILES
from tincan.apps.desk_events import DeskEvent
from tincan.apps.strings import Servers, punching_for
from tincan.errors import TinCanError
from tincan.link.dial import LinkEvent, Settings
from tincan.link.interface import Link
from tincan.link.streams import Streams
from tincan.meet.events import SideTaken
from tincan.meet.mailbox import Side
from tincan.tasks import settle

if TYPE_CHECKING:
    from tincan.apps.call.desk import CallDesk
    from tincan.apps.desk import FileDesk

E = TypeVar("E")

FAREWELL: Final = 1.0
"""Seconds that transfers have to end by themselves when the link has ended."""

MakeCalls = Callable[[Link, Callable[[bytes], None]], "CallDesk"]
"""Makes what handles calls, of the link and of what sends a frame on its control channel."""


class Desks:
    """Both desks of one conversation.

    `hear` what happens while the string is tied; `begin` when it is, then
    `keep` while `calling`; `open` when the peer has said hello, `close` when
    the link has ended, `leave` in any case. With ``settings`` files can be
    sent, with ``calls`` the peer be called; ``talks``: it is called as soon
    as it is there.
    """

    def __init__(self, settings: Settings | None, side: Side | None, calls: MakeCalls | None, *, talks: bool) -> None:
        self.files: FileDesk | None = None
        """Once it is open."""
        self._settings = settings
        self._side = side
        self._servers = Servers(settings.servers if settings is not None else ())
        self._make_calls = calls
        self._talks = talks
        self._calls: CallDesk | None = None
        self._greeted = False
        self._moving: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._opened = asyncio.Event()
        self._leaving = asyncio.Event()
        self._rang: _Ahead[CallEvent] | None = None
        self._moved: _Ahead[DeskEvent] | None = None

    @property
    def calls(self) -> CallDesk | None:
        """Once the peer can be called."""
        return self._calls if self._greeted else None

    # -- the string -----------------------------------------------------------------

    def hear(self, event: LinkEvent) -> None:
        """Take note of what is needed later."""
        self._servers.hear(event)
        if isinstance(event, SideTaken):
            self._side = event.side

    def begin(self, link: Link, post: Callable[[bytes], None]) -> None:
        """The string is tied; ``post`` sends a frame on its control channel."""
        if self._make_calls is not None:
            self._calls = self._make_calls(link, post)

    @property
    def capabilities(self) -> list[str]:
        """What our hello says of them."""
        files = [FILES] if self._settings is not None else []
        return [*files, *([CALLS] if self._calls is not None and self._calls.able else [])]

    @property
    def receive(self) -> Callable[[bytes], None] | None:
        """Takes the frames of the control channel that are not the chat's, if anybody does."""
        return self._calls.receive if self._calls is not None else None

    @contextlib.asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        """Keep calls going meanwhile."""
        if self._calls is None:
            yield
            return
        running = asyncio.create_task(self._calls.run(), name="calls")
        try:
            yield
        finally:
            await settle(running)

    async def keep(self, link: Link) -> None:
        """Wait until `leave`, with a desk for files from `open` on."""
        await self._wanted.wait()
        if self._side is None or self._settings is None or self._leaving.is_set():
            await self._leaving.wait()
            return
        from tincan.apps.desk import PURPOSE, FileDesk

        punching = punching_for(link, self._settings, self._servers)
        async with Streams(link, self._side, frozenset([PURPOSE]), punching) as streams:
            self.files = FileDesk(streams, _here())
            self._moving = asyncio.create_task(self.files.run(), name="files")
            self._opened.set()
            try:
                await self._leaving.wait()
            finally:
                await settle(self._moving)

    def leave(self) -> None:
        """The conversation is left: `keep` returns, nobody waits for a desk any more."""
        for event in (self._leaving, self._wanted, self._opened):
            event.set()

    def hang_up(self) -> None:
        """The user says goodbye: there will be no call any more."""
        if self._calls is not None:
            self._calls.leave()

    # -- what happens ---------------------------------------------------------------

    def asking(self) -> list[asyncio.Task[Any]]:
        """Return what to wait for until something happens; then `news` has it."""
        if self.files is not None and self._moved is None:
            self._moved = _Ahead(self.files.next_event)
        if self.calls is not None and self._rang is None:
            self._rang = _Ahead(self.calls.next_event)
        return [ahead.task() for ahead in self._asked()]

    def news(self) -> CallEvent | DeskEvent | None:
        """Return what has happened, one event a time."""
        for ahead in self._asked():
            for event in ahead.answer():
                return event
        return None

    async def ask_no_more(self) -> None:
        """Wait for nothing any more. Whoever waits for what `asking` returned has to be stopped before."""
        for ahead in self._asked():
            await ahead.stop()

    async def open(self, hello: PeerHello) -> SoundTrouble | None:
        """The peer is there: have the desks ready before the user can know that; return what is wrong with a call.

        The peer is called, if that is what the conversation is for.
        """
        if FILES in hello.capabilities and self._side is not None and self._settings is not None:
            self._wanted.set()
            await self._opened.wait()
        self._greeted = True
        if self._calls is None:
            return None
        self._calls.takes = CALLS in hello.capabilities
        try:
            if self._talks:
                self._calls.call()
        except TinCanError as exc:
            return SoundTrouble(str(exc))
        return None

    async def close(self) -> list[CallEvent | DeskEvent]:
        """Let call and files end with their link; return what is still to be told of them."""
        rest: list[CallEvent | DeskEvent] = []
        if self._calls is not None:
            await self._calls.lose()
            rest += await self._rang.stop() if self._rang is not None else []
            rest += self._calls.rest()
        if self.files is not None and self._moving is not None:
            await asyncio.wait([self._moving], timeout=FAREWELL)
            await settle(self._moving)
            rest += await self._moved.stop() if self._moved is not None else []
            rest += self.files.rest()
        return rest

    def _asked(self) -> list[_Ahead[CallEvent] | _Ahead[DeskEvent]]:
        return [ahead for ahead in (self._rang, self._moved) if ahead is not None]


class _Ahead(Generic[E]):
    """Asks for the next event before it is wanted, so that several can be waited for at once."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, E]]) -> None:
        self._ask = ask
        self._task: asyncio.Task[E] | None = None

    def task(self) -> asyncio.Task[E]:
        """Return the question that is open."""
        self._task = self._task or asyncio.create_task(self._ask())
        return self._task

    def answer(self) -> list[E]:
        """Return the event, once it is there, and ask anew next time."""
        if self._task is None or not self._task.done():
            return []
        task, self._task = self._task, None
        return [task.result()]

    async def stop(self) -> list[E]:
        """Ask no more; return an event that was there all the same."""
        task, self._task = self._task, None
        if task is None:
            return []
        await settle(task)
        return [task.result()] if not task.cancelled() else []


def _here() -> Path:
    """Return where files go: this folder, whatever it is called later, or even if it is gone."""
    try:
        return Path.cwd()
    except OSError:
        return Path()
