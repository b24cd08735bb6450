"""Decoders that strangers reach and whose own tests do not feed them anything at all.

Those of the others are in their rooms: the frames of cans (unit/switchboard/test_frames.py), the handshake
(unit/meet/test_handshake_fuzz.py), descriptions (unit/link/test_description.py), phrases
(unit/meet/test_phrase.py), server URLs (unit/nat/test_servers.py), the chat (unit/apps/chat/test_fuzz.py) and
text (unit/apps/test_text.py).
"""

from __future__ import annotations

import asyncio
import json
import urllib.parse
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from security.evil import Board, Seat
from tincan.errors import TinCanError, UsageError
from tincan.link.ice import IceAgent
from tincan.meet.mailbox import MAX_MESSAGE, MailboxClosed, Side
from tincan.meet.places.lan import read_frame
from tincan.meet.places.switchboard import SwitchboardPlace, switchboard_url

patient = settings(deadline=None, max_examples=200)  # a busy machine is not a bug

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
FRAMES = st.fixed_dictionaries(
    {"type": st.sampled_from(["opened", "message", "reset", "gone", "error"]) | JUNK},
    optional={
        name: st.sampled_from([0, 1, 63, "", "AAAA", "417", "busy", "stun:127.0.0.1:1", []]) | JUNK
        for name in ("mailbox", "nameplate", "stun", "turn", "seq", "body", "code", "text")
    },
).map(json.dumps)


class Saying(Board):
    """Says given things to whoever opens a mailbox, and hangs up."""

    def __init__(self, texts: list[str | bytes]) -> None:
        super().__init__()
        self.code = ""  # any
        self._texts = texts
        self.said = asyncio.Event()

    async def on_open(self, seat: Seat) -> None:
        if not self.said.is_set():
            await self.tell_opened(seat)
            for text in self._texts:
                await self.say_raw(seat.side, text)
            self.said.set()
        assert seat.socket is not None
        await seat.socket.close()


@settings(deadline=None, max_examples=60)
@given(st.lists(FRAMES | st.text(max_size=50) | st.binary(max_size=50), max_size=4))
def test_whatever_a_switchboard_says(texts: list[str | bytes]) -> None:
    """Only errors that are ours come out of the mailbox, and its task never fails."""

    async def listen() -> None:
        def tell(event: Any) -> None:
            pass

        async with Saying.running(texts) as board, asyncio.TaskGroup() as group:
            mailbox = await SwitchboardPlace(board.url, group, tell).open(Side.TAP, board.code or "0" * 12)
            receiving = asyncio.create_task(mailbox.receive())
            async with asyncio.timeout(120):
                await board.said.wait()
            await asyncio.wait([receiving], timeout=0.02)
            if receiving.done():
                assert receiving.exception() is None or isinstance(receiving.exception(), TinCanError)
            receiving.cancel()
            await asyncio.wait([receiving])
            await mailbox.close(done=False)
            assert mailbox.task is not None

    asyncio.run(listen())


@patient
@given(st.binary(max_size=300), st.integers(0, 2**32 - 1), st.booleans())
def test_lan_frames(data: bytes, length: int, framed: bool) -> None:
    async def read() -> None:
        reader = asyncio.StreamReader(limit=MAX_MESSAGE + 4)
        reader.feed_data((len(data) if framed else length).to_bytes(4, "big") + data)
        reader.feed_eof()
        if framed:
            assert await read_frame(reader) == data
        try:
            assert len(await read_frame(reader)) <= MAX_MESSAGE
        except MailboxClosed:
            return
        assert length <= len(data)

    asyncio.run(read())


@patient
@given(
    st.text(max_size=60)
    | st.builds("{}://{}{}".format, st.sampled_from(["ws", "wss", "http", "https", "file"]), st.text(), st.text())
)
def test_switchboard_urls(text: str) -> None:
    """What is accepted is a WebSocket URL to some host, the same when read again, and nothing else is."""
    try:
        url = switchboard_url(text)
    except UsageError:
        return
    parts = urllib.parse.urlsplit(url)
    assert parts.scheme in ("ws", "wss")
    assert parts.hostname
    assert not parts.username
    assert parts.path.endswith("/v1")
    assert switchboard_url(url) == url


@patient
@given(st.binary(max_size=200), st.booleans())
def test_datagrams_of_strangers_do_nothing(data: bytes, cookie: bool) -> None:
    """Whatever reaches the UDP port from an address that is not the peer's is neither kept nor an error of ours."""

    async def receive() -> None:
        agent = IceAgent(controlling=False)
        await agent.gather_hosts()
        packet = data[:2] + len(data[2:]).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + data[2:] if cookie else data
        try:
            for protocol in agent._protocols:
                protocol.datagram_received(packet, ("127.0.0.1", 9))  # an answer stays on this machine
            assert agent._queue.empty()
            assert not agent._remote_candidates
        finally:
            await agent.close()

    asyncio.run(receive())


@pytest.mark.parametrize("size", [MAX_MESSAGE + 1, 2**31, 2**32 - 1])
async def test_a_lan_frame_that_is_announced_too_large_is_not_waited_for(size: int) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(size.to_bytes(4, "big"))  # and no end
    with pytest.raises(MailboxClosed):
        await asyncio.wait_for(read_frame(reader), 120)
