"""A conversation, from the phrase to the goodbye: what every chat screen and the plain mode drive.

It joins what `tincan.link.dial` and `tincan.apps.chat` tell into one stream of
events, so that whoever shows it knows neither of them. Other dialects offer
the same interface.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self

from tincan.apps.call.events import CAPABILITY as CALLS
from tincan.apps.call.events import CallEvent, SoundTrouble
from tincan.apps.chat import ChatEvent, ChatSession, Closed, PeerHello
from tincan.apps.desk_events import CAPABILITY, DeskEvent
from tincan.apps.strings import Servers, punching_for
from tincan.errors import TinCanError
from tincan.link.dial import LinkEvent, Settings, Tell, tie_string
from tincan.link.interface import ChannelClosed, Link, LinkStatus
from tincan.link.streams import Streams
from tincan.meet.events import SideTaken
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase
from tincan.tasks import settle

if TYPE_CHECKING:
    from tincan.apps.call.desk import CallDesk
    from tincan.apps.call.interface import Calls
    from tincan.apps.desk import FileDesk

MAX_NEWS: Final = 256
"""Events of the meeting that wait to be shown; they are few, and more are dropped."""

FAREWELL: Final = 1.0
"""Seconds that transfers have to end by themselves when the link has ended."""


@dataclass(frozen=True)
class Reconnecting:
    """The path went silent and another one is being looked for; messages wait meanwhile.

    Told only by a conversation whose link can mend itself.
    """


@dataclass(frozen=True)
class Reconnected:
    """There is a path again. ``path``: a value of `tincan.link.interface.Path`."""

    path: str


ConversationEvent = LinkEvent | ChatEvent | Reconnecting | Reconnected | DeskEvent | CallEvent


class Conversation(Protocol):
    """One conversation with one peer; an async context manager that ends everything when it is left.

    `events` tells first how the meeting goes (`Waiting`, `PlaceTrouble`,
    `PeerFound`, ..., `Connected`), then the chat (`PeerHello`,
    `MessageReceived`, ...), last `Closed`. It raises `TinCanError` when no
    link comes about. Asking for the next event acknowledges the message
    before it: it has been shown.
    """

    async def __aenter__(self) -> Self:
        """Begin to meet."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, in whatever state it is."""

    def events(self) -> AsyncIterator[ConversationEvent]:
        """Yield what happens, for one task."""

    @property
    def status(self) -> LinkStatus | None:
        """The path in use and the round-trip time, once there is a link."""

    async def send(self, text: str, action: bool = False) -> int:
        """Say something, once connected; return its id.

        Raises `UsageError` for text that cannot be sent and `ChannelClosed` when it is over.
        """

    async def typing(self, active: bool) -> None:
        """Tell the peer whether the user is typing."""

    @property
    def files(self) -> FileDesk | None:
        """Sends and receives files, once connected to a peer that takes any; None otherwise."""

    @property
    def calls(self) -> Calls | None:
        """Calls the peer and answers it, once connected; None in a conversation that carries no voice."""

    async def goodbye(self, deadline: float) -> None:
        """Leave in good order, by ``deadline`` in the running loop's time. Keep reading `events` meanwhile."""


Tie = Callable[[Tell], AbstractAsyncContextManager[Link]]
"""Makes a link with a control channel, telling events meanwhile; closes it at its end."""


MakeCalls = Callable[[Link, Callable[[bytes], None]], "CallDesk"]
"""Makes what handles calls, of the link and of what sends a frame on its control channel."""


class LinkConversation:
    """The `Conversation` of tin-can's own protocol, however the link comes about.

    With a ``side`` and ``settings`` files can be sent within it, with
    ``calls`` the peer be called. ``talks``: it is called as soon as it is there.
    """

    def __init__(
        self,
        tie: Tie,
        *,
        name: str,
        side: Side | None = None,
        settings: Settings | None = None,
        calls: MakeCalls | None = None,
        talks: bool = False,
    ) -> None:
        self._tie = tie
        self._name = name
        self._make_calls = calls
        self._talks = talks
        self._calls: CallDesk | None = None
        self._rang: asyncio.Task[CallEvent] | None = None
        self._greeted = False
        self._side = side
        self._settings = settings
        self._servers = Servers(settings.servers if settings is not None else ())
        self._news: asyncio.Queue[LinkEvent | TinCanError | None] = asyncio.Queue(MAX_NEWS)
        self._link: Link | None = None
        self._chat: ChatSession | None = None
        self._said: asyncio.Task[ChatEvent | None] | None = None
        self._moved: asyncio.Task[DeskEvent] | None = None
        self._desk: FileDesk | None = None
        self._desk_task: asyncio.Task[None] | None = None
        self._desk_wanted = asyncio.Event()
        self._desk_open = asyncio.Event()
        self._talking = asyncio.Event()
        self._leaving = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """See `Conversation.__aenter__`."""
        self._task = asyncio.create_task(self._run(), name="conversation")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `Conversation.__aexit__`."""
        self._leaving.set()
        self._desk_wanted.set()
        await self._ask_no_more()
        if self._task is not None:
            if self._talking.is_set():
                await self._task
            else:
                await settle(self._task)

    async def events(self) -> AsyncIterator[ConversationEvent]:
        """See `Conversation.events`."""
        while (news := await self._news.get()) is not None:
            if isinstance(news, TinCanError):
                raise news
            yield news
        if self._chat is not None:
            async for event in self._merged(self._chat):
                yield event

    async def _merged(self, chat: ChatSession) -> AsyncIterator[ConversationEvent]:
        """Yield what happens in the chat, and between its events what happens at the desk."""
        talk = chat.events()
        while True:
            # Asking the chat acknowledges what it told before; so it is asked only when that has been shown.
            self._said = self._said or asyncio.ensure_future(anext(talk, None))
            if self._desk is not None:
                self._moved = self._moved or asyncio.create_task(self._desk.next_event())
            if self._calls is not None and self._greeted:
                self._rang = self._rang or asyncio.create_task(self._calls.next_event())
            asked = filter(None, [self._said, self._moved, self._rang])
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            if self._rang is not None and self._rang.done():
                rang, self._rang = self._rang.result(), None
                yield rang
                continue
            if self._moved is not None and self._moved.done():
                moved, self._moved = self._moved.result(), None
                yield moved
                continue
            event, self._said = self._said.result(), None
            if event is None:
                return
            trouble = None
            if isinstance(event, PeerHello):
                if CAPABILITY in event.capabilities:
                    await self._open_desk()
                trouble = self._open_calls(event)
            elif isinstance(event, Closed):
                for end in [*await self._close_calls(), *await self._close_desk()]:
                    yield end
            yield event
            if trouble is not None:
                yield trouble

    def _open_calls(self, hello: PeerHello) -> SoundTrouble | None:
        """The peer is there: it can be called, and is if that is what this conversation is for."""
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

    async def _close_calls(self) -> list[CallEvent]:
        """Let the call end with the string; return what is still to be told of it."""
        rang, self._rang = self._rang, None
        if self._calls is None:
            return []
        self._calls.lose()
        first = []
        if rang is not None:
            await settle(rang)
            first = [rang.result()] if not rang.cancelled() else []
        return [*first, *self._calls.rest()]

    async def _ask_no_more(self) -> None:
        for asking in (self._said, self._moved, self._rang):
            if asking is not None:
                await settle(asking)

    @property
    def files(self) -> FileDesk | None:
        """See `Conversation.files`."""
        return self._desk

    @property
    def calls(self) -> Calls | None:
        """See `Conversation.calls`."""
        return self._calls if self._greeted else None

    @property
    def status(self) -> LinkStatus | None:
        """See `Conversation.status`."""
        return self._link.status if self._link is not None else None

    async def send(self, text: str, action: bool = False) -> int:
        """See `Conversation.send`."""
        return await (await self._session()).send(text, action)

    async def typing(self, active: bool) -> None:
        """See `Conversation.typing`."""
        if self._chat is not None:
            await self._chat.typing(active)

    async def goodbye(self, deadline: float) -> None:
        """See `Conversation.goodbye`."""
        if self._calls is not None:
            self._calls.leave()
        with contextlib.suppress(ChannelClosed):
            await (await self._session()).goodbye(deadline)

    async def _session(self) -> ChatSession:
        await self._talking.wait()
        if self._chat is None:
            raise ChannelClosed("The conversation is over.")
        return self._chat

    async def _run(self) -> None:
        try:
            async with self._tie(self._tell) as link:
                self._link = link
                self._calls = self._make_calls(link, self._post) if self._make_calls is not None else None
                capabilities = ["chat"]
                if self._settings is not None:
                    capabilities.append(CAPABILITY)
                if self._calls is not None and self._calls.able:
                    capabilities.append(CALLS)
                others = self._calls.receive if self._calls is not None else None
                async with (
                    ChatSession(link, name=self._name, capabilities=capabilities, others=others) as self._chat,
                    self._calling(),
                ):
                    self._news.put_nowait(None)
                    self._talking.set()
                    await self._keep_desk(link)
        except TinCanError as exc:
            self._news.put_nowait(exc)
        finally:
            self._talking.set()
            self._news.put_nowait(None)  # whoever waits for events hears of the end, whatever it was

    @contextlib.asynccontextmanager
    async def _calling(self) -> AsyncIterator[None]:
        """Keep calls going meanwhile."""
        if self._calls is None:
            yield
            return
        running = asyncio.create_task(self._calls.run(), name="calls")
        try:
            yield
        finally:
            await settle(running)

    def _post(self, frame: bytes) -> None:
        if self._chat is not None:
            self._chat.post(frame)

    async def _keep_desk(self, link: Link) -> None:
        """Wait for the end, with a desk for files as soon as the peer has said that it takes any."""
        await self._desk_wanted.wait()
        if self._side is None or self._settings is None or self._leaving.is_set():
            await self._leaving.wait()
            return
        from tincan.apps.desk import PURPOSE, FileDesk

        punching = punching_for(link, self._settings, self._servers)
        async with Streams(link, self._side, frozenset([PURPOSE]), punching) as streams:
            self._desk = FileDesk(streams, _here())
            self._desk_task = asyncio.create_task(self._desk.run(), name="files")
            self._desk_open.set()
            try:
                await self._leaving.wait()
            finally:
                await settle(self._desk_task)

    async def _open_desk(self) -> None:
        """Have the desk ready before the user can know that there is somebody to send files to."""
        if self._side is not None and self._settings is not None and not self._leaving.is_set():
            self._desk_wanted.set()
            await self._desk_open.wait()

    async def _close_desk(self) -> list[DeskEvent]:
        """Let the files end with their link; return what is still to be told of them."""
        moved, self._moved = self._moved, None
        if self._desk is None or self._desk_task is None:
            return []
        await asyncio.wait([self._desk_task], timeout=FAREWELL)
        await settle(self._desk_task)
        first = []
        if moved is not None:
            await settle(moved)
            first = [moved.result()] if not moved.cancelled() else []
        return [*first, *self._desk.rest()]

    def _tell(self, event: LinkEvent) -> None:
        self._servers.hear(event)
        if isinstance(event, SideTaken):
            self._side = event.side
        if self._news.qsize() < MAX_NEWS - 3:  # the last places are for the end
            self._news.put_nowait(event)


def _here() -> Path:
    """Return where files go: this folder, whatever it is called later, or even if it is gone."""
    try:
        return Path.cwd()
    except OSError:
        return Path()


class StringConversation(LinkConversation):
    """The `Conversation` of two cans that share a phrase. ``side`` None: whoever comes first waits.

    ``calls``, ``talks``: see `LinkConversation`; by default it has calls.
    """

    def __init__(
        self,
        side: Side | None,
        phrase: Phrase | None,
        settings: Settings,
        *,
        name: str,
        calls: MakeCalls | None = None,
        talks: bool = False,
    ) -> None:
        from tincan.apps.call.desk import CallDesk

        super().__init__(
            lambda tell: tie_string(side, phrase, settings, tell),
            name=name,
            side=side,
            settings=settings,
            calls=calls or CallDesk,
            talks=talks,
        )
