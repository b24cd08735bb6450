"""Real links and agents in one process, connected without a place between them."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator

from tincan.link.description import Candidate, Description
from tincan.link.webrtc import WebRtcLink
from tincan.meet.mailbox import Side
from tincan.nat.addresses import Interface

LOOPBACK = [Interface("lo", ipaddress.ip_address("127.0.0.1"), 8)]
"""The interfaces of a machine that has nothing else; every machine that runs tests has this one."""


class Ends:
    """Two links that are not connected yet, and what each tells the other."""

    def __init__(self, *, dtls_timeout: float = 10.0, late: tuple[Side, ...] = ()) -> None:
        """``late``: the sides that are not known yet; `take_sides` comes after `gather` then."""
        self._late = late
        self.attach, self.tap = (
            WebRtcLink(None if side in late else side, dtls_timeout=dtls_timeout) for side in (Side.ATTACH, Side.TAP)
        )
        self.told: dict[WebRtcLink, list[Candidate]] = {self.attach: [], self.tap: []}

    async def gather(self) -> None:
        """Make the host candidates of both."""
        for link, told in self.told.items():
            await link.gather(told.append)

    def take_sides(self) -> None:
        """Let those that have no side take it."""
        for side in self._late:
            {Side.ATTACH: self.attach, Side.TAP: self.tap}[side].take_side(side)

    def description(self, link: WebRtcLink) -> Description:
        """Return what a link would send in its envelope."""
        return link.description(tuple(self.told[link]), complete=True)

    async def connect(self, link: WebRtcLink, remote: Description) -> None:
        """Connect one of them to whoever sent ``remote``."""
        for candidate in remote.candidates:
            await link.ice.add_remote(candidate)
        await link.ice.end_of_remote()
        await link.connect(remote)

    async def connect_both(self) -> None:
        """Connect them to each other."""
        await asyncio.gather(
            self.connect(self.attach, self.description(self.tap)),
            self.connect(self.tap, self.description(self.attach)),
        )

    async def close(self) -> None:
        """Close both."""
        await self.attach.close()
        await self.tap.close()


@contextlib.asynccontextmanager
async def ends(*, dtls_timeout: float = 10.0) -> AsyncIterator[Ends]:
    """Two links with candidates, closed at the end."""
    made = Ends(dtls_timeout=dtls_timeout)
    try:
        await made.gather()
        yield made
    finally:
        await made.close()


@contextlib.asynccontextmanager
async def tied() -> AsyncIterator[tuple[WebRtcLink, WebRtcLink]]:
    """Two connected links: the attaching can's and the tapping can's."""
    async with ends() as made:
        await made.connect_both()
        yield made.attach, made.tap


async def only_the_test_is_left() -> None:
    """Return once no other task is alive; fail when that takes longer than a tidy end can."""
    this = asyncio.current_task()
    try:
        async with asyncio.timeout(20):
            while others := asyncio.all_tasks() - {this}:
                await asyncio.wait(others)
    except TimeoutError:
        raise AssertionError(f"tasks that were left: {asyncio.all_tasks() - {this}}") from None
