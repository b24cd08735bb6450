"""The desks of a conversation by themselves; with a string and a peer they are tried in `test_conversation_files`."""

from __future__ import annotations

import asyncio

from tincan.apps.chat import PeerHello
from tincan.apps.desk_events import CAPABILITY
from tincan.apps.desks import Desks
from tincan.link.dial import Settings
from tincan.meet.mailbox import Side


async def test_who_waits_for_a_desk_is_let_go_when_the_conversation_is_left() -> None:
    desks = Desks(Settings(), Side.TAP, None, talks=False)
    opening = asyncio.create_task(desks.open(PeerHello("bob", "tin-can", 1, frozenset({CAPABILITY}))))
    await asyncio.sleep(0)
    assert not opening.done()
    desks.leave()
    async with asyncio.timeout(5):
        assert await opening is None
    assert desks.files is None


async def test_without_any_desk_there_is_nothing_to_wait_for_or_to_tell() -> None:
    desks = Desks(None, None, None, talks=True)
    assert desks.capabilities == []
    assert desks.receive is None
    assert await desks.open(PeerHello("bob", "tin-can", 1, frozenset({CAPABILITY}))) is None
    assert (desks.files, desks.calls) == (None, None)
    assert desks.asking() == []
    assert desks.news() is None
    assert await desks.close() == []
