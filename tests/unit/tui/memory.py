"""Conversations within this process: what the screens are tested with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from tincan.apps.chat import ChatSession
from tincan.apps.conversation import ConversationEvent, Reconnected, Reconnecting
from tincan.apps.desk import FileDesk
from tincan.errors import AuthenticationFailed, TinCanError
from tincan.link.dial import Connected
from tincan.link.interface import ChannelClosed, LinkStatus, Path
from tincan.link.memory import MemoryLink
from tincan.meet.events import PeerFound, PlaceReady, Waiting
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase, parse
from tincan.tui.seam import Request

PHRASE = "417-guitar-banana"
STATUS = LinkStatus(Path.DIRECT_UDP, 0.0234)


class Exchange:
    """Where the conversations of one test meet: each tap is joined with the attaching one that waits."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.all: list[MemoryConversation] = []
        self.failure: TinCanError | None = None
        """What the next conversation ends with instead of a string."""

    def make(self, request: Request) -> MemoryConversation:
        """Be the `MakeConversation` of an app."""
        self.requests.append(request)
        phrase = parse(request.phrase) if request.phrase is not None else parse(PHRASE)
        made = MemoryConversation(self, request, phrase)
        self.all.append(made)
        return made

    def came(self, newcomer: MemoryConversation) -> None:
        """Join two that wait; both fail when their words differ."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            newcomer.tie(failure)
            return
        for other in self.all:
            if other.waits and newcomer.waits and other.side is not newcomer.side:
                if other.phrase == newcomer.phrase:
                    for conversation, link in zip((other, newcomer), MemoryLink.pair(status=STATUS), strict=True):
                        conversation.tie(link)
                else:
                    for conversation in (other, newcomer):
                        conversation.tie(AuthenticationFailed("The phrase is wrong. Agree on a new one."))


class MemoryConversation:
    """The `Conversation` interface over a `MemoryLink`."""

    def __init__(self, exchange: Exchange, request: Request, phrase: Phrase) -> None:
        self.side = request.side
        self.phrase = phrase
        self.waits = False
        self.ended = False
        self.link: MemoryLink | None = None
        self.asides: asyncio.Queue[ConversationEvent] = asyncio.Queue()
        self._exchange = exchange
        self._name = request.name
        self._chat: ChatSession | None = None
        self._tied: asyncio.Future[MemoryLink] = asyncio.get_running_loop().create_future()

    def tie(self, outcome: MemoryLink | TinCanError) -> None:
        """Decide how the meeting ends."""
        self.waits = False
        if isinstance(outcome, TinCanError):
            self._tied.set_exception(outcome)
        else:
            self._tied.set_result(outcome)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.waits = False
        self.ended = True
        if self._chat is not None:
            await self._chat.__aexit__(kind, error, trace)

    async def events(self) -> AsyncIterator[ConversationEvent]:
        yield Waiting("0123456789ab", self.phrase)
        yield PlaceReady("lan")
        self.waits = True
        self._exchange.came(self)
        self.link = await self._tied
        yield PeerFound("lan")
        self._chat = await ChatSession(self.link, name=self._name).__aenter__()
        yield Connected(self.link.status.path.value, "lan")
        async for event in self._chat.events():
            yield event

    @property
    def status(self) -> LinkStatus | None:
        return self.link.status if self.link is not None else None

    async def send(self, text: str, action: bool = False) -> int:
        if self._chat is None:
            raise ChannelClosed("not connected")
        return await self._chat.send(text, action)

    async def typing(self, active: bool) -> None:
        if self._chat is not None:
            await self._chat.typing(active)

    @property
    def files(self) -> FileDesk | None:
        return None

    async def goodbye(self, deadline: float) -> None:
        if self._chat is not None:
            await self._chat.goodbye(deadline)


class MendingConversation(MemoryConversation):
    """One whose link goes silent once, after its first message, and mends itself."""

    async def events(self) -> AsyncIterator[ConversationEvent]:
        async for event in super().events():
            yield event
            if type(event).__name__ == "MessageReceived":
                yield Reconnecting()
                await self.asides.get()
                yield Reconnected("relayed")


__all__ = ["PHRASE", "STATUS", "Exchange", "MemoryConversation", "MendingConversation", "Side"]
