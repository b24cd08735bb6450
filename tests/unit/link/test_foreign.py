"""A link to a real RTCPeerConnection of aiortc, from both sides."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from tincan.errors import AuthenticationFailed
from tincan.link.datachannel import WebRtcChannel
from tincan.link.foreign import foreign_link
from tincan.link.interface import CloseReason
from tincan.link.sdp import read
from tincan.link.webrtc import WebRtcLink
from tincan.nat.addresses import interfaces
from unit.link.servers import sees, silent_server, stun_server

pytestmark = pytest.mark.skipif(
    all(found.address.is_loopback for found in interfaces()), reason="aiortc does nothing with loopback alone"
)

PATIENCE = 120.0


class Stranger:
    """aiortc as its own examples use it."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection()
        self.channel: asyncio.Future[RTCDataChannel] = asyncio.get_running_loop().create_future()
        self.heard: asyncio.Queue[bytes | str] = asyncio.Queue()
        self.connection.on("datachannel", self._take)

    def open(self, label: str) -> None:
        channel = self.connection.createDataChannel(label)
        channel.on("open", lambda: self._take(channel))

    def _take(self, channel: RTCDataChannel) -> None:
        channel.on("message", self.heard.put_nowait)
        self.channel.set_result(channel)

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def answer(self, offer: str) -> str:
        await self.connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return self.connection.localDescription.sdp

    async def accept(self, answer: str) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))


@contextlib.asynccontextmanager
async def stranger() -> AsyncIterator[Stranger]:
    made = Stranger()
    try:
        yield made
    finally:
        await made.connection.close()


Tied = tuple[WebRtcLink, WebRtcChannel, Stranger]


@contextlib.asynccontextmanager
async def tied(*, we_offer: bool) -> AsyncIterator[Tied]:
    async with asyncio.timeout(PATIENCE), stranger() as other, foreign_link(offers=we_offer) as ours:
        if we_offer:
            link = await ours.connect(read(await other.answer(await ours.describe())))
            channel = await link.open_channel("chat")
        else:
            other.open("chat")
            offer = await other.offer()
            await other.accept(await ours.describe())
            link = await ours.connect(read(offer))
            channel = await link.accept_channel()
        yield link, channel, other


@pytest.mark.parametrize("we_offer", [True, False])
async def test_messages_both_ways(we_offer: bool) -> None:
    async with tied(we_offer=we_offer) as (_, channel, other):
        theirs = await other.channel
        assert theirs.label == channel.label == "chat"
        for message in ("text ✓", b"bytes\x00", "x" * 60_000):
            await channel.send(message)
            assert await other.heard.get() == message
            theirs.send(message)
            assert await channel.receive_message() == message


@pytest.mark.parametrize("we_offer", [True, False])
async def test_we_close(we_offer: bool) -> None:
    async with tied(we_offer=we_offer) as (link, channel, other):
        theirs = await other.channel
        closed = asyncio.Event()
        theirs.on("close", closed.set)
        await channel.send("last words")
        await link.close()
        assert await other.heard.get() == "last words"
        await closed.wait()
        assert await link.wait_closed() is CloseReason.LOCAL


@pytest.mark.parametrize("we_offer", [True, False])
async def test_they_close(we_offer: bool) -> None:
    async with tied(we_offer=we_offer) as (link, _, other):
        await other.channel
        await other.connection.close()
        assert await link.wait_closed() is CloseReason.PEER


async def test_another_certificate_than_the_one_promised() -> None:
    async with asyncio.timeout(PATIENCE), stranger() as other, foreign_link(offers=True) as ours:
        answer = await other.answer(await ours.describe())
        place = answer.index("a=fingerprint:sha-256 ") + len("a=fingerprint:sha-256 ")
        forged = answer[:place] + "00:00" + answer[place + 5 :]
        with pytest.raises(AuthenticationFailed):
            await ours.connect(read(forged))


async def test_the_description_has_what_servers_give_and_waits_for_none_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tincan.link.ice.SERVER_TIMEOUT", 2 * PATIENCE)
    async with (
        stun_server(sees(("203.0.113.77", 4711))) as server,
        foreign_link(offers=True, servers=(server,)) as one,
    ):
        kinds = {c.kind for c in read(await one.describe()).description.candidates}
        assert kinds == {"host", "srflx"}
    with silent_server() as silent:
        async with asyncio.timeout(PATIENCE), foreign_link(offers=True, servers=(silent,)) as other:
            assert read(await other.describe()).description.candidates


async def test_roles_in_the_description() -> None:
    async with foreign_link(offers=True) as one, foreign_link(offers=False) as two:
        assert read(await one.describe()).setup == "actpass"
        assert read(await two.describe()).setup == "active"


async def test_two_of_ours() -> None:
    async with asyncio.timeout(PATIENCE), foreign_link(offers=True) as one, foreign_link(offers=False) as two:
        offer, answer = read(await one.describe()), read(await two.describe())
        a, b = await asyncio.gather(one.connect(answer), two.connect(offer))
        channel = await a.open_channel("x")
        await channel.send("hi")
        assert await (await b.accept_channel()).receive_message() == "hi"
