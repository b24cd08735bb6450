"""For tests: a data plane that carries nothing, and a tap without an interface.

The plane is for tests of what drives one. It remembers what it was told, in public attributes, and says what a test
makes happen.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from types import TracebackType
from typing import Self

from tincan.errors import WorldError
from tincan.vpn.path.plane import (
    Interface,
    LinkKeys,
    LinkStatistics,
    LinkTransport,
    Network,
    PlaneEvent,
    PlaneSettings,
)

EVENTS = 1024


class MemoryTap:
    """A tap without an interface: what is written to `other`, with vnet headers, is what the kernel would give."""

    def __init__(self, name: str = "memory0") -> None:
        ours, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, self.other):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            end.setblocking(False)
        self.name, self.fd, self.datagram_runs = name, ours.detach(), True

    def configure(self, mtu: int, addresses: tuple[Interface, ...], segments: int) -> None:
        """There is nothing to set."""

    def close(self) -> None:
        """Close our end."""
        os.close(self.fd)


class MemoryPlane:
    """A `DataPlane` without a tap, and its context manager, as `tincan.vpn.path.driver.open_plane` gives it."""

    def __init__(self, settings: PlaneSettings) -> None:
        self.settings = settings
        self.tap = settings.tap.replace("%d", "0")
        self.links: dict[int, tuple[LinkTransport, LinkKeys]] = {}
        self.peers: dict[int, tuple[Interface | Network, ...]] = {}
        self.injected: list[bytes] = []
        self.datagrams: list[tuple[int, bytes]] = []
        self.figures: dict[int, LinkStatistics] = {}
        self._events: asyncio.Queue[PlaneEvent | WorldError | None] = asyncio.Queue(EVENTS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._events.put_nowait(None)

    def happen(self, event: PlaneEvent | WorldError) -> None:
        """Make an event, or the plane's failure."""
        self._events.put_nowait(event)

    async def add_link(
        self,
        number: int,
        transport: LinkTransport,
        keys: LinkKeys,
        addresses: tuple[Interface | Network, ...] = (),
    ) -> None:
        """Remember a link."""
        if number in self.links:
            raise ValueError(f"there is a link {number} already")
        self.links[number] = (transport, keys)
        self.figures[number] = LinkStatistics()
        if addresses:
            await self.set_peer(number, addresses)

    async def move_link(self, number: int, transport: LinkTransport) -> None:
        """Remember the new transport."""
        self.links[number] = (transport, self.links[number][1])

    async def remove_link(self, number: int) -> None:
        """Forget a link."""
        for table in (self.links, self.peers, self.figures):
            table.pop(number, None)

    async def set_peer(self, number: int, addresses: tuple[Interface | Network, ...]) -> None:
        """Remember the addresses and take them from others."""
        if number not in self.links:
            raise ValueError(f"there is no link {number}")
        self.peers = {n: tuple(a for a in have if a not in addresses) for n, have in self.peers.items()}
        self.peers[number] = addresses

    async def inject(self, packet: bytes) -> None:
        """Remember a packet."""
        self.injected.append(packet)

    async def configure(self, settings: PlaneSettings) -> None:
        """Remember the settings."""
        if (settings.tap, settings.mode) != (self.settings.tap, self.settings.mode):
            raise ValueError("another tap or mode is another data plane")
        self.settings = replace(settings)

    def received(self, number: int, datagram: bytes) -> None:
        """Remember a datagram."""
        self.datagrams.append((number, datagram))

    async def events(self) -> AsyncIterator[PlaneEvent]:
        """Give what a test made happen."""
        while (event := await self._events.get()) is not None:
            if isinstance(event, WorldError):
                raise event
            yield event

    async def statistics(self, only: int | None = None) -> dict[int, LinkStatistics]:
        """Give `figures`."""
        return {number: figures for number, figures in self.figures.items() if only in (None, number)}
