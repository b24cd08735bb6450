"""The link within one process keeps the contract, and does what tests need of it."""

from __future__ import annotations

import asyncio

import pytest

from tincan.link.interface import ChannelClosed, CloseReason, Link, LinkStatus, Path
from tincan.link.memory import MemoryLink
from unit.link.contract import LinkContract


class TestMemoryLink(LinkContract):
    async def pair(self) -> tuple[Link, Link]:
        return MemoryLink.pair()


async def all_blocked() -> None:
    """Give every ready task its turns. Nothing here waits for time to pass."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_the_end_that_vanished_is_lost_for_the_other() -> None:
    near, far = MemoryLink.pair()
    await near.control.send(b"last words")
    near.vanish()
    assert await far.wait_closed() is CloseReason.LOST
    assert await near.wait_closed() is CloseReason.LOCAL
    assert await far.control.receive() == b"last words"
    with pytest.raises(ChannelClosed):
        await far.control.receive()


async def test_the_first_reason_stays() -> None:
    near, far = MemoryLink.pair()
    far.vanish()
    await near.close()
    assert await near.wait_closed() is CloseReason.LOST
    assert await far.wait_closed() is CloseReason.LOCAL


async def test_a_sender_waits_for_a_slow_receiver() -> None:
    near, far = MemoryLink.pair(capacity=3)
    sent: list[int] = []

    async def send() -> None:
        for number in range(10):
            await near.control.send(b"%d" % number)
            sent.append(number)

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        await all_blocked()
        assert len(sent) == 3
        assert await far.control.receive() == b"0"
        await all_blocked()
        assert len(sent) == 4
        assert [await far.control.receive() for _ in range(9)] == [b"%d" % n for n in range(1, 10)]


async def test_waiting_senders_keep_their_order() -> None:
    near, far = MemoryLink.pair(capacity=1)
    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(near.control.send(b"%d" % number))
        await all_blocked()
        assert [await far.control.receive() for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_waiting_sender_is_told_of_the_end() -> None:
    near, far = MemoryLink.pair(capacity=1)
    await near.control.send(b"fills the queue")
    waiting = asyncio.create_task(near.control.send(b"waits"))
    await all_blocked()
    await far.close()
    with pytest.raises(ChannelClosed):
        await waiting


async def test_messages_can_be_altered_and_dropped() -> None:
    near, far = MemoryLink.pair(alter=lambda label, message: None if message == b"drop" else message[::-1])
    for message in (b"abc", b"drop", b"def"):
        await near.control.send(message)
    assert await far.control.receive() == b"cba"
    assert await far.control.receive() == b"fed"
    far.alter = None
    await far.control.send(b"abc")
    assert await near.control.receive() == b"abc"


async def test_status_is_what_the_test_wants() -> None:
    status = LinkStatus(Path.RELAYED, 0.2)
    near, far = MemoryLink.pair(status=status)
    assert near.status == far.status == status
    near.status = LinkStatus(Path.DIRECT_UDP, None)
    assert near.status.path is Path.DIRECT_UDP


def test_a_link_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ValueError):
        MemoryLink.pair(capacity=0)
