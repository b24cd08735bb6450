"""TCP simultaneous open: one local port that listens and connects at once (RFC 5382 REQ-2, RFC 6544).

Two NATs that let in only answers let both connections out; where the two SYNs
cross, the kernels make one connection of them (RFC 9293 section 3.5). So every
candidate of the peer is tried, all at the same time and from the very port
that also listens, again and again with jitter until somebody has a connection
or the time is over.

What connects is nobody's yet: `tincan.link.punch` asks each for a proof.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import random
import socket
import struct
from collections.abc import Callable
from typing import Final

from tincan.nat.addresses import is_private
from tincan.nat.resolve import resolve
from tincan.nat.servers import IceServer
from tincan.nat.stun import MAX_RESPONSE, StunError, binding_request, length_of, mapped_address

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT: Final = 3.0
"""Seconds that one attempt may take.

Longer than the kernel's first repetition of a SYN (1 s, RFC 6298): the first
one may have met a NAT that was not open yet.
"""

PAUSE: Final = 0.25
"""Seconds between two attempts at one candidate, more or less a half: two sides in step would stay in step."""

BACKLOG: Final = 16
NO_LINGER: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
STUN_TIMEOUT: Final = 5.0

Address = tuple[str, int]
Arrived = Callable[[socket.socket, bool], None]
"""Takes a connected, non-blocking socket and owns it from then on. The flag: it was this side that connected."""


class Port:
    """A TCP port of this machine, on every address, that listens and connects at the same time."""

    def __init__(self, number: int = 0) -> None:
        """Open the port, any free one by default; raise `OSError`."""
        self._listening: list[socket.socket] = []
        try:
            self._listen(socket.AF_INET, number)
            self.number: int = self._listening[0].getsockname()[1]
            with contextlib.suppress(OSError):  # no IPv6 here, or the port is taken there
                self._listen(socket.AF_INET6, self.number)
        except BaseException:
            self.close()
            raise

    def _listen(self, family: int, number: int) -> None:
        sock = self._bound(family, number)
        self._listening.append(sock)
        sock.listen(BACKLOG)

    def _bound(self, family: int, number: int) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_REUSEPORT"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", number))  # noqa: S104 - every interface
        except BaseException:
            sock.close()
            raise
        return sock

    async def accept(self, arrived: Arrived) -> None:
        """Hand over whoever connects, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for sock in self._listening:
                group.create_task(self._accept(sock, arrived))

    async def _accept(self, listening: socket.socket, arrived: Arrived) -> None:
        while True:
            try:
                sock = await _accepted(listening)
            except OSError as exc:
                logger.info("accept: %s", exc)
                await asyncio.sleep(PAUSE)  # too many open files, most likely
            else:
                arrived(sock, False)

    async def connect(self, address: Address, timeout: float = CONNECT_TIMEOUT) -> socket.socket:
        """Connect from this port once; raise `OSError` (`TimeoutError` is one)."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = self._bound(family, self.number)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(sock, address)
            if sock.getsockname()[:2] == sock.getpeername()[:2]:
                raise ConnectionError(errno.ECONNREFUSED, "connected to itself")
        except BaseException:
            sock.close()
            raise
        return sock

    async def keep_connecting(self, address: Address, arrived: Arrived, rng: random.Random) -> None:
        """Try an address again and again until there is a connection to hand over."""
        while True:
            try:
                arrived(await self.connect(address), True)
                return
            except OSError as exc:
                logger.debug("attempt: %s", exc)
            await asyncio.sleep(PAUSE * rng.uniform(0.5, 1.5))

    async def mapped(self, server: IceServer, found: Callable[[Address], None]) -> None:
        """Tell the address that a STUN or TURN server sees this port at, for each family it has.

        The connection is kept until cancelled, and with it the mapping in the
        NATs on the way. Ends quietly when the server does not answer.
        """
        try:
            async with asyncio.timeout(STUN_TIMEOUT):
                addresses = await resolve(server.host, server.port)
        except OSError:
            return
        one_of_each = {family: address for family, address in reversed(addresses)}
        async with asyncio.TaskGroup() as group:
            for address in one_of_each.values():
                group.create_task(self._ask((address, server.port), found))

    async def _ask(self, address: Address, found: Callable[[Address], None]) -> None:
        try:
            sock = await self.connect(address, STUN_TIMEOUT)
        except OSError:
            return
        with contextlib.closing(sock):
            try:
                async with asyncio.timeout(STUN_TIMEOUT):
                    address = await _binding(sock)
            except (OSError, StunError) as exc:
                logger.info("STUN over TCP: %s", exc)
                return
            # Private addresses are known from the interfaces; a server must not send the peer into its own network.
            if not is_private(ipaddress.ip_address(address[0])):
                found(address)
            await asyncio.Event().wait()

    def close(self) -> None:
        """Stop listening. Connections go on."""
        for sock in self._listening:
            sock.close()


async def _accepted(listening: socket.socket) -> socket.socket:
    """Return the next connection. `loop.sock_accept` loses one that comes at the moment of a cancellation."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)  # a flood of connections leaves others their turns
    while True:
        try:
            sock, _ = listening.accept()
        except BlockingIOError:
            pass
        else:
            sock.setblocking(False)
            return sock
        ready = asyncio.Event()
        try:
            loop.add_reader(listening, ready.set)
        except NotImplementedError:  # Windows' own loop
            return (await loop.sock_accept(listening))[0]
        try:
            await ready.wait()
        finally:
            loop.remove_reader(listening)


def drop(sock: socket.socket) -> None:
    """Close a connection by a reset: nothing lingers, and the same two ports can be connected again at once."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    sock.close()


async def _binding(sock: socket.socket) -> Address:
    loop = asyncio.get_running_loop()
    transaction = os.urandom(12)
    await loop.sock_sendall(sock, binding_request(transaction))
    answer = b""
    while (length := length_of(answer)) is None or len(answer) < length:
        data = await loop.sock_recv(sock, MAX_RESPONSE)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        answer += data
    return mapped_address(answer[:length], transaction)
