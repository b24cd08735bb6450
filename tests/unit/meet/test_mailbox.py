"""The mailbox within one process, which every test of a meeting stands on."""

from __future__ import annotations

import pytest

from tincan.meet.mailbox import MAX_MESSAGE, MailboxClosed, MemoryMailbox, Side
from virtualtime import NothingCanHappen, in_virtual_time, run


def test_sides() -> None:
    assert Side.ATTACH.other is Side.TAP
    assert Side.TAP.other is Side.ATTACH


@in_virtual_time
async def test_messages_go_both_ways_in_order() -> None:
    one, two = MemoryMailbox.pair()
    for near, far in ((one, two), (two, one)):
        messages = [b"", b"a", bytes(MAX_MESSAGE)]
        for message in messages:
            await near.send(message)
        assert [await far.receive() for _ in messages] == messages


@in_virtual_time
async def test_messages_have_a_limit() -> None:
    one, _ = MemoryMailbox.pair()
    with pytest.raises(ValueError):
        await one.send(bytes(MAX_MESSAGE + 1))


@in_virtual_time
async def test_giving_up_is_seen_after_what_was_sent() -> None:
    one, two = MemoryMailbox.pair()
    await one.send(b"last words")
    await one.close(done=False)
    await one.close(done=False)
    assert await two.receive() == b"last words"
    with pytest.raises(MailboxClosed):
        await two.receive()


def test_being_done_is_not_giving_up() -> None:
    async def main() -> None:
        one, two = MemoryMailbox.pair()
        await one.close(done=True)
        await two.receive()

    with pytest.raises(NothingCanHappen):
        run(main())
