"""Every way in which a chat ends leaves the link closed and one true `Closed`."""

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
)
from tincan.errors import NoPath, PeerRefused, ProtocolError, UsageError
from tincan.link.interface import ChannelClosed, CloseReason
from tincan.link.memory import MemoryLink
from unit.apps.chat.helpers import (
    GOOD,
    HELLO,
    PEER_WENT,
    all_blocked,
    all_events,
    greet,
    now,
    packed,
    sent,
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


async def test_goodbye_delivers_everything_first() -> None:
    near, far = MemoryLink.pair()
    async with (
        ChatSession(near, name="Ada") as ada,
        ChatSession(far, name="Bob") as bob,
        asyncio.TaskGroup() as group,
    ):
        ada_saw, bob_saw = group.create_task(all_events(ada)), group.create_task(all_events(bob))
        for number in range(100):
            await ada.send(str(number))
        await ada.goodbye(soon())
    assert texts(bob_saw.result()) == [str(number) for number in range(100)]
    assert ada_saw.result()[-1] == GOOD
    assert bob_saw.result()[-1] == PEER_WENT


async def test_both_say_one_thing_and_leave() -> None:
    """What two scripts do; neither may lose what the other said last."""
    near, far = MemoryLink.pair()

    async def script(link: MemoryLink, word: str) -> list[ChatEvent]:
        async with ChatSession(link, name=word) as chat, asyncio.TaskGroup() as group:
            events = group.create_task(all_events(chat))
            await chat.send(word)
            await chat.goodbye(soon())
        return events.result()

    ada_saw, bob_saw = await asyncio.gather(script(near, "ada"), script(far, "bob"))
    for saw, word in ((ada_saw, "bob"), (bob_saw, "ada")):
        assert texts(saw) == [word]
        closed = saw[-1]
        assert isinstance(closed, Closed)
        assert (closed.undelivered, closed.error) == (0, None)


async def test_goodbye_stops_waiting_at_its_deadline() -> None:
    near, far = MemoryLink.pair()
    async with ChatSession(near, name="Ada") as ada, ChatSession(far, name="Bob") as bob:
        await ada.send("never shown")
        await ada.goodbye(now())
        assert (await all_events(ada))[-1] == Closed(CloseReason.LOCAL, 1)
        with pytest.raises(ChannelClosed):
            await ada.send("too late")
        bob_saw = await all_events(bob)
    assert bob_saw[-2:] == [PeerLeft(), PEER_WENT]
    assert texts(bob_saw) == ["never shown"]


async def test_goodbye_to_a_peer_that_never_said_hello() -> None:
    near, far = MemoryLink.pair()
    async with ChatSession(near, name="Ada") as ada:
        await ada.goodbye(now())
        assert await all_events(ada) == [GOOD]
    assert await far.wait_closed() is CloseReason.PEER


async def test_goodbye_to_a_peer_that_takes_nothing() -> None:
    near, far = MemoryLink.pair(capacity=1)
    async with ChatSession(near, name="Ada") as ada:
        await far.control.send(packed(**HELLO))
        sending = [asyncio.create_task(ada.send("stuck")) for _ in range(3)]
        await all_blocked()
        await ada.goodbye(now())
        assert (await all_events(ada))[-1] == Closed(CloseReason.LOCAL, 1)
        results = await asyncio.gather(*sending, return_exceptions=True)
    assert results[0] == 1
    assert [type(result) for result in results[1:]] == [ChannelClosed, ChannelClosed]


async def test_leaving_without_a_goodbye_closes_the_link() -> None:
    near, far = MemoryLink.pair()
    async with ChatSession(far, name="Bob") as bob:
        async with ChatSession(near, name="Ada") as ada:
            await ada.send("last")
        assert await all_events(ada) == [
            PeerHello("Bob", "tin-can/0.1.0", 1, frozenset({"chat"})),
            Closed(CloseReason.LOCAL, 1),
        ]
        bob_saw = await all_events(bob)
    assert texts(bob_saw) == ["last"]
    assert bob_saw[-1] == PEER_WENT


async def test_a_peer_that_vanished_leaves_the_number_of_undelivered_messages() -> None:
    near, far = MemoryLink.pair()
    async with ChatSession(near, name="Ada") as ada:
        await greet(far)
        for text in ("one", "two", "three"):
            await ada.send(text)
        await far.control.send(packed(kind="ack", id=1))
        await far.control.send(packed(kind="message", id=1, text="last words"))
        far.vanish()
        saw = await all_events(ada)
        with pytest.raises(ChannelClosed):
            await ada.send("four")
        await ada.typing(True)
        await ada.goodbye(soon())
    closed = saw[-1]
    assert texts(saw) == ["last words"]
    assert isinstance(closed, Closed)
    assert (closed.reason, closed.undelivered) == (CloseReason.LOST, 2)
    assert isinstance(closed.error, NoPath)


async def test_a_peer_that_vanishes_ends_a_goodbye_and_a_waiting_send() -> None:
    near, far = MemoryLink.pair()
    async with ChatSession(near, name="Ada") as ada, asyncio.TaskGroup() as group:
        await greet(far)
        await ada.send("one")
        leaving = group.create_task(ada.goodbye(soon()))
        saw = group.create_task(all_events(ada))
        await all_blocked()
        far.vanish()
        await leaving
    closed = saw.result()[-1]
    assert isinstance(closed, Closed)
    assert (closed.reason, closed.undelivered) == (CloseReason.LOST, 1)


async def test_a_send_that_waits_for_the_window_is_told_of_the_end() -> None:
    near, far = MemoryLink.pair()

    async def swallow() -> None:
        while True:
            await far.control.receive()

    async with ChatSession(near, name="Ada") as ada:
        await greet(far)
        swallowing = asyncio.create_task(swallow())
        for _ in range(WINDOW):
            await ada.send("x")
        waiting = asyncio.create_task(ada.send("one more"))
        await all_blocked()
        assert not waiting.done()
        far.vanish()
        with pytest.raises(ChannelClosed):
            await waiting
        with pytest.raises(ChannelClosed):
            await swallowing
        closed = (await all_events(ada))[-1]
    assert isinstance(closed, Closed)
    assert closed.undelivered == WINDOW


async def test_nothing_can_be_said_to_a_peer_that_left() -> None:
    near, far = MemoryLink.pair()
    async with ChatSession(near, name="Ada") as ada:
        await greet(far)
        await ada.send("shown to nobody yet")
        await far.control.send(packed(kind="bye"))
        events = ada.events()
        assert await take_until(events, PeerLeft) == PeerLeft()
        with pytest.raises(ChannelClosed):
            await ada.send("hello?")
        rest = asyncio.create_task(all_events(ada))
        await far.control.receive()
        await far.control.send(packed(kind="ack", id=1))
        assert sent([await far.control.receive()]) == [{"kind": "bye"}]
        assert await rest == [Delivered(1), PEER_WENT]


# Errors


async def test_text_that_cannot_be_sent_is_refused_at_once() -> None:
    near, far = MemoryLink.pair()
    async with ChatSession(near, name="Ada") as ada:  # its peer never says hello
        for text in ("", "x" * 65537):
            with pytest.raises(UsageError):
                await ada.send(text)
        assert sent([await far.control.receive()])[0]["kind"] == "hello"
    with pytest.raises(ChannelClosed):
        await far.control.receive()


async def test_a_malformed_frame_ends_the_chat_with_a_clear_error_on_both_sides() -> None:
    near, far = MemoryLink.pair()
    async with ChatSession(near, name="Ada") as ada, ChatSession(far, name="Bob") as bob:
        await bob.send("before")
        await take_until(ada.events(), MessageReceived)
        near.alter = lambda label, message: message[:-1]
        await ada.send("broken on its way")
        ada_saw, bob_saw = await asyncio.gather(all_events(ada), all_events(bob))
    ours, theirs = ada_saw[-1], bob_saw[-1]
    assert isinstance(theirs, Closed)
    assert theirs.reason is CloseReason.BROKEN
    assert isinstance(theirs.error, ProtocolError)
    assert "malformed" in str(theirs.error)
    assert isinstance(ours, Closed)
    assert ours.reason is CloseReason.BROKEN
    assert ours.undelivered == 1
    assert isinstance(ours.error, PeerRefused)
    assert "malformed" in str(ours.error)


async def test_a_hand_made_evil_peer_hears_why_and_loses_the_link() -> None:
    near, far = MemoryLink.pair()
    async with ChatSession(near, name="Ada") as ada:
        await greet(far)
        await far.control.send(b"junk")
        assert isinstance((await all_events(ada))[-1], Closed)
        (complaint,) = sent([await far.control.receive()])
        assert complaint["kind"] == "bye"
        assert complaint["error"]
        with pytest.raises(ChannelClosed):
            await far.control.receive()
        assert await far.wait_closed() is CloseReason.PEER


async def test_a_closed_control_channel_ends_the_chat() -> None:
    near, far = MemoryLink.pair()
    async with ChatSession(near, name="Ada") as ada:
        await greet(far)
        await far.control.close()
        closed = (await all_events(ada))[-1]
        assert isinstance(closed, Closed)
        assert await far.wait_closed() is CloseReason.PEER


async def test_a_transport_that_broke_is_told() -> None:
    near, far = MemoryLink.pair()
    async with ChatSession(near, name="Ada") as ada:
        await greet(far)
        far.vanish(CloseReason.BROKEN)
        closed = (await all_events(ada))[-1]
    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.BROKEN
    assert isinstance(closed.error, ProtocolError)
