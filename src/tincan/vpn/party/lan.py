"""The LAN as a place for party lines: UDP multicast, with no server at all (docs/protocol.md section 7)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import struct
from collections.abc import Callable
from typing import Final

from tincan.meet.events import PlaceReady, PlaceTrouble
from tincan.meet.place import Tell
from tincan.nat.addresses import interfaces
from tincan.vpn.party.fragments import Assembly, cut, topic_of
from tincan.vpn.party.line import Inbox, LineClosed, check_message, check_topic

logger = logging.getLogger(__name__)

GROUP4: Final = "239.255.84.67"
"""From the local scope of RFC 2365: it stays within a site, and with a hop limit of 1 on the LAN."""

GROUP6: Final = "ff02::7463:7031"
"""Link-local, RFC 4291 section 2.7."""

PORT: Final = 49_083
LOOK_EVERY: Final = 10.0
"""Seconds between looks at which interfaces there are."""

MAX_READ: Final = 64
"""Datagrams read before others get their turn."""


class LanLine:
    """A `PartyLine` on all networks that this machine is on. `run` keeps it there, in a task of its caller.

    ``passed_over``: interfaces to keep off, such as the virtual network itself.
    """

    name = "LAN"

    def __init__(self, tell: Tell, passed_over: Callable[[str], bool] = lambda name: False) -> None:
        self._tell = tell
        self._passed_over = passed_over
        self._inbox = Inbox()
        self._topics: set[str] = set()
        self._assembly = Assembly()
        self._sockets: dict[int, socket.socket] = {}
        self._joined4: set[str] = set()
        self._joined6: set[int] = set()
        self._told: bool | None = None
        self._look = asyncio.Event()

    # -- PartyLine -------------------------------------------------------------------

    async def join(self, topic: str) -> None:
        """See `PartyLine.join`."""
        self._topics.add(check_topic(topic))

    async def leave(self, topic: str) -> None:
        """See `PartyLine.leave`."""
        self._topics.discard(topic)

    async def send(self, topic: str, message: bytes) -> None:
        """See `PartyLine.send`."""
        if self._inbox.closed:
            raise LineClosed("The party line was closed.")
        number = os.urandom(8)
        self._assembly.ours(number)
        for datagram in cut(check_topic(topic), number, check_message(message)):
            self._send4(datagram)
            self._send6(datagram)

    async def receive(self) -> tuple[str, bytes]:
        """See `PartyLine.receive`."""
        return await self._inbox.get()

    async def close(self) -> None:
        """See `PartyLine.close`. Whoever runs `run` cancels it."""
        self._inbox.close()

    # -- sockets ---------------------------------------------------------------------

    def hurry(self) -> None:
        """The network has changed: look again at once."""
        self._look.set()

    async def run(self) -> None:
        """Be on every network until cancelled."""
        loop = asyncio.get_running_loop()
        for family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError):
                self._sockets[family] = _bound(family)
        try:
            for opened in self._sockets.values():
                loop.add_reader(opened, self._read, opened)
            while True:
                self._look.clear()
                self._join_networks()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._look.wait()
        finally:
            for opened in self._sockets.values():
                loop.remove_reader(opened)
                opened.close()
            self._sockets.clear()

    def _join_networks(self) -> None:
        """Follow the interfaces of this machine."""
        found = [i for i in interfaces() if not self._passed_over(i.name)]
        outward = [i for i in found if not i.address.is_loopback]
        chosen = outward or found
        addresses = {str(i.address) for i in chosen if i.address.version == 4}
        names = {i.name for i in chosen}
        indexes = {index for index, name in socket.if_nameindex() if name in names}
        if (four := self._sockets.get(socket.AF_INET)) is not None:
            for address in addresses:
                member = socket.inet_aton(GROUP4) + socket.inet_aton(address)
                _option(four, socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            self._joined4 = addresses
        if (six := self._sockets.get(socket.AF_INET6)) is not None:
            for index in indexes:
                member = socket.inet_pton(socket.AF_INET6, GROUP6) + struct.pack("@I", index)
                _option(six, socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
            self._joined6 = indexes
        self._say_whether(bool(self._joined4 or self._joined6) and bool(self._sockets))

    def _say_whether(self, works: bool) -> None:
        if works is self._told:
            return
        self._told = works
        if works:
            self._tell(PlaceReady(self.name))
        else:
            self._tell(PlaceTrouble(self.name, "This machine is on no network that has multicast."))

    def _send4(self, datagram: bytes) -> None:
        if (opened := self._sockets.get(socket.AF_INET)) is None:
            return
        for address in self._joined4:
            with contextlib.suppress(OSError):  # a network that has just gone, or is full: messages may be lost
                opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
                opened.sendto(datagram, (GROUP4, PORT))

    def _send6(self, datagram: bytes) -> None:
        if (opened := self._sockets.get(socket.AF_INET6)) is None:
            return
        for index in self._joined6:
            with contextlib.suppress(OSError):
                opened.sendto(datagram, (GROUP6, PORT, 0, index))

    def _read(self, opened: socket.socket) -> None:
        now = asyncio.get_running_loop().time()
        for _ in range(MAX_READ):
            try:
                datagram, sender = opened.recvfrom(2048)
            except OSError:
                return
            if topic_of(datagram) in self._topics:  # all others cost nothing
                done = self._assembly.add(str(sender), datagram, now)
                if done is not None:
                    self._inbox.put(*done)


def _bound(family: socket.AddressFamily) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        # Every program of this machine that is on the line gets every datagram.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET:
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            opened.bind((GROUP4, PORT))
        else:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
            opened.bind((GROUP6, PORT))
    except BaseException:
        opened.close()
        raise
    return opened


def _option(opened: socket.socket, level: int, name: int, value: bytes) -> None:
    """Set an option; that a network is joined already is no trouble, nor is one without multicast."""
    try:
        opened.setsockopt(level, name, value)
    except OSError as exc:
        if exc.errno not in (errno.EADDRINUSE, errno.ENODEV, errno.EADDRNOTAVAIL, errno.EOPNOTSUPP):
            logger.info("multicast: %s", exc.strerror)
