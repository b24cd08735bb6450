"""The name server's socket: port 53 of this machine's own virtual address.

It answers this machine alone. A friend who asks gets nothing, not even an
error: whom else one knows is nobody's business.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address
from typing import Final, cast

from tincan.errors import DeviceMissing
from tincan.vpn.names.dns import Zone

PORT: Final = 53


class Responder(asyncio.DatagramProtocol):
    """Answers what is asked over UDP; the answers are short, so nobody needs TCP."""

    def __init__(self, own: IPv4Address | IPv6Address) -> None:
        self.zone = Zone()
        self._own = str(own)
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """See asyncio."""
        if addr[0] == self._own and self._transport is not None:
            answer = self.zone.answer(data)
            if answer is not None:
                self._transport.sendto(answer, addr)


@contextlib.asynccontextmanager
async def responding(own: IPv4Address | IPv6Address, port: int = PORT) -> AsyncIterator[Responder]:
    """Answer at an address of this machine; raises `DeviceMissing` when the port cannot be had."""
    loop = asyncio.get_running_loop()
    try:
        transport, responder = await loop.create_datagram_endpoint(
            lambda: Responder(own), local_addr=(str(own), port)
        )
    except OSError as exc:
        raise DeviceMissing(
            f"Names cannot be answered at {own} port {port} ({exc.strerror}); those in /etc/hosts work all the same."
        ) from exc
    try:
        yield responder
    finally:
        transport.close()
