"""Conversations in a dialect, over a link that the test holds both ends of."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from tincan.apps.chat import ChatEvent, Closed, MessageReceived, PeerLeft
from tincan.apps.conversation import ConversationEvent
from tincan.apps.foreign import Dial, ForeignConversation, TextChannel
from tincan.errors import NobodyCame, NoPath, ProtocolError, TinCanError, UsageError
from tincan.link.dial import Connected, Tell
from tincan.link.interface import Channel, ChannelClosed, CloseReason, Link, LinkStatus, Path
from virtualtime import in_virtual_time

CONNECTED = Connected("lan", "there")


class FakeLink:
    """A link and its one channel. The test ends it with a reason, says what the peer says and reads what it heard."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes | str] = asyncio.Queue()
        self._inbox: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        self._reason: asyncio.Future[CloseReason] = asyncio.get_running_loop().create_future()
        self.drained = False

    def say(self, message: bytes | str) -> None:
        self._inbox.put_nowait(message)

    def end(self, reason: CloseReason) -> None:
        if not self._reason.done():
            self._reason.set_result(reason)
            self.end_channel()

    def end_channel(self) -> None:
        self._inbox.put_nowait(None)

    # -- TextChannel

    async def send(self, message: bytes | str) -> None:
        if self._reason.done():
            raise ChannelClosed("over")
        self.heard.put_nowait(message)

    async def receive_message(self) -> bytes | str:
        message = await self._inbox.get()
        if message is None:
            raise ChannelClosed("over")
        return message

    async def drain(self) -> None:
        self.drained = True

    # -- Link

    @property
    def control(self) -> Channel:
        raise RuntimeError

    @property
    def status(self) -> LinkStatus:
        return LinkStatus(Path.LAN, 0.01)

    async def open_channel(self, label: str) -> Channel:
        raise RuntimeError

    async def accept_channel(self) -> Channel:
        raise RuntimeError

    async def wait_closed(self) -> CloseReason:
        return await self._reason

    async def close(self) -> None:
        self.end(CloseReason.LOCAL)


class Shouting:
    """A dialect of capitals, with a sign of life each 10 s."""

    def __init__(self) -> None:
        self.deadline: float | None = None

    def start(self, now: float) -> list[bytes | str]:
        self.deadline = now + 10
        return ["BEGIN"]

    def say(self, text: str, action: bool) -> list[bytes | str]:
        if not text:
            raise UsageError("empty")
        return [text.upper(), b"."] if not action else [f"*{text.upper()}"]

    def receive(self, message: bytes | str, now: float) -> list[ChatEvent]:
        if isinstance(message, bytes):
            return []
        if message.islower():
            raise ProtocolError("too quiet")
        return [MessageReceived(1, message, action=False)]

    def idle(self, now: float) -> list[bytes | str]:
        self.deadline = now + 10
        return ["ALIVE"]

    def next_deadline(self) -> float | None:
        return self.deadline


class Town:
    """One conversation and the other end of it."""

    def __init__(self, link: FakeLink, conversation: ForeignConversation) -> None:
        self.link = link
        self.conversation = conversation
        self._events = conversation.events()

    async def event(self) -> ConversationEvent:
        return await anext(self._events)

    async def heard(self) -> bytes | str:
        return await self.link.heard.get()


@contextlib.asynccontextmanager
async def town() -> AsyncIterator[Town]:
    link = FakeLink()

    @contextlib.asynccontextmanager
    async def dial(tell: Tell) -> AsyncIterator[tuple[Link, TextChannel]]:
        tell(CONNECTED)
        yield link, link
        await link.close()

    async with ForeignConversation(dial, Shouting()) as conversation:
        made = Town(link, conversation)
        assert await made.event() == CONNECTED
        assert await made.heard() == "BEGIN"
        yield made


def failing(exc: Exception) -> Dial:
    @contextlib.asynccontextmanager
    async def dial(tell: Tell) -> AsyncIterator[tuple[Link, TextChannel]]:
        raise exc
        yield

    return dial


async def test_messages_both_ways() -> None:
    async with town() as made:
        assert await made.conversation.send("hello") == 1
        assert [await made.heard(), await made.heard()] == ["HELLO", b"."]
        assert await made.conversation.send("waves", action=True) == 2
        assert await made.heard() == "*WAVES"
        made.link.say(b"nothing for people")
        made.link.say("HI")
        assert await made.event() == MessageReceived(1, "HI", action=False)
        await made.conversation.typing(True)
        assert made.conversation.status == LinkStatus(Path.LAN, 0.01)
        with pytest.raises(UsageError):
            await made.conversation.send("")


async def test_our_goodbye() -> None:
    async with town() as made:
        await made.conversation.goodbye(asyncio.get_running_loop().time() + 5)
        assert made.link.drained
        assert await made.event() == Closed(CloseReason.LOCAL, 0)
        with pytest.raises(StopAsyncIteration):
            await made.event()
        with pytest.raises(ChannelClosed):
            await made.conversation.send("late")


@pytest.mark.parametrize("end", [lambda link: link.end(CloseReason.PEER), FakeLink.end_channel])
async def test_their_goodbye(end: Callable[[FakeLink], None]) -> None:
    async with town() as made:
        end(made.link)
        assert await made.event() == PeerLeft()
        assert await made.event() == Closed(CloseReason.PEER, 0)


@pytest.mark.parametrize("reason", [CloseReason.LOST, CloseReason.BROKEN])
async def test_the_link_dies(reason: CloseReason) -> None:
    async with town() as made:
        made.link.end(reason)
        closed = await made.event()
        assert isinstance(closed, Closed)
        assert closed.reason is reason
        assert isinstance(closed.error, NoPath)


async def test_what_the_dialect_does_not_allow() -> None:
    async with town() as made:
        made.link.say("quiet")
        with pytest.raises(ProtocolError, match="too quiet"):
            await made.event()


@pytest.mark.parametrize("error", [NobodyCame("nobody"), RuntimeError("a bug")])
async def test_no_link(error: Exception) -> None:
    async with ForeignConversation(failing(error), Shouting()) as conversation:
        with pytest.raises(type(error)):
            await anext(conversation.events())
        with pytest.raises(TinCanError):
            await conversation.send("late")
        assert conversation.status is None


async def test_a_link_that_ends_before_the_first_word() -> None:
    link = FakeLink()
    link.end(CloseReason.PEER)

    @contextlib.asynccontextmanager
    async def dial(tell: Tell) -> AsyncIterator[tuple[Link, TextChannel]]:
        yield link, link

    async with ForeignConversation(dial, Shouting()) as conversation:
        events = conversation.events()
        assert [await anext(events), await anext(events)] == [PeerLeft(), Closed(CloseReason.PEER, 0)]


async def test_leaving_while_nobody_is_there() -> None:
    left = asyncio.Event()

    @contextlib.asynccontextmanager
    async def dial(tell: Tell) -> AsyncIterator[tuple[Link, TextChannel]]:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        yield FakeLink(), FakeLink()

    async with ForeignConversation(dial, Shouting()) as conversation:
        await conversation.goodbye(asyncio.get_running_loop().time() + 0.01)
    assert left.is_set()


@in_virtual_time
async def test_signs_of_life() -> None:
    async with town() as made:
        begun = asyncio.get_running_loop().time()
        assert [await made.heard() for _ in range(3)] == ["ALIVE"] * 3
        assert asyncio.get_running_loop().time() - begun == pytest.approx(30)
