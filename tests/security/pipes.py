"""A real `pipe` process, and the other end of its string in the hands of the test."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from security.cans import NO_STUN, PATIENCE, Can
from tincan.apps.greeting import hello, read_hello
from tincan.link.dial import LinkEvent, Settings, tie_string
from tincan.link.interface import Channel, ChannelClosed, Link
from tincan.link.lanes import Lanes, Offer
from tincan.link.punch import Punching
from tincan.link.streams import PREFIX, LinkStream
from tincan.meet.events import SideTaken
from tincan.meet.mailbox import Side
from tincan.meet.phrase import parse
from unit.switchboard.wire import switchboard

OFFER = b"\x04"
HERE = Punching(port_mapping=False)


@dataclass
class Mallory:
    """Knows the phrase, and has the other end of the victim's stream in hand."""

    victim: Can
    link: Link
    side: Side
    channel: Channel

    def stream(
        self, settings: Punching | None, meet: Callable[[Offer], Coroutine[Any, Any, None]] | None = None
    ) -> LinkStream:
        """Use the channel as a good end would; ``meet`` sees the victim's offer before this end does."""
        channel = self.channel if meet is None else _Watched(self.channel, meet)
        stream = LinkStream(channel, self.link, self.side, settings)
        stream.start_punching()
        return stream

    async def offer(self) -> Offer:
        """Return what the victim offers."""
        while True:
            message = await self.channel.receive()
            if message[:1] == OFFER:
                return offer_of(message)

    async def flood(self, message: bytes) -> None:
        """Say the same very often, or until the victim has closed the channel."""
        with contextlib.suppress(ChannelClosed):
            for _ in range(3000):
                await self.channel.send(message)

    async def closed(self) -> None:
        """Wait until the victim has closed the channel."""
        with contextlib.suppress(ChannelClosed):
            while True:
                await self.channel.receive()


def offer_of(message: bytes) -> Offer:
    """Read an offer."""
    offer = Lanes().receive(message)
    assert isinstance(offer, Offer), offer
    return offer


class _Watched:
    """A channel whose offers somebody sees first."""

    def __init__(self, channel: Channel, meet: Callable[[Offer], Coroutine[Any, Any, None]]) -> None:
        self.label = channel.label
        self.send = channel.send
        self.drain = channel.drain
        self.close = channel.close
        self._receive = channel.receive
        self._meet = meet

    async def receive(self) -> bytes:
        """See `Channel.receive`."""
        message = await self._receive()
        if message[:1] == OFFER:
            await self._meet(offer_of(message))
        return message


@contextlib.asynccontextmanager
async def piping(*options: str) -> AsyncIterator[Mallory]:
    """Tie a string with a `pipe` process; its stdin is `Can.process.stdin`, its stdout `Can.stdout`."""
    text = f"{10_000_000 + secrets.randbelow(80_000_000)}-guitar-banana"
    sides: list[Side] = []

    def tell(event: LinkEvent) -> None:
        if isinstance(event, SideTaken):
            sides.append(event.side)

    async with switchboard() as url:
        where = ("--switchboard", url, *NO_STUN, *options)
        settings = Settings(switchboards=(url,), lan=False, timeout=PATIENCE)
        async with (
            Can.started("pipe", text, *where, json=False) as victim,
            tie_string(None, parse(text), settings, tell) as link,
        ):
            await link.control.send(hello("pipe", "Mallory"))
            read_hello(await link.control.receive(), "pipe")
            [side] = sides
            label = PREFIX + "pipe"
            channel = await (link.open_channel(label) if side is Side.ATTACH else link.accept_channel())
            yield Mallory(victim, link, side, channel)


async def feed(can: Can, data: bytes) -> None:
    """Type this over and over, waiting while it takes none."""
    assert can.process.stdin is not None
    with contextlib.suppress(ConnectionError):
        while True:
            can.process.stdin.write(data)
            await can.process.stdin.drain()


async def cancelled(*tasks: asyncio.Task[Any]) -> None:
    """End these."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
