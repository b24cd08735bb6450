"""Whole chats over a link within this process: talking, acknowledging, and what bounds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tincan.apps.chat import (
    WINDOW,
    ChatEvent,
    ChatSession,
    Closed,
    Delivered,
    MessageReceived,
    PeerHello,
    PeerLeft,
    PeerTyping,
)
from tincan.link.interface import ChannelClosed, CloseReason
from tincan.link.memory import MemoryLink
from unit.apps.chat.helpers import (
    GOOD,
    PEER_WENT,
    all_blocked,
    all_events,
    greet,
    now,
    packed,
    soon,
    take_until,
    texts,
)


@pytest.fixture(autouse=True)
async def bounded() -> AsyncIterator[None]:
    """Let a hang fail instead of stopping everything."""
    task = asyncio.current_task()
    handle = asyncio.get_running_loop().call_later(30, lambda: task and task.cancel())
    yield
    handle.cancel()


@pytest.mark.parametrize("first", ["a", "b"])
async def test_a_whole_conversation(first: str) -> None:
    pair = MemoryLink.pair()
    near, far = pair if first == "a" else pair[::-1]
    async with (
        ChatSession(near, name="Ada", capabilities=["call"]) as ada,
        ChatSession(far, name="Bob", agent="other/2") as bob,
        asyncio.TaskGroup() as group,
    ):
        ada_saw, bob_saw = group.create_task(all_events(ada)), group.create_task(all_events(bob))
        await ada.typing(True)  # before the peer's hello nothing is sent
        assert [await ada.send(text) for text in ("one", "two")] == [1, 2]
        assert await bob.send("waves", action=True) == 1
        await ada.typing(True)
        await ada.goodbye(soon())
        assert ada.undelivered == bob.undelivered == 0
    assert ada_saw.result()[0] == PeerHello("Bob", "other/2", 1, frozenset({"chat"}))
    assert bob_saw.result()[0] == PeerHello("Ada", ada_agent(bob_saw.result()[0]), 1, frozenset({"call"}))
    assert set(ada_saw.result()[1:-2]) == {Delivered(1), Delivered(2), MessageReceived(1, "waves", True)}
    assert ada_saw.result()[-2:] == [PeerLeft(), GOOD]
    assert texts(bob_saw.result()) == ["one", "two"]
    rest = [event for event in bob_saw.result() if not isinstance(event, Delivered)]
    assert rest[-4:] == [PeerTyping(True), PeerTyping(False), PeerLeft(), PEER_WENT]
    assert await near.wait_closed() in (CloseReason.LOCAL, CloseReason.PEER)


def ada_agent(hello: ChatEvent) -> str:
    assert isinstance(hello, PeerHello)
    assert hello.agent.startswith("tin-can/")
    return hello.agent


async def test_many_messages_both_ways_arrive_in_order() -> None:
    """More than the window, the queues and the link hold, with both sides talking at once."""
    near, far = MemoryLink.pair(capacity=2)
    count = WINDOW + 200
    said = [str(number) for number in range(count)]

    all_said = asyncio.Barrier(2)

    async def say(chat: ChatSession) -> None:
        for text in said:
            await chat.send(text)
        await all_said.wait()
        await chat.goodbye(soon())

    async with (
        ChatSession(near, name="Ada", max_events=3) as ada,
        ChatSession(far, name="Bob", max_events=3) as bob,
        asyncio.TaskGroup() as group,
    ):
        seen = [group.create_task(all_events(chat)) for chat in (ada, bob)]
        for chat in (ada, bob):
            group.create_task(say(chat))
    for task in seen:
        assert texts(task.result()) == said
        assert [event.id for event in task.result() if isinstance(event, Delivered)] == list(range(1, count + 1))
        closed = task.result()[-1]
        assert isinstance(closed, Closed)
        assert (closed.undelivered, closed.error) == (0, None)


async def test_a_message_is_acknowledged_when_the_next_event_is_asked_for() -> None:
    near, far = MemoryLink.pair()
    async with ChatSession(near, name="Ada") as ada, ChatSession(far, name="Bob") as bob:
        await ada.send("one")
        await ada.send("two")
        events = bob.events()
        await take_until(events, MessageReceived)
        await all_blocked()
        assert ada.undelivered == 2
        assert await anext(events) == MessageReceived(2, "two", False)
        assert await take_until(ada.events(), Delivered) == Delivered(1)
        assert ada.undelivered == 1
        bob.acknowledge(2)
        assert await take_until(ada.events(), Delivered) == Delivered(2)
        assert ada.undelivered == 0


async def test_whoever_reads_events_may_stop_and_begin_again() -> None:
    near, far = MemoryLink.pair()
    async with ChatSession(near, name="Ada") as ada, ChatSession(far, name="Bob") as bob:
        for text in ("one", "two"):
            await ada.send(text)
        async for event in bob.events():
            if isinstance(event, MessageReceived):
                break
        assert await take_until(bob.events(), MessageReceived) == MessageReceived(2, "two", False)
        assert await take_until(ada.events(), Delivered) == Delivered(1)


# Bounds


async def test_a_slow_application_slows_the_peer_down() -> None:
    near, far = MemoryLink.pair(capacity=4)
    async with (
        ChatSession(near, name="Ada") as ada,
        ChatSession(far, name="Bob", max_events=8) as bob,
        asyncio.TaskGroup() as group,
    ):
        done: list[int] = []

        async def flood() -> None:
            for _ in range(200):
                done.append(await ada.send("x" * 60_000))

        group.create_task(flood())
        await all_blocked()
        # The queue, the link, one in the reader's and one in the writer's hand.
        assert len(done) <= 8 + 4 + 2
        bob_saw = group.create_task(all_events(bob))
        ada_saw = group.create_task(all_events(ada))
        await take_until_sent(done, 200)
        await ada.goodbye(soon())
    assert len(texts(bob_saw.result())) == 200
    assert ada_saw.result()[-1] == GOOD


async def take_until_sent(done: list[int], count: int) -> None:
    while len(done) < count:
        await asyncio.sleep(0)


async def test_a_typing_flood_is_bounded_too() -> None:
    near, far = MemoryLink.pair(capacity=4)
    async with ChatSession(near, name="Ada", max_events=8) as ada:
        await greet(far)
        taken = []

        async def flood() -> None:
            for number in range(500):
                await far.control.send(packed(kind="typing", active=number % 2 == 0))
                taken.append(number)

        flooding = asyncio.create_task(flood())
        await all_blocked()
        assert len(taken) <= 8 + 4 + 2
        await ada.goodbye(now())
        with pytest.raises(ChannelClosed):
            await flooding
