"""A peer that knows the phrase and means no good, in the test's own process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

from security.cans import NO_STUN, PATIENCE, Can
from security.evil import NAMEPLATE, Board, Seat, flight_to, kind_of
from tincan.apps.chat.frames import Hello, encode
from tincan.link.dial import Settings, tie_string
from tincan.link.interface import ChannelClosed, Link
from tincan.meet.mailbox import Side
from tincan.meet.phrase import derive, parse

PHRASE = f"{NAMEPLATE}-guitar-banana"
HELLO = encode(Hello(1, 1, "Mallory", "evil/1", []))


class Drain:
    """Takes whatever comes on the control channel, and keeps it."""

    def __init__(self, link: Link) -> None:
        self.frames: list[bytes] = []
        self.news = asyncio.Condition()
        self._link = link

    async def run(self) -> None:
        with contextlib.suppress(ChannelClosed):
            while True:
                frame = await self._link.control.receive()
                async with self.news:
                    self.frames.append(frame)
                    self.news.notify_all()

    async def until(self, part: bytes) -> None:
        """Wait for a frame that holds this."""
        async with asyncio.timeout(PATIENCE), self.news:
            await self.news.wait_for(lambda: any(part in frame for frame in self.frames))


@contextlib.asynccontextmanager
async def linked(*options: str, json: bool = True) -> AsyncIterator[tuple[Can, Any]]:
    """Connect a real attaching can with a peer in this process; the peer has said nothing yet.

    The link is a `WebRtcLink`, given as Any: evil does not stop at its interface.
    """
    async with Board.running() as board:
        where = ("--switchboard", board.url, *NO_STUN, *options)
        async with Can.started("attach-string", PHRASE, *where, json=json) as victim:
            await victim.printed(b"Waiting", stream="stderr")
            settings = Settings(switchboards=(board.url,), lan=False)
            async with tie_string(Side.TAP, parse(PHRASE), settings, lambda event: None) as link:
                yield victim, link


@contextlib.asynccontextmanager
async def chatting(*options: str, json: bool = True, hello: bytes = HELLO) -> AsyncIterator[tuple[Can, Any, Drain]]:
    """The same, with the hellos exchanged, and everything that the victim says taken."""
    async with linked(*options, json=json) as (victim, link):
        drain = Drain(link)
        draining = asyncio.create_task(drain.run())
        await link.control.send(hello)
        await drain.until(b"hello")
        try:
            yield victim, link, drain
        finally:
            draining.cancel()


class Offering(Board):
    """Plays the tapping can, knowing the phrase, with a given offer."""

    def __init__(self, offer: bytes) -> None:
        super().__init__()
        self._offer = offer

    async def on_body(self, seat: Seat, body: bytes) -> None:
        if kind_of(body) == "share":
            _, flight = flight_to(body, derive(parse(PHRASE)), self._offer)
            await self.give(Side.ATTACH, flight)


def received(sock: socket.socket) -> int:
    """Return how many datagrams wait at a socket, and take them."""
    count = 0
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while sock.recv(65536) or True:
            count += 1
    return count
