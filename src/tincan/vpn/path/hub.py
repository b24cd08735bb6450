"""The loop of a pump: orders from the driver, words between its two halves, descriptors to wait for.

A pump has one half (`tincan.vpn.path.outpump`, `tincan.vpn.path.inpump`) or both. With both in one process an
answer needs nobody else to wake up; with a process a direction both directions can be busy at once.

A pump is started with its descriptors on the command line, and ends when its driver goes away. It imports no
asyncio: starting takes a tenth of a second, and a turn of the loop a few microseconds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from tincan.vpn.path.coalesce import Write
from tincan.vpn.path.rehearsal import Pace, Rehearsal
from tincan.vpn.path.words import Ask, Done, Order, Received, ToDriver, ToIn, ToOut, ToPump, pack

UDP_SEGMENT, UDP_GRO = 103, 104
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER = 10, 23
PMTUDISC_DONT, PMTUDISC_PROBE = 0, 3

LARGEST = 65536 + 64
"""A packet of the tap with its vnet header; or what one receive call gives."""
MESSAGE = 1 << 18
BUFFER = 8 << 20
"""Of each UDP socket: some milliseconds of traffic, for when the pump does not run."""
TURN = 64
"""Datagrams of relays that are taken before anything else is looked at."""
SOON = 100e-6
"""Seconds between two readings of a descriptor that show that there is more than one packet at a time."""

SIZE = struct.Struct("@H")
CONTROL_SIZE = struct.Struct("@i")
SPACE = socket.CMSG_SPACE(4 * CONTROL_SIZE.size)


Figures = dict[int, dict[str, int | float | None]]


class Half(Protocol):
    """One direction."""

    def obey(self, order: Order, sockets: list[int]) -> Figures:
        """Carry out an order, as far as it is for this half; gives the figures if they were asked for.

        Raises `OSError` where the system does not let it. Descriptors that it keeps it takes from ``sockets``.
        """

    def told(self, word: ToIn | ToOut) -> None:
        """Take a word of the other half."""

    def received(self, message: Received) -> None:
        """Take a datagram of a relayed link."""

    def turn(self, now: float) -> float:
        """Do what is due, after everything that has come; gives when there is more to do."""


class Hub:
    """The loop, and what is said through it."""

    def __init__(self, control: int, partner: int | None, tap: int) -> None:
        self.tap = tap
        self._control = socket.socket(fileno=control)
        self._partner = None if partner is None else socket.socket(fileno=partner)
        self.rehearsal: Rehearsal | None = None
        """What to do between packets, once there is a link to be quick on."""
        self._halves: list[Half] = []
        self._message = memoryview(bytearray(MESSAGE))  # a new one for each would take longer than all the rest
        self._messages = [self._message]
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._orders = msgspec.msgpack.Decoder(ToPump)
        self._words = msgspec.msgpack.Decoder(ToIn | ToOut)
        self._over, self._code = False, 0
        self.watch(control, self._ordered)
        if partner is not None:
            self.watch(partner, self._told)

    def add(self, half: Half) -> None:
        """Take a half in; the one that is added last is asked first, and tells the others what they send at once."""
        self._halves.insert(0, half)

    def watch(self, fd: int, handler: Callable[[], None]) -> None:
        """Call a handler when there is something to read, and now and then when there is not."""
        self._handlers[fd] = handler
        self._poll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        """Do not any more."""
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def end(self, code: int) -> None:
        """Go on no longer; the code is for the driver."""
        self._over, self._code = True, code

    def run(self) -> int:
        """Go on until the driver is gone; gives the pump's exit code."""
        handlers, clock, turns = self._handlers, time.monotonic, [half.turn for half in self._halves]
        deadline, now, pace = 0.0, clock(), Pace()
        while not self._over:
            wait = -1.0 if deadline == float("inf") else max(0.0, deadline - clock())
            ready = self._poll.poll(pace.wait(now, wait))
            for fd, _ in ready:
                handler = handlers.get(fd)
                if handler is not None:
                    handler()
            now = clock()
            if pace.due(now, bool(ready)) and now < deadline:
                self._rehearse(now)
            deadline = min([turn(now) for turn in turns])
        self._control.close()
        return self._code

    def _rehearse(self, now: float) -> None:
        """Do all that is done for a packet, without one."""
        if self.rehearsal is not None:
            self.rehearsal.run(now)
            for handler in list(self._handlers.values()):
                handler()

    def tell_driver(self, word: ToDriver) -> None:
        """Tell the driver; what it does not take is lost, but for the answers to its orders."""
        self._tell(self._control, word, 0 if isinstance(word, Done) else socket.MSG_DONTWAIT)

    def tell_other(self, half: Half, word: ToIn | ToOut) -> None:
        """Tell the other half; what it does not take is lost, and will be said again or is not needed."""
        if self._partner is not None:
            self._tell(self._partner, word, socket.MSG_DONTWAIT)
        for other in self._halves:
            if other is not half:
                other.told(word)

    def write(self, write: Write) -> None:
        """Write one packet to the tap; the kernel may refuse it."""
        try:  # noqa: SIM105  this is done for each packet, and contextlib.suppress takes its time
            os.writev(self.tap, write)
        except OSError:
            pass

    def _tell(self, where: socket.socket, word: ToDriver | ToIn | ToOut, flags: int) -> None:
        with contextlib.suppress(OSError):
            where.send(pack(word), flags)

    def _ordered(self) -> None:
        """Take an order, or what has come by relays so far."""
        for _ in range(TURN):
            try:
                size, ancillary, _, _ = self._control.recvmsg_into(self._messages, SPACE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if not size:
                self._over = True
                return
            word = self._orders.decode(self._message[:size])
            if isinstance(word, Ask):
                rights = (data for _, kind, data in ancillary if kind == socket.SCM_RIGHTS)
                self._order(word, [fd for data in rights for (fd,) in CONTROL_SIZE.iter_unpack(data)])
                return
            for half in self._halves:
                half.received(word)

    def _order(self, word: Ask, fds: list[int]) -> None:
        figures: Figures = {}
        refused = ""
        try:
            for half in self._halves:
                for link, counted in self._give(half, word.order, fds).items():
                    figures[link] = figures.get(link, {}) | counted
        except OSError as exc:
            refused = exc.strerror or str(exc)
        for fd in fds:
            os.close(fd)
        self.tell_driver(Done(word.number, figures, refused))

    def _give(self, half: Half, order: Order, fds: list[int]) -> Figures:
        """Have a half carry out an order, with descriptors of its own."""
        sockets = list(map(os.dup, fds))
        try:
            return half.obey(order, sockets)
        finally:
            for fd in sockets:
                os.close(fd)

    def _told(self) -> None:
        try:
            size = self._partner.recv_into(self._message, 0, socket.MSG_DONTWAIT) if self._partner is not None else 0
        except BlockingIOError:
            return
        if size:
            for half in self._halves:
                half.told(self._words.decode(self._message[:size]))
        elif self._partner is not None:
            self.unwatch(self._partner.fileno())  # the driver will notice


def opened(sockets: list[int], ipv6: bool) -> socket.socket:
    """Take over a link's UDP socket and set what the pumps need; raises `OSError`."""
    if not sockets:  # it came, and there was no number left for it (unix(7), MSG_CTRUNC)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    link = socket.socket(fileno=sockets.pop())
    link.setblocking(True)
    for option in (SO_SNDBUFFORCE, SO_RCVBUFFORCE):
        with contextlib.suppress(OSError):
            link.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    link.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, 200_000))
    may_fragment(link, ipv6, False)
    return link


def may_fragment(link: socket.socket, ipv6: bool, may: bool) -> None:
    """Let IP cut datagrams on the way, or not."""
    level, option = (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER) if ipv6 else (socket.IPPROTO_IP, IP_MTU_DISCOVER)
    link.setsockopt(level, option, PMTUDISC_DONT if may else PMTUDISC_PROBE)
