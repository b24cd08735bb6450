"""A STUN server within the test: it answers when it is told to, or answers nonsense."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Self

from aioice import stun

from tincan.nat.addresses import host_addresses, interfaces

Address = tuple[str, int]


class StunServer(asyncio.DatagramProtocol):
    """Listens on a loopback or an own address, so that host candidates of this machine reach it."""

    def __init__(self, evil: str = "") -> None:
        self.url = ""
        self._evil = evil
        self._held: dict[Address, stun.Message] = {}
        self._port: int | None = None
        self._asked = asyncio.Event()
        self.requests = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, *, evil: str = "") -> AsyncIterator[Self]:
        loop = asyncio.get_running_loop()
        [host, *_] = [address for address in host_addresses(interfaces()) if "." in address]
        transport, server = await loop.create_datagram_endpoint(lambda: cls(evil), local_addr=(host, 0))
        server._transport = transport
        server.url = f"stun:{host}:{transport.get_extra_info('sockname')[1]}"
        try:
            yield server
        finally:
            transport.close()

    async def asked(self) -> None:
        """Wait until somebody has been answered."""
        async with asyncio.timeout(120):
            await self._asked.wait()

    def answer_all(self, port: int) -> None:
        """Answer who has asked, and who will, that they are seen at this port (of their own address)."""
        self._port = port
        for address, request in self._held.items():
            self._answer(request, address)
        self._held.clear()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.requests += 1
        request = stun.parse_message(data)
        if self._port is None and not self._evil:
            self._held[addr] = request
        else:
            self._answer(request, addr)

    def _answer(self, request: stun.Message, addr: Address) -> None:
        response = stun.Message(
            message_method=stun.Method.BINDING,
            message_class=stun.Class.RESPONSE,
            transaction_id=request.transaction_id,
        )
        match self._evil:
            case "":
                assert self._port is not None
                response.attributes["XOR-MAPPED-ADDRESS"] = (addr[0], self._port)
            case "port 0":
                response.attributes["XOR-MAPPED-ADDRESS"] = (addr[0], 0)
            case "error":
                response.message_class = stun.Class.ERROR
        data = bytes(response)
        if self._evil == "garbage":
            data = data[:2] + b"\xff\xff" + data[4:] + b"\x00\x20\x00\x40"
        self._transport.sendto(data, addr)
        self._asked.set()

    _transport: asyncio.DatagramTransport
