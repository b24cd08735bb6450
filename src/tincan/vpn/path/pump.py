"""What both pumps have: the loop around a core, orders from the driver, words from the other pump.

A pump is a process of its own that is started with its descriptors on the
command line, and ends when its driver goes away. It imports no asyncio: starting takes a
tenth of a second, and a turn of the loop a few microseconds.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence

import msgspec

from tincan.vpn.path.coalesce import Write
from tincan.vpn.path.plane import Mode
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
PRIORITY = -10
"""Packets wait for the pumps, so pumps do not wait."""

SOON = 100e-6
"""Seconds between two readings of a descriptor that show that there is more than one packet at a time."""

SIZE = struct.Struct("@H")
CONTROL_SIZE = struct.Struct("@i")


class Pump:
    """The loop. A pump adds the descriptors that it waits for, and the functions to call."""

    def __init__(self, control: int, partner: int, tap: int, words: type[ToIn] | type[ToOut]) -> None:
        self.tap = tap
        self.control = socket.socket(fileno=control)
        self.partner = socket.socket(fileno=partner)
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._orders = msgspec.msgpack.Decoder(ToPump)
        self._words = msgspec.msgpack.Decoder(words)
        self._over = False
        self.watch(control, self._ordered)
        self.watch(partner, self._told)

    # -- what a pump defines

    def obey(self, order: Order, sockets: list[int]) -> dict[int, dict[str, int | float | None]]:
        """Carry out an order; gives the figures if they were asked for."""
        raise NotImplementedError

    def received(self, message: Received) -> None:
        """Take a datagram of a relayed link."""

    def told(self, word: ToIn | ToOut) -> None:
        """Take a word of the other pump."""

    def turn(self, now: float) -> float:
        """Do what is due, after everything that has come; gives when there is more to do."""
        raise NotImplementedError

    # -- the loop

    def watch(self, fd: int, handler: Callable[[], None]) -> None:
        """Call a handler when there is something to read."""
        self._handlers[fd] = handler
        self._poll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        """Do not any more."""
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def run(self) -> None:
        """Go on until the driver is gone."""
        handlers, clock = self._handlers, time.monotonic
        deadline = self.turn(clock())
        while not self._over:
            wait = -1.0 if deadline == float("inf") else max(0.0, deadline - clock())
            for fd, _ in self._poll.poll(wait):
                handler = handlers.get(fd)
                if handler is not None:
                    handler()
            deadline = self.turn(clock())

    def tell_driver(self, word: ToDriver) -> None:
        """Tell the driver; what it does not take is lost, but for the answers to its orders."""
        self._tell(self.control, word, wait=isinstance(word, Done))

    def tell_partner(self, word: ToIn | ToOut) -> None:
        """Tell the other pump; what it does not take is lost, and will be said again or is not needed."""
        self._tell(self.partner, word)

    def write(self, write: Write) -> None:
        """Write one packet to the tap; the kernel may refuse it."""
        try:  # noqa: SIM105  this is done for each packet, and contextlib.suppress takes its time
            os.writev(self.tap, write)
        except OSError:
            pass

    def _tell(self, where: socket.socket, word: ToDriver | ToIn | ToOut, wait: bool = False) -> None:
        with contextlib.suppress(OSError):
            where.send(pack(word), 0 if wait else socket.MSG_DONTWAIT)

    def _ordered(self) -> None:
        message, fds, _, _ = socket.recv_fds(self.control, MESSAGE, 4)
        if not message:
            self._over = True
            return
        word = self._orders.decode(message)
        if isinstance(word, Ask):
            self.tell_driver(Done(word.number, self.obey(word.order, fds)))
        else:
            self.received(word)

    def _told(self) -> None:
        message = self.partner.recv(MESSAGE)
        if message:
            self.told(self._words.decode(message))
        else:
            self._over = True  # the driver will notice


def opened(fd: int, ipv6: bool) -> socket.socket:
    """Take over a link's UDP socket and set what the pumps need."""
    os.set_blocking(fd, True)
    link = socket.socket(fileno=fd)
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


def begin(arguments: Sequence[str]) -> tuple[int, int, int, Mode, bool]:
    """Read a pump's command line and settle its process."""
    control, partner, tap = map(int, arguments[:3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which ends us
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    # The loop makes no cycles; looking for them would only make packets wait.
    gc.collect()
    gc.freeze()
    gc.disable()
    return control, partner, tap, Mode(arguments[3]), arguments[4] == "1"
