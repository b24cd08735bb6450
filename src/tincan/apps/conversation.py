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
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self

from tincan.apps.call.events import CallEvent
from tincan.apps.chat import ChatEvent, ChatSession, Closed, PeerHello
from tincan.apps.desk_events import DeskEvent
from tincan.apps.desks import Desks, MakeCalls
from tincan.errors import TinCanError
from tincan.link.dial import LinkEvent, Settings, Tell, tie_string
from tincan.link.interface import ChannelClosed, Link, LinkStatus
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase
from tincan.tasks import settle

if TYPE_CHECKING:
    from tincan.apps.call.interface import Calls
    from tincan.apps.desk import FileDesk

MAX_NEWS: Final = 256
"""Events of the meeting that wait to be shown; they are few, and more are dropped."""


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
        self._desks = Desks(settings, side, calls, talks=talks)
        self._news: asyncio.Queue[LinkEvent | TinCanError | None] = asyncio.Queue(MAX_NEWS)
        self._link: Link | None = None
        self._chat: ChatSession | None = None
        self._said: asyncio.Task[ChatEvent | None] | None = None
        self._talking = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """See `Conversation.__aenter__`."""
        self._task = asyncio.create_task(self._run(), name="conversation")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `Conversation.__aexit__`."""
        self._desks.leave()
        if self._said is not None:
            await settle(self._said)
        await self._desks.ask_no_more()
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
        """Yield what happens in the chat, and between its events what happens at the desks."""
        talk = chat.events()
        while True:
            # Asking the chat acknowledges what it told before; so it is asked only when that has been shown.
            self._said = self._said or asyncio.ensure_future(anext(talk, None))
            await asyncio.wait([self._said, *self._desks.asking()], return_when=asyncio.FIRST_COMPLETED)
            if (news := self._desks.news()) is not None:
                yield news
                continue
            event, self._said = self._said.result(), None
            if event is None:
                return
            trouble = await self._desks.open(event) if isinstance(event, PeerHello) else None
            if isinstance(event, Closed):
                for end in await self._desks.close():
                    yield end
            yield event
            if trouble is not None:
                yield trouble

    @property
    def files(self) -> FileDesk | None:
        """See `Conversation.files`."""
        return self._desks.files

    @property
    def calls(self) -> Calls | None:
        """See `Conversation.calls`."""
        return self._desks.calls

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
        self._desks.hang_up()
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
                self._desks.begin(link, self._post)
                capabilities = ["chat", *self._desks.capabilities]
                async with (
                    ChatSession(
                        link, name=self._name, capabilities=capabilities, others=self._desks.receive
                    ) as self._chat,
                    self._desks.calling(),
                ):
                    self._news.put_nowait(None)
                    self._talking.set()
                    await self._desks.keep(link)
        except TinCanError as exc:
            self._news.put_nowait(exc)
        finally:
            self._talking.set()
            self._news.put_nowait(None)  # whoever waits for events hears of the end, whatever it was

    def _post(self, frame: bytes) -> None:
        if self._chat is not None:
            self._chat.post(frame)

    def _tell(self, event: LinkEvent) -> None:
        self._desks.hear(event)
        if self._news.qsize() < MAX_NEWS - 3:  # the last places are for the end
            self._news.put_nowait(event)


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
