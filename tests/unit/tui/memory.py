"""Conversations within this process: what the screens are tested with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType

from tincan.apps.call.memory import MemoryCalls
from tincan.apps.conversation import ConversationEvent, LinkConversation, Reconnected, Reconnecting
from tincan.errors import AuthenticationFailed, TinCanError
from tincan.link.dial import Connected, Settings, Tell
from tincan.link.interface import Link, LinkStatus, Path
from tincan.link.memory import MemoryLink
from tincan.meet.events import PeerFound, PlaceReady, Waiting
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase, parse
from tincan.tasks import settle
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

    def make(self, request: Request, takes_files: bool = True) -> MemoryConversation:
        """Be the `MakeConversation` of an app."""
        self.requests.append(request)
        phrase = parse(request.phrase) if request.phrase is not None else parse(PHRASE)
        made = MemoryConversation(self, request, phrase, takes_files)
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


class MemoryConversation(LinkConversation):
    """The conversation of tin-can's own protocol, files included, over a `MemoryLink`."""

    def __init__(self, exchange: Exchange, request: Request, phrase: Phrase, takes_files: bool = True) -> None:
        # Relayed only: streams stay on channels, and no socket is opened.
        settings = Settings(relay_only=True) if takes_files else None
        super().__init__(self._meet, name=request.name, side=request.side, settings=settings)
        self.side = request.side
        self.phrase = phrase
        self.waits = False
        self.ended = False
        self.link: MemoryLink | None = None
        self.asides: asyncio.Queue[ConversationEvent] = asyncio.Queue()
        self._exchange = exchange
        self._tied: asyncio.Future[MemoryLink] = asyncio.get_running_loop().create_future()

    def tie(self, outcome: MemoryLink | TinCanError) -> None:
        """Decide how the meeting ends."""
        self.waits = False
        if isinstance(outcome, TinCanError):
            self._tied.set_exception(outcome)
        else:
            self._tied.set_result(outcome)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.waits = False
        self.ended = True
        await super().__aexit__(kind, error, trace)

    @contextlib.asynccontextmanager
    async def _meet(self, tell: Tell) -> AsyncIterator[Link]:
        tell(Waiting("0123456789ab", self.phrase))
        tell(PlaceReady("lan"))
        self.waits = True
        self._exchange.came(self)
        self.link = await self._tied
        tell(PeerFound("lan"))
        tell(Connected(self.link.status.path.value, "lan"))
        try:
            yield self.link
        finally:
            await self.link.close()


class MendingConversation(MemoryConversation):
    """One whose link goes silent once, after its first message, and mends itself."""

    async def events(self) -> AsyncIterator[ConversationEvent]:
        async for event in super().events():
            yield event
            if type(event).__name__ == "MessageReceived":
                yield Reconnecting()
                await self.asides.get()
                yield Reconnected("relayed")


class CallingConversation(MemoryConversation):
    """One that carries calls, which are only told: the test plays the other end of them."""

    def __init__(self, exchange: Exchange, request: Request, phrase: Phrase) -> None:
        super().__init__(exchange, request, phrase)
        self.memory_calls = MemoryCalls(self.asides.put_nowait)

    @property
    def calls(self) -> MemoryCalls:
        return self.memory_calls

    async def events(self) -> AsyncIterator[ConversationEvent]:
        talk = super().events()
        said: asyncio.Future[ConversationEvent | None] | None = None
        aside: asyncio.Future[ConversationEvent] | None = None
        try:
            while True:
                said = said or asyncio.ensure_future(anext(talk, None))
                aside = aside or asyncio.ensure_future(self.asides.get())
                await asyncio.wait([said, aside], return_when=asyncio.FIRST_COMPLETED)
                if aside.done():
                    event: ConversationEvent | None = aside.result()
                    aside = None
                else:
                    event, said = said.result(), None
                if event is None:
                    return
                yield event
        finally:
            await settle(*filter(None, [said, aside]))


class CallingExchange(Exchange):
    """One whose conversations carry calls."""

    def make(self, request: Request, takes_files: bool = True) -> MemoryConversation:
        self.requests.append(request)
        phrase = parse(request.phrase) if request.phrase is not None else parse(PHRASE)
        self.all.append(CallingConversation(self, request, phrase))
        return self.all[-1]

    @property
    def calls(self) -> MemoryCalls:
        """Those of the first conversation."""
        first = self.all[0]
        assert isinstance(first, CallingConversation)
        return first.memory_calls


__all__ = ["PHRASE", "STATUS", "CallingExchange", "Exchange", "MemoryConversation", "MendingConversation", "Side"]
