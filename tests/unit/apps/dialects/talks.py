"""Conversations under test, and the two sides of a static link with the hands that carry its texts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from tincan.apps.chat import Closed
from tincan.apps.conversation import Conversation
from tincan.apps.dialects.static_link import static_conversation
from tincan.apps.dialects.static_news import AnswerReady, OfferReady, StaticNews, WordsReady
from tincan.errors import TinCanError

PATIENCE = 120.0
"""Seconds after which a test that waits has failed. No test waits for a time to pass."""

T = TypeVar("T")


class Talk:
    """One end of a conversation: what it told, and how it ended."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.told: list[Any] = []
        self._taken = 0
        self._news = asyncio.Condition()
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        try:
            async for event in self.conversation.events():
                await self._tell(event)
        except TinCanError as exc:
            await self._tell(exc)

    async def _tell(self, event: object) -> None:
        async with self._news:
            self.told.append(event)
            self._news.notify_all()

    async def hear(self, kind: type[T]) -> T:
        """Return the next event of a kind, passing over others; fail when the end comes first."""
        async with asyncio.timeout(PATIENCE), self._news:
            while True:
                while self._taken < len(self.told):
                    event = self.told[self._taken]
                    self._taken += 1
                    if isinstance(event, kind):
                        return event
                    assert not isinstance(event, TinCanError | Closed), event
                await self._news.wait()

    async def fails(self, kind: type[T]) -> T:
        """Return the error it ends with."""
        async with asyncio.timeout(PATIENCE):
            await self._task
        error = self.told[-1]
        assert isinstance(error, kind), self.told
        return error

    async def hang_up(self) -> None:
        await self.conversation.goodbye(asyncio.get_running_loop().time() + PATIENCE)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@contextlib.asynccontextmanager
async def talking(conversation: Conversation) -> AsyncIterator[Talk]:
    """Hold a conversation, whose end is the end of the block."""
    async with conversation:
        talk = Talk(conversation)
        try:
            yield talk
        finally:
            await talk.stop()


class Hands:
    """Who shows one side of a static link and pastes into it."""

    def __init__(self) -> None:
        self.shown: list[StaticNews] = []
        self._changed = asyncio.Event()
        self._answers: asyncio.Queue[str] = asyncio.Queue()

    def show(self, news: StaticNews) -> None:
        self.shown.append(news)
        self._changed.set()

    async def read_answer(self) -> str:
        return await self._answers.get()

    def paste(self, text: str) -> None:
        self._answers.put_nowait(text)

    async def see(self, kind: type[T]) -> T:
        """Return the first thing of a kind that is shown."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self._changed.clear()
                for news in self.shown:
                    if isinstance(news, kind):
                        return news
                await self._changed.wait()


class StaticPair:
    """Two sides of a static link: the texts go from one to the other through ``carry``."""

    def __init__(self) -> None:
        self.a, self.b = Hands(), Hands()

    @contextlib.asynccontextmanager
    async def tied(
        self,
        *,
        offering: dict[str, Any] | None = None,
        answering: dict[str, Any] | None = None,
        carry: Callable[[str], str] = lambda text: text,
    ) -> AsyncIterator[tuple[Talk, Talk]]:
        one = self.side(self.a, None, **(offering or {}))
        async with talking(one) as a:
            offer = (await self.a.see(OfferReady)).url
            two = self.side(self.b, carry(offer), **(answering or {}))
            async with talking(two) as b:
                self.a.paste(carry((await self.b.see(AnswerReady)).url))
                yield a, b

    def side(self, hands: Hands, offer: str | None, **options: Any) -> Conversation:
        return static_conversation(offer_text=offer, show=hands.show, read_answer=hands.read_answer, **options)

    async def words(self) -> tuple[str, str]:
        return (await self.a.see(WordsReady)).words, (await self.b.see(WordsReady)).words
